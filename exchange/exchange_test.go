package exchange_test

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dxd/blobstore"
	"dxd/event"
	"dxd/exchange"
	"dxd/partner"
	"dxd/record"
)

func TestADocumentArrivesAsItWasSent(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	for _, size := range []int{0, 1, 64<<10 - 32, 64 << 10, 64<<10 + 1, 1 << 20, 5<<20 + 123} {
		doc := randomDocument(size)
		sent := a.send("bert", doc)
		v := a.delivered(sent.ID)
		if v.BytesDone != int64(size) || v.WireBytes < int64(size) {
			t.Errorf("size %d: %d bytes done, %d over the wire", size, v.BytesDone, v.WireBytes)
		}
		if got := b.document(sent.ID); !bytes.Equal(got, doc) {
			t.Errorf("size %d: another document came out", size)
		}
		in, err := b.Get(t.Context(), sent.ID)
		check(t, err)
		if in.State != exchange.Received || in.Name != "contract.pdf" || in.Digest != sent.Digest || in.Alias != "anna" {
			t.Errorf("size %d: received as %+v", size, in)
		}
		if got := a.document(sent.ID); !bytes.Equal(got, doc) {
			t.Errorf("size %d: the sender can't read its own document", size)
		}
	}
}

func TestADocumentWaitsForItsPartner(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	b.halt()
	doc := randomDocument(100 << 10)
	sent := a.send("bert", doc)
	a.halt() // and across a restart of the sender
	a.start()
	b.start()
	a.delivered(sent.ID)
	if !bytes.Equal(b.document(sent.ID), doc) {
		t.Error("another document came out")
	}
}

// cutAfter makes the node's next stream break after n bytes.
func (n *node) cutAfter(bytes int64) {
	cut := false
	left := &atomic.Int64{}
	left.Store(bytes)
	n.wrap = func(s exchange.Stream) exchange.Stream {
		if cut {
			return s
		}
		cut = true
		return cutting{s, left}
	}
}

// resumeLoss bounds what goes over the wire twice: what was in the windows of
// the stream when the link was cut (yamux: 16 MiB), since the recipient loses
// nothing that it has read.
const resumeLoss = 17 << 20

func TestDeliveryGoesOnWhereTheLinkWasCut(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	a.cutAfter(40 << 20)
	doc := randomDocument(48 << 20)
	sent := a.send("bert", doc)
	v := a.delivered(sent.ID)
	if !bytes.Equal(b.document(sent.ID), doc) {
		t.Error("another document came out")
	}
	if most := int64(len(doc)) + resumeLoss; v.WireBytes > most {
		t.Errorf("%d bytes over the wire for %d; at most %d", v.WireBytes, len(doc), most)
	}
}

func TestDeliveryGoesOnAfterARestart(t *testing.T) {
	for _, who := range []string{"sender", "recipient"} {
		t.Run(who, func(t *testing.T) {
			a, b := newNode(t, "anna"), newNode(t, "bert")
			pair(t, a, b)
			stopped := make(chan struct{})
			once := &atomic.Bool{}
			a.wrap = func(s exchange.Stream) exchange.Stream {
				if once.Swap(true) {
					return s
				}
				return newStalling(s, 40<<20, stopped)
			}
			doc := randomDocument(48 << 20)
			sent := a.send("bert", doc)
			<-stopped
			if who == "sender" {
				a.halt()
				a.start()
			} else {
				b.halt()
				b.start()
			}
			v := a.delivered(sent.ID)
			if !bytes.Equal(b.document(sent.ID), doc) {
				t.Error("another document came out")
			}
			if most := int64(len(doc)) + resumeLoss; v.WireBytes > most {
				t.Errorf("%d bytes over the wire for %d; at most %d", v.WireBytes, len(doc), most)
			}
		})
	}
}

// stalling is a stream that writes so many bytes, says so, and then hangs
// until either side ends it.
type stalling struct {
	exchange.Stream
	left    int
	stalled chan struct{}
	over    chan struct{}
	once    sync.Once
}

func newStalling(s exchange.Stream, left int, stalled chan struct{}) *stalling {
	return &stalling{Stream: s, left: left, stalled: stalled, over: make(chan struct{})}
}

func (s *stalling) Write(p []byte) (int, error) {
	if s.left -= len(p); s.left >= 0 {
		return s.Stream.Write(p)
	}
	close(s.stalled)
	<-s.over
	return 0, io.ErrClosedPipe
}

