package exchange

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// drips writes a byte a minute, less a second, until the other side has had
// enough.
func drips(to net.Conn, b []byte) {
	for i := range b {
		time.Sleep(stallTimeout - time.Second) // virtual
		if _, err := to.Write(b[i : i+1]); err != nil {
			return
		}
	}
}

func TestAPeerThatGivesAByteAMinuteIsGivenUpWithinOne(t *testing.T) {
	for what, sending := range map[string]bool{"to one who receives": false, "to one who waits for its receipt": true} {
		synctest.Test(t, func(t *testing.T) {
			here, there := net.Pipe()
			defer here.Close()
			l := newLink(inMemory{here})
			l.sending = sending
			bound := stallTimeout
			if sending {
				bound = receiptTimeout
				if err := l.SetReadDeadline(time.Now().Add(bound)); err != nil {
					t.Fatal(err)
				}
			}
			var peer sync.WaitGroup
			defer peer.Wait()
			peer.Go(func() {
				defer there.Close()
				drips(there, rawFrame(frameReceipt, `{"receipt":{}} and more that makes it long`))
			})
			begun := time.Now()
			_, _, err := l.next()
			if took := time.Since(begun); !errors.Is(err, os.ErrDeadlineExceeded) || took != bound {
				t.Errorf("a frame %s, a byte a minute: %v after %s", what, err, took)
			}
			here.Close()
		})
	}
}

func TestAPeerThatTakesAByteAMinuteIsGivenUpWithinOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer here.Close()
		l := newLink(inMemory{here})
		l.sending = true
		var peer sync.WaitGroup
		defer peer.Wait()
		peer.Go(func() {
			defer there.Close()
			for b := make([]byte, 1); ; {
				time.Sleep(stallTimeout - time.Second)
				if _, err := there.Read(b); err != nil {
					return
				}
			}
		})
		begun := time.Now()
		l.buffer(bodyFrame)
		err := l.flush(frameBody, bodyFrame)
		if took := time.Since(begun); !errors.Is(err, os.ErrDeadlineExceeded) || took != stallTimeout {
			t.Errorf("a frame that is taken a byte a minute: %v after %s", err, took)
		}
		here.Close()
	})
}

// TestWhoGivesWholeFramesIsNotTooSlow has a peer send a byte a minute, each in a
// frame of its own: neither size nor speed ends a transfer. What it keeps busy
// meanwhile is bounded by its quota, and by maxServed.
func TestWhoGivesWholeFramesIsNotTooSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer here.Close()
		const frames = 24 * 60
		go func() {
			defer there.Close()
			for i := range frames {
				time.Sleep(stallTimeout - time.Second)
				if _, err := there.Write(append(binary.BigEndian.AppendUint32(nil, 2), byte(frameBody), byte(i))); err != nil {
					return
				}
			}
		}()
		l := newLink(inMemory{here})
		for i := range frames {
			if kind, content, err := l.next(); err != nil || kind != frameBody || len(content) != 1 || content[0] != byte(i) {
				t.Fatalf("frame %d: type %d, %x, %v", i, kind, content, err)
			}
		}
	})
}
