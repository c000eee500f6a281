package exchange

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"dxd/blobstore"
	"dxd/crypto"
	"dxd/record"
)

// badFile is a partial file on a disk that fails.
type badFile struct {
	blobstore.Partial
	short   int // bytes that a write still takes
	written []byte
	sound   bool          // it can be committed
	syncs   chan struct{} // a sync waits for one, and fails
	closed  bool
}

var errDisk = errors.New("input/output error")

func (f *badFile) Write(p []byte) (int, error) {
	n := min(len(p), f.short)
	f.short -= n
	f.written = append(f.written, p[:n]...)
	if n < len(p) {
		return n, errDisk
	}
	return n, nil
}

func (f *badFile) Sync() error {
	<-f.syncs
	return errDisk
}

func (f *badFile) Truncate(size int64) error {
	f.written = f.written[:size]
	return nil
}

func (f *badFile) Commit() error {
	if f.sound {
		return nil
	}
	return errDisk
}

func (f *badFile) Close() error { f.closed = true; return nil }

func newBadIncoming(t *testing.T, f *badFile) *incoming {
	t.Helper()
	body, err := crypto.SealBody(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	in := newIncoming(blobstore.NewFileID(), f, body.Nonce(), body.Key())
	in.written = true
	return in
}

func TestAPayloadIsReadFromItsFileAgainAfterAWriteFailed(t *testing.T) {
	f := &badFile{short: 10}
	in := newBadIncoming(t, f)
	if err := in.write(make([]byte, 16)); !errors.Is(err, errDisk) {
		t.Fatalf("a write that fails gives %v", err)
	}
	// The file has ten bytes of which nothing else knows.
	if in.size != 0 || len(f.written) != 10 {
		t.Fatalf("%d bytes are counted, %d written", in.size, len(f.written))
	}
	if kept := new(Exchange).worthKeeping(&arrival{in: in}); kept != nil || !f.closed {
		t.Error("the next stream would go on at the wrong place")
	}
}

func TestAPayloadThatCouldNotBeCommittedNeverCountsAsWhole(t *testing.T) {
	in := newBadIncoming(t, &badFile{})
	defer in.close()
	for range 2 {
		if err := in.commit(); !errors.Is(err, errUnsynced) || !errors.Is(err, errDisk) {
			t.Errorf("the commit gives %v", err)
		}
	}
}

// TestASyncThatFailsBesideWhatGoesOnIsNotForgotten lets it fail once: a kernel
// tells of a failure only once, and a commit after it would succeed.
func TestASyncThatFailsBesideWhatGoesOnIsNotForgotten(t *testing.T) {
	for name, then := range map[string]func(*incoming) error{
		"at the next sync":  (*incoming).sync,
		"when it is whole":  (*incoming).commit,
		"when it is let go": func(in *incoming) error { in.close(); return errUnsynced },
	} {
		f := &badFile{short: 100, sound: true, syncs: make(chan struct{}, 1)}
		in := newBadIncoming(t, f)
		if err := errors.Join(in.write(make([]byte, 16)), in.sync(), in.write(make([]byte, 16))); err != nil {
			t.Fatalf("%s: what goes on beside it gives %v", name, err)
		}
		f.syncs <- struct{}{}
		if err := then(in); !errors.Is(err, errUnsynced) {
			t.Errorf("%s: %v", name, err)
		}
		if name == "when it is let go" && len(f.written) != 0 {
			t.Errorf("%d bytes are left that may be on no disk", len(f.written))
		}
		in.close()
	}
}

// oddJournal says what it is told to say about each update.
type oddJournal struct {
	blobstore.Journal
	answer error
	before bool // it answers without running the update
}

func (j oddJournal) Update(_ context.Context, fn func(blobstore.Tx) error) error {
	if j.before {
		return j.answer
	}
	if err := fn(nil); err != nil {
		return err
	}
	return j.answer
}

func TestAFileGoesOnlyIfNoRowCanNeedIt(t *testing.T) {
	full := record.Errorf(record.Full, "no room")
	for what, test := range map[string]struct {
		journal oddJournal
		own     error
		unknown bool
	}{
		"written":                    {oddJournal{}, nil, false},
		"refused by the update":      {oddJournal{}, full, false},
		"never run":                  {oddJournal{answer: errDisk, before: true}, nil, false},
		"too large for the journal":  {oddJournal{answer: record.Errorf(record.Invalid, "too large")}, nil, false},
		"run, and the disk failed":   {oddJournal{answer: errDisk}, nil, true},
		"run, and the disk was full": {oddJournal{answer: full}, nil, false}, // of which nothing was written
	} {
		x := &Exchange{Config: Config{Journal: test.journal}}
		unknown, err := x.update(t.Context(), func(blobstore.Tx) error { return test.own })
		if unknown != test.unknown || (err == nil) != (what == "written") {
			t.Errorf("%s: unknown is %v, the error %v", what, unknown, err)
		}
	}
}

func TestTheInboxKeepsPartnersApartAndLetsGoAtItsEnd(t *testing.T) {
	b := inbox{open: map[arriving]*claim{}}
	one, two := arriving{id: record.TransferID{1}}, arriving{id: record.TransferID{1}}
	keys, err := crypto.Generate()
	if err != nil {
		t.Fatal(err)
	}
	two.from = keys.Org()
	reset := false
	_, c, err := b.take(t.Context(), one, func() { reset = true })
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.take(t.Context(), two, func() {}); err != nil || reset {
		t.Errorf("one partner's id ends another's stream (%v)", err)
	}
	b.close()
	f := &badFile{}
	b.release(one, c, newBadIncoming(t, f))
	if !f.closed {
		t.Error("what a stream leaves after the end stays open")
	}
	if _, _, err := b.take(t.Context(), one, func() {}); err == nil {
		t.Error("a closed inbox takes more")
	}
}

// Whoever leaves many half-received payloads makes no other's be read again, and
// neither do those that come just now.
func TestTheInboxLetsGoOfThosePayloadsThatOnePartnerHasMostOf(t *testing.T) {
	b := inbox{open: map[arriving]*claim{}}
	partner := func() record.OrgID {
		keys, err := crypto.Generate()
		if err != nil {
			t.Fatal(err)
		}
		return keys.Org()
	}
	take := func(from record.OrgID, n int) (arriving, *claim) {
		id := arriving{from, record.TransferID{byte(n)}}
		_, c, err := b.take(t.Context(), id, func() {})
		if err != nil {
			t.Fatal(err)
		}
		return id, c
	}
	honest, busy, greedy := partner(), partner(), partner()
	id, c := take(honest, 0)
	own := newBadIncoming(t, &badFile{})
	b.release(id, c, own)
	for n := range maxWaiting {
		take(busy, n) // and feeds it
	}
	left := map[arriving]*badFile{}
	for n := range 2 * maxWaiting {
		id, c := take(greedy, n)
		left[id] = &badFile{}
		b.release(id, c, newBadIncoming(t, left[id]))
	}
	closed := 0
	for _, f := range left {
		if f.closed {
			closed++
		}
	}
	if closed != maxWaiting+1 {
		t.Errorf("of %d payloads %d were let go of", len(left), closed)
	}
	if in, _ := b.takeIdle(id); in != own {
		t.Error("another's payload was let go of")
	}
	own.close()
	b.close()
}

// TestDamageAtTheEndOfAFileIsSeenWhenItIsReadAgain damages what may be under way
// to the cipher when all is read.
func TestDamageAtTheEndOfAFileIsSeenWhenItIsReadAgain(t *testing.T) {
	for back := range int64(feedBlocks + 2) {
		for range 10 { // it may be seen by chance
			c, _ := content(t, 10*chunkSize)
			sealed := make([]byte, c.file.Size())
			if _, err := c.file.ReadAt(sealed, 0); err != nil && err != io.EOF {
				t.Fatal(err)
			}
			sealed[int64(len(sealed))-1-back*sealedChunk] ^= 1
			in := newIncoming(blobstore.NewFileID(), nil, c.BodyNonce, c.key)
			err := in.replay(t.Context(), memoryFile{bytes.NewReader(sealed)})
			in.close()
			if back > 0 && !errors.Is(err, errDamaged) {
				t.Fatalf("%d chunks before the end: %v", back, err)
			}
		}
	}
}