func (s *stalling) Read(p []byte) (int, error) {
	n, err := s.Stream.Read(p)
	if err != nil {
		s.once.Do(func() { close(s.over) })
	}
	return n, err
}

func (s *stalling) Reset() error {
	s.once.Do(func() { close(s.over) })
	return s.Stream.Reset()
}

func TestSubmitRefuses(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	good := exchange.Submission{To: []string{"bert"}, Name: "a.txt", Size: 3}
	with := func(change func(*exchange.Submission)) exchange.Submission {
		s := good
		change(&s)
		return s
	}
	name := func(s string) exchange.Submission {
		return with(func(g *exchange.Submission) { g.Name = s })
	}
	tests := []struct {
		what string
		s    exchange.Submission
		body string
		kind record.Kind
	}{
		{"an unknown recipient", with(func(s *exchange.Submission) { s.To = []string{"carl"} }), "abc", record.Refused},
		{"no recipient", with(func(s *exchange.Submission) { s.To = nil }), "abc", record.Invalid},
		{"a recipient twice", with(func(s *exchange.Submission) { s.To = []string{"bert", "bert"} }), "abc", record.Invalid},
		{"a document that shrank", good, "ab", record.Invalid},
		{"a document that grew", good, "abcd", record.Invalid},
		{"a parent as name", name(".."), "abc", record.Invalid},
		{"a path as name", name("../../etc/passwd"), "abc", record.Invalid},
		{"a NUL in the name", name("a\x00b"), "abc", record.Invalid},
		{"a line break in the name", name("a\nb"), "abc", record.Invalid},
		{"an escape in the name", name("a\x1b[2Jb"), "abc", record.Invalid},
		{"a bidi override in the name", name("a\u202egpj.exe"), "abc", record.Invalid},
		{"300 characters", name(strings.Repeat("n", 300)), "abc", record.Invalid},
		{"no media type", with(func(s *exchange.Submission) { s.MediaType = "pdf" }), "abc", record.Invalid},
		{"an expiry in the past", with(func(s *exchange.Submission) { s.Expires = -time.Hour }), "abc", record.Invalid},
	}
	for _, test := range tests {
		_, err := a.Submit(t.Context(), test.s, strings.NewReader(test.body))
		if record.KindOf(err) != test.kind {
			t.Errorf("%s: %v, kind %v; want kind %v", test.what, err, record.KindOf(err), test.kind)
		}
	}
	all, err := a.List(t.Context(), exchange.Filter{})
	check(t, err)
	for f, err := range a.store.List() {
		check(t, err)
		t.Errorf("a file of %d bytes is left", f.Size)
	}
	if len(all) != 0 {
		t.Errorf("%d transfers are left", len(all))
	}
}

func TestNothingIsSentUnderAnExpiredCard(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	a.halt()
	a.now = func() time.Time { return time.Now().Add(10 * 365 * 24 * time.Hour) }
	a.start()
	_, err := a.Submit(t.Context(), exchange.Submission{To: []string{"bert"}, Name: "a.txt", Size: 0}, strings.NewReader(""))
	if record.KindOf(err) != record.Refused || !strings.Contains(err.Error(), "your own card") {
		t.Errorf("submitted: %v", err)
	}
}

func TestARequestIDMakesSubmitIdempotent(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	s := exchange.Submission{To: []string{"bert"}, Name: "a.txt", RequestID: "order 7", Size: -1}
	first, err := a.Submit(t.Context(), s, strings.NewReader("abc"))
	check(t, err)
	again, err := a.Submit(t.Context(), s, strings.NewReader("abc"))
	check(t, err)
	if first[0].ID != again[0].ID {
		t.Error("the same request made two transfers")
	}
	s.Name = "b.txt"
	if _, err := a.Submit(t.Context(), s, strings.NewReader("abc")); record.KindOf(err) != record.Conflict {
		t.Errorf("the same request for another document: %v", err)
	}
}

