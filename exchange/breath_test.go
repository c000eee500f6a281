package exchange

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"dxd/blobstore"
	"dxd/record"
)

// silent is the file of a document of which nothing comes.
type silent struct{ blobstore.Partial }

func (silent) Write(b []byte) (int, error) { return len(b), nil }

func (silent) ReadAt(b []byte, _ int64) (int, error) { return len(b), nil }

// halfOpen is a stream in memory that is read when no more is written to it.
type halfOpen struct{ inMemory }

func (halfOpen) CloseWrite() error { return nil }

func TestASenderThatWaitsForItsReaderSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		s := newSpool(silent{}, nil)
		sender, recipient := newLink(halfOpen{inMemory{here}}), newLink(inMemory{there})
		sender.sending = true
		x := &Exchange{}
		c := parcel{Transfer: Transfer{SealedLength: unknownLength}, file: s}
		ended := make(chan error)
		go func() { ended <- x.sendGrowing(sender, c, 0, &progress{}, make(chan reply, 1)) }()
		begun := time.Now()
		for range 10 { // each within the minute that a recipient waits for a frame
			if kind, content, err := recipient.next(); err != nil || kind != frameWait || len(content) != 0 {
				t.Fatalf("a frame of type %d with %d bytes, %v", kind, len(content), err)
			}
		}
		if passed := time.Since(begun); passed != 10*stallTimeout/2 {
			t.Errorf("ten of them take %s", passed)
		}
		if _, err := s.Write(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		if kind, content, err := recipient.next(); err != nil || kind != frameBody || len(content) != 100 {
			t.Errorf("then comes a frame of type %d with %d bytes, %v", kind, len(content), err)
		}
		s.settle(givenUp)
		if kind, _, err := recipient.next(); err != nil || kind != frameRefusal {
			t.Errorf("at the end comes a frame of type %d, %v", kind, err)
		}
		if err := <-ended; err != errGivenUp {
			t.Errorf("the sender ends with %v", err)
		}
		if _, err := s.ReadAt(make([]byte, 1), 0); err != errGivenUp {
			t.Errorf("reading what was given up: %v", err)
		}
		there.Close()
	})
}

func TestARecipientThatSpeaksTooSoonIsLeft(t *testing.T) {
	for what, r := range map[string]reply{
		"a receipt": {},
		"a refusal": {err: refuse(reasonRejected)},
		"its end":   {err: io.EOF},
	} {
		replies := make(chan reply, 1)
		replies <- r
		c := parcel{Transfer: Transfer{SealedLength: unknownLength}, file: newSpool(silent{}, nil)}
		err := (&Exchange{}).sendGrowing(newLink(newTape(nil)), c, 0, &progress{}, replies)
		if r.err != nil && err != r.err || r.err == nil && record.KindOf(err) != record.Invalid {
			t.Errorf("%s: %v", what, err)
		}
	}
}