func TestASuspendedPartnerGetsNothingUntilItIsResumed(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	a.delivered(a.send("bert", []byte("first")).ID)
	_, err := b.book.SetState(t.Context(), "anna", partner.Suspended, nothing)
	check(t, err)
	sent := a.send("bert", []byte("second"))
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if v, err := a.Wait(ctx, sent.ID, exchange.UntilDelivered, nil); err == nil {
		t.Fatalf("the transfer ended as %s", v.State)
	}
	if b.host.Connected(a.keys.Node()) {
		t.Error("a suspended partner is still connected")
	}
	_, err = b.book.SetState(t.Context(), "anna", partner.Active, nothing)
	check(t, err)
	a.delivered(sent.ID)
	_, err = a.book.SetState(t.Context(), "bert", partner.Suspended, nothing)
	check(t, err)
	_, err = a.Submit(t.Context(), exchange.Submission{To: []string{"bert"}, Name: "a", Size: 0}, strings.NewReader(""))
	if record.KindOf(err) != record.Refused {
		t.Errorf("sending to a suspended partner: %v", err)
	}
}

func TestARemovedPartnersTransfersFail(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	b.halt()
	sent := a.send("bert", []byte("never"))
	_, err := a.book.SetState(t.Context(), "bert", partner.Removed, a.Remove)
	check(t, err)
	v, err := a.Get(t.Context(), sent.ID)
	check(t, err)
	if v.State != exchange.Failed || v.Reason != "removed" {
		t.Errorf("the transfer is %s (%s)", v.State, v.Reason)
	}
}

func TestATransferExpires(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	b.halt()
	sent, err := a.Submit(t.Context(), exchange.Submission{To: []string{"bert"}, Name: "a", Expires: time.Second, Size: 0}, strings.NewReader(""))
	check(t, err)
	v := a.ended(sent[0].ID)
	if v.State != exchange.Failed || v.Reason != "expired" {
		t.Errorf("the transfer is %s (%s)", v.State, v.Reason)
	}
}

func TestAPartnerThatCallsIsNotKeptWaiting(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	a.halt()
	a.retry = exchange.Retry{First: time.Hour, Longest: time.Hour} // so only its call can help
	a.start()
	a.delivered(a.send("bert", []byte("a first one")).ID)
	for range 3 {
		b.halt()
		before := a.tried.Load()
		doc := a.send("bert", []byte("a document"))
		sent, err := a.SubmitMessage(t.Context(), exchange.Submission{To: []string{"bert"}, Size: -1}, strings.NewReader("a message"))
		check(t, err)
		for a.tried.Load() < before+2 { // both lanes try, and pause then
			<-time.After(10 * time.Millisecond)
		}
		b.start()
		a.delivered(doc.ID)
		a.delivered(sent[0].ID)
	}
}

func TestATransferExpiresBehindOneThatDoesNot(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	b.halt()
	a.send("bert", []byte("waits for days"))
	sent, err := a.Submit(t.Context(), exchange.Submission{To: []string{"bert"}, Name: "a", Expires: time.Second, Size: 0}, strings.NewReader(""))
	check(t, err)
	_, err = a.book.SetState(t.Context(), "bert", partner.Suspended, nothing)
	check(t, err)
	if v := a.ended(sent[0].ID); v.State != exchange.Failed || v.Reason != "expired" {
		t.Errorf("the transfer is %s (%s)", v.State, v.Reason)
	}
}

func TestCancelStopsBothSides(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	stalled := make(chan struct{})
	a.wrap = func(s exchange.Stream) exchange.Stream {
		return newStalling(s, 3<<20, stalled)
	}
	sent := a.send("bert", randomDocument(8<<20))
	<-stalled
	v, err := a.Cancel(t.Context(), sent.ID)
	check(t, err)
	if v.State != exchange.Cancelled {
		t.Errorf("the sender's transfer is %s", v.State)
	}
	ctx, cancel := context.WithTimeout(t.Context(), waitAtMost)
	defer cancel()
	in, err := b.Wait(ctx, sent.ID, exchange.UntilDelivered, nil)
	check(t, err)
	if in.State != exchange.Cancelled {
		t.Errorf("the recipient's transfer is %s", in.State)
	}
	b.keepsNoFile()
	if _, err := a.Cancel(t.Context(), sent.ID); err != nil {
		t.Errorf("cancelling twice: %v", err)
	}
	wantTold(t, "the sender", a.told(sent.ID), event.TransferCancelled)
	wantTold(t, "the recipient", b.told(sent.ID), event.TransferCancelled)
}

func nothing(blobstore.Tx, record.OrgID) error { return nil }
