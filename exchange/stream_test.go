package exchange_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dxd/blobstore"
	"dxd/exchange"
	"dxd/record"
)

// reading is a document that a node is still reading: what is written to it,
// the node reads.
type reading struct {
	*io.PipeWriter
	t     *testing.T
	ended chan submitted
}

type submitted struct {
	views []exchange.View
	err   error
}

// reads has the node send what it reads to these partners meanwhile.
func (n *node) reads(ctx context.Context, t *testing.T, s exchange.Submission) *reading {
	t.Helper()
	if s.Name == "" {
		s.Name = "stream.tar"
	}
	s.Stream = true
	if s.Size == 0 {
		s.Size = -1
	}
	body, w := io.Pipe()
	r := &reading{w, t, make(chan submitted, 1)}
	go func() {
		views, err := n.Submit(ctx, s, body)
		body.CloseWithError(errors.New("nobody reads this any more"))
		r.ended <- submitted{views, err}
	}()
	t.Cleanup(func() { w.CloseWithError(io.ErrUnexpectedEOF) })
	return r
}

func (r *reading) write(b []byte) {
	r.t.Helper()
	_, err := r.Write(b)
	check(r.t, err)
}

// end ends the document, and returns its transfers.
func (r *reading) end() []exchange.View {
	r.t.Helper()
	check(r.t, r.Close())
	got := <-r.ended
	check(r.t, got.err)
	return got.views
}

// fail breaks the document off, and returns what came of it.
func (r *reading) fail() error {
	r.CloseWithError(errors.New("the source has died"))
	return (<-r.ended).err
}

// receiving waits until there is a transfer on its way in.
func (n *node) receiving() exchange.View {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), waitAtMost)
	defer cancel()
	changed := n.store.Watch(ctx, "x/t/")
	for {
		page, err := n.List(ctx, exchange.Filter{State: exchange.Receiving})
		check(n.t, err)
		if len(page) > 0 {
			return page[0]
		}
		select {
		case <-changed:
		case <-ctx.Done():
			n.t.Fatal("nothing comes in")
		}
	}
}

// keepsNothing fails unless the node has neither transfer nor file, or soon.
func (n *node) keepsNothing() {
	n.t.Helper()
	n.keepsNoFile()
	if page, err := n.List(n.t.Context(), exchange.Filter{}); err != nil || len(page) != 0 {
		n.t.Errorf("%s lists %+v, %v", n.name, page, err)
	}
	for _, prefix := range []blobstore.Key{"x/f/", "x/b/", "x/d/", "x/o/", "x/m/"} { // keys, marks, shelves, queues, manifests
		if left := n.entries(prefix); left != 0 {
			n.t.Errorf("%s keeps %d entries under %s", n.name, left, prefix)
		}
	}
}

// offers notes the sealed length in each offer that a node makes.
type offers struct {
	mu      sync.Mutex // guards lengths
	lengths []int64
}

func (o *offers) all() []int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]int64{}, o.lengths...)
}

func (n *node) notesOffers() *offers {
	o := &offers{}
	n.wrap = o.around
	return o
}

func (o *offers) around(s exchange.Stream) exchange.Stream { return noting{s, o} }

type noting struct {
	exchange.Stream
	o *offers
}

func (s noting) Write(p []byte) (int, error) {
	var offer struct {
		SealedLength int64 `json:"sealed_length"`
	}
	if len(p) > 5 && p[4] == typeOffer && json.Unmarshal(p[5:], &offer) == nil {
		s.o.mu.Lock()
		s.o.lengths = append(s.o.lengths, offer.SealedLength)
		s.o.mu.Unlock()
	}
	return s.Stream.Write(p)
}

func TestADocumentGoesOutWhileItIsRead(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	offers := a.notesOffers()
	doc := randomDocument(3<<20 + 17)
	r := a.reads(t.Context(), t, exchange.Submission{To: []string{"bert"}})
	r.write(doc[:2<<20])
	v := b.receiving()
	b.receives(v.ID, 2<<20-64<<10) // the last chunk is sealed once more comes
	if v.Size != -1 || v.Kind != record.Document {
		t.Errorf("meanwhile the recipient has %+v", v.Transfer)
	}
	if page, err := a.List(t.Context(), exchange.Filter{}); err != nil || len(page) != 0 {
		t.Errorf("before it is read the sender has %v, %v", page, err)
	}
	r.write(doc[2<<20:])
	sent := r.end()[0]
	if sent.ID != v.ID {
		t.Errorf("it is received as %s and sent as %s", v.ID, sent.ID)
	}
	got := a.delivered(sent.ID)
	if !bytes.Equal(b.document(sent.ID), doc) {
		t.Error("another document came out")
	}
	if n := int64(len(doc)); got.WireBytes < n || got.WireBytes > n+n/100 || got.Size != n {
		t.Errorf("%d bytes over the wire for %d", got.WireBytes, n)
	}
	if all := offers.all(); len(all) != 1 || all[0] != -1 {
		t.Errorf("it was offered with the lengths %v", all)
	}
	if in, err := b.Get(t.Context(), sent.ID); err != nil || in.Size != int64(len(doc)) || in.SealedLength != got.SealedLength {
		t.Errorf("the recipient has %+v, %v", in.Transfer, err)
	}
	if _, err := a.Evidence(t.Context(), sent.ID); err != nil {
		t.Error(err)
	}
}

func TestADocumentThatIsWholeBeforeItsStreamGoesTheOrdinaryWay(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	offers := a.notesOffers()
	r := a.reads(t.Context(), t, exchange.Submission{To: []string{"bert"}})
	r.write([]byte("small"))
	sent := r.end()[0]
	if v := a.delivered(sent.ID); len(offers.all()) != 1 || offers.all()[0] != v.SealedLength {
		t.Errorf("a small one was offered with the lengths %v", offers.all())
	}
	b.halt()
	r = a.reads(t.Context(), t, exchange.Submission{To: []string{"bert"}})
	large := randomDocument(1 << 20)
	r.write(large)
	sent = r.end()[0]
	b.start()
	v := a.delivered(sent.ID)
	if !bytes.Equal(b.document(sent.ID), large) {
		t.Error("another document came out")
	}
	if all := offers.all(); all[len(all)-1] != v.SealedLength {
		t.Errorf("they were offered with the lengths %v", all)
	}
}

func TestAnAbortLeavesNothingOnEitherSide(t *testing.T) {
	doc := randomDocument(1 << 20)
	tests := []struct {
		what  string
		size  int64
		abort func(r *reading, cancel func(), a *node) error
		kind  record.Kind
	}{
		{"the reader fails", -1, func(r *reading, _ func(), _ *node) error { return r.fail() }, record.Invalid},
		{"the caller goes", -1, func(r *reading, cancel func(), _ *node) error {
			cancel()
			r.Write(doc) // which it does not read to the end
			return (<-r.ended).err
		}, record.Internal},
		{"it is shorter than announced", 2 << 20, func(r *reading, _ func(), _ *node) error {
			check(r.t, r.Close())
			return (<-r.ended).err
		}, record.Invalid},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			a, b := newNode(t, "anna"), newNode(t, "bert")
			pair(t, a, b)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s := exchange.Submission{To: []string{"bert"}, RequestID: "order 7", Size: test.size}
			r := a.reads(ctx, t, s)
			r.write(doc)
			first := b.receiving()
			b.receives(first.ID, 512<<10)
			if err := test.abort(r, cancel, a); err == nil || record.KindOf(err) != test.kind && !errors.Is(err, context.Canceled) {
				t.Errorf("submitting it: %v", err)
			}
			b.gone(first.ID)
			a.keepsNothing()
			b.keepsNothing()
			// The request id was not used up. What is read again is another transfer.
			s.Size = -1
			r = a.reads(t.Context(), t, s)
			r.write(doc)
			sent := r.end()[0]
			a.delivered(sent.ID)
			if in, err := b.Get(t.Context(), sent.ID); err != nil || sent.ID == first.ID || in.BodyNonce == first.BodyNonce {
				t.Errorf("read again it is %+v, %v", in.Transfer, err)
			}
			a.halt()
			if n := a.errors.Load(); n != 0 {
				t.Errorf("that somebody gave a document up is %d errors in the log", n)
			}
		})
	}
}

// gone waits until there is no such transfer any more.
func (n *node) gone(id record.TransferID) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), waitAtMost)
	defer cancel()
	changed := n.store.Watch(ctx, "x/t/")
	for {
		_, err := n.Get(ctx, id)
		if record.KindOf(err) == record.NotFound {
			return
		}
		check(n.t, err)
		select {
		case <-changed:
		case <-ctx.Done():
			n.t.Fatalf("transfer %s is still there", id)
		}
	}
}

func TestASenderThatStopsTellsItsRecipient(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	r := a.reads(t.Context(), t, exchange.Submission{To: []string{"bert"}})
	r.write(randomDocument(1 << 20))
	v := b.receiving()
	b.receives(v.ID, 512<<10)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		a.halt()
	}()
	b.gone(v.ID)
	r.fail()
	<-stopped
	b.keepsNothing()
	a.start()
	a.keepsNothing()
}

func TestALinkThatIsCutWhileADocumentIsRead(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	offers := &offers{}
	a.cutAfter(2 << 20)
	cut := a.wrap
	a.wrap = func(s exchange.Stream) exchange.Stream { return offers.around(cut(s)) }
	doc := randomDocument(6 << 20)
	r := a.reads(t.Context(), t, exchange.Submission{To: []string{"bert"}})
	r.write(doc[:4<<20])
	v := b.receiving()
	b.receives(v.ID, 3<<20) // behind the cut
	if all := offers.all(); len(all) < 2 {
		t.Errorf("it was offered with the lengths %v", all)
	}
	r.write(doc[4<<20:])
	sent := r.end()[0]
	got := a.delivered(sent.ID)
	if sent.ID != v.ID || !bytes.Equal(b.document(sent.ID), doc) {
		t.Error("another document came out")
	}
	for _, length := range offers.all() {
		if length != -1 {
			t.Errorf("it was offered with the lengths %v", offers.all())
		}
	}
	if most := int64(len(doc)) + 3<<20; got.WireBytes > most || got.WireBytes < int64(len(doc)) {
		t.Errorf("%d bytes over the wire for %d", got.WireBytes, len(doc))
	}
}

func TestALinkThatIsCutBehindC1(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	offers, stalled := &offers{}, make(chan struct{})
	first := make(chan *stalling, 1)
	once := &atomic.Bool{}
	a.wrap = func(s exchange.Stream) exchange.Stream {
		if once.Swap(true) {
			return offers.around(s)
		}
		slow := newStalling(s, 2<<20, stalled)
		first <- slow
		return offers.around(slow)
	}
	doc := randomDocument(4 << 20)
	r := a.reads(t.Context(), t, exchange.Submission{To: []string{"bert"}})
	r.write(doc)
	<-stalled
	b.receives(b.receiving().ID, 1<<20)
	sent := r.end()[0] // although the recipient is slow
	if v, err := a.Get(t.Context(), sent.ID); err != nil || v.State != exchange.Sending {
		t.Errorf("meanwhile it is %s, %v", v.State, err)
	}
	check(t, (<-first).Reset())
	got := a.delivered(sent.ID)
	if !bytes.Equal(b.document(sent.ID), doc) {
		t.Error("another document came out")
	}
	if all := offers.all(); len(all) != 2 || all[0] != -1 || all[1] != got.SealedLength {
		t.Errorf("it was offered with the lengths %v", all)
	}
	if most := int64(len(doc)) + 3<<20; got.WireBytes > most {
		t.Errorf("%d bytes over the wire for %d: it began anew", got.WireBytes, len(doc))
	}
}

func TestARecipientThatRestartsWhileADocumentIsRead(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	doc := randomDocument(4 << 20)
	r := a.reads(t.Context(), t, exchange.Submission{To: []string{"bert"}})
	r.write(doc[:2<<20])
	b.receives(b.receiving().ID, 1<<20)
	b.halt()
	b.start()
	r.write(doc[2<<20:])
	b.receives(b.receiving().ID, 3<<20)
	sent := r.end()[0]
	a.delivered(sent.ID)
	if !bytes.Equal(b.document(sent.ID), doc) {
		t.Error("another document came out")
	}
}

func TestOneRecipientDelaysNoOther(t *testing.T) {
	a, b, c, d := newNode(t, "anna"), newNode(t, "bert"), newNode(t, "carl"), newNode(t, "dora")
	for _, n := range []*node{b, c, d} {
		pair(t, a, n)
	}
	c.halt() // is away
	stalled := make(chan struct{})
	var slow *stalling
	a.wrap = func(s exchange.Stream) exchange.Stream {
		if s.Node() == d.keys.Node() && slow == nil { // takes little
			slow = newStalling(s, 100<<10, stalled)
			return slow
		}
		return s
	}
	doc := randomDocument(2 << 20)
	r := a.reads(t.Context(), t, exchange.Submission{To: []string{"bert", "carl", "dora"}})
	r.write(doc[:1<<20])
	b.receives(b.receiving().ID, 900<<10)
	<-stalled
	r.write(doc[1<<20:])
	sent := r.end()
	a.delivered(sent[0].ID)
	for _, v := range sent[1:] {
		if v, err := a.Get(t.Context(), v.ID); err != nil || v.State.Terminal() || v.State == exchange.Delivered {
			t.Errorf("to %s it is %s, %v", v.Alias, v.State, err)
		}
	}
	check(t, slow.Reset())
	c.start()
	for i, n := range []*node{b, c, d} {
		a.delivered(sent[i].ID)
		if !bytes.Equal(n.document(sent[i].ID), doc) {
			t.Errorf("another document came out at %s", n.name)
		}
	}
}

func TestARecipientThatCancelsWhatIsRead(t *testing.T) {
	a, b, c := newNode(t, "anna"), newNode(t, "bert"), newNode(t, "carl")
	pair(t, a, b)
	pair(t, a, c)
	doc := randomDocument(2 << 20)
	r := a.reads(t.Context(), t, exchange.Submission{To: []string{"bert", "carl"}})
	r.write(doc[:1<<20])
	v := b.receiving()
	b.receives(v.ID, 512<<10)
	_, err := b.Cancel(t.Context(), v.ID)
	check(t, err)
	b.keepsNoFile()
	r.write(doc[1<<20:])
	sent := r.end() // goes on for the other
	a.delivered(sent[1].ID)
	if v := a.ended(sent[0].ID); v.State != exchange.Failed || v.Reason != "cancelled" {
		t.Errorf("the transfer is %s (%s)", v.State, v.Reason)
	}
	b.keepsNoFile()
}

// A recipient knows the id of its transfer before the sender has a row of it.
func TestARecipientCantTakeTheIDOfWhatIsRead(t *testing.T) {
	a, b, c := newNode(t, "anna"), newNode(t, "bert"), newNode(t, "carl")
	pair(t, a, b)
	pair(t, a, c)
	doc := randomDocument(2 << 20)
	for what, use := range map[string]func(id record.TransferID) (byte, []byte){
		"a document": func(id record.TransferID) (byte, []byte) {
			f := newForgery(t, c, a)
			f.ID, f.Opening.Transfer = id, id
			return f.deliver(t, c, a)
		},
		"a large document": func(id record.TransferID) (byte, []byte) {
			f := large(t, c, a, mib)
			f.ID = id
			s, kind, _ := f.asked(t, c, a, 0)
			check(t, s.Reset())
			return kind, nil
		},
		"a message in a bundle": func(id record.TransferID) (byte, []byte) {
			f := newBundleForgery()
			f.Openings[1].Transfer = id
			return f.deliver(t, c, a)
		},
		"a bundle": func(id record.TransferID) (byte, []byte) {
			f := newBundleForgery()
			f.ID = id
			return f.deliver(t, c, a)
		},
	} {
		r := a.reads(t.Context(), t, exchange.Submission{To: []string{"bert", "carl"}})
		r.write(doc[:1<<20])
		id := c.receiving().ID
		if kind, content := use(id); kind != typeRefusal {
			t.Errorf("%s under it: answered with type %d, %s", what, kind, content)
		}
		r.write(doc[1<<20:])
		check(t, r.Close())
		got := <-r.ended
		if got.err != nil {
			t.Errorf("%s under it: the document is not sent: %v", what, got.err)
			continue
		}
		if got.views[1].ID != id {
			t.Errorf("it is received as %s and sent as %s", id, got.views[1].ID)
		}
		for i, n := range []*node{b, c} {
			a.delivered(got.views[i].ID)
			same(t, n.document(got.views[i].ID), doc)
		}
	}
	// Nothing is reserved for ever.
	r := a.reads(t.Context(), t, exchange.Submission{To: []string{"carl"}})
	r.write(doc[:1<<20])
	f := newForgery(t, c, a)
	f.ID = c.receiving().ID
	f.Opening.Transfer = f.ID
	if r.fail() == nil {
		t.Error("what was not read to its end is sent")
	}
	if kind, content := f.deliver(t, c, a); kind != typeReceipt {
		t.Errorf("the id of what was given up: answered with type %d, %s", kind, content)
	}
}

func TestDocumentsAreNumberedInTheOrderInWhichTheyEnd(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	r := a.reads(t.Context(), t, exchange.Submission{To: []string{"bert"}})
	r.write(randomDocument(1 << 20))
	b.receives(b.receiving().ID, 512<<10)
	fast := a.send("bert", []byte("fast"))
	a.delivered(fast.ID) // while the other is being read
	slow := r.end()[0]
	a.delivered(slow.ID)
	if f, s := a.sequence(fast.ID), a.sequence(slow.ID); f != 1 || s != 2 {
		t.Errorf("the first to end has the number %d, the second %d", f, s)
	}
}

// sequence reads the number of a transfer's manifest.
func (n *node) sequence(id record.TransferID) int64 {
	n.t.Helper()
	manifest, _ := n.records(id)
	var m struct {
		Sequence int64 `json:"sequence"`
	}
	var envelope struct {
		Payload []byte `json:"payload"`
	}
	check(n.t, json.Unmarshal(manifest.Bytes(), &envelope))
	check(n.t, json.Unmarshal(envelope.Payload, &m))
	return m.Sequence
}

func TestOnePartnerIsSentFewDocumentsThatAreRead(t *testing.T) {
	const most = 4
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	doc := randomDocument(200 << 10)
	var all []*reading
	for range most + 1 {
		r := a.reads(t.Context(), t, exchange.Submission{To: []string{"bert"}})
		r.write(doc)
		all = append(all, r)
	}
	a.delivered(a.send("bert", []byte("and others go on")).ID)
	for i := range all {
		sent := all[len(all)-1-i].end()[0]
		a.delivered(sent.ID)
		if !bytes.Equal(b.document(sent.ID), doc) {
			t.Error("another document came out")
		}
	}
}

func TestWhatNoSenderEndsIsForgottenSoon(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	later := &atomic.Int64{}
	b.halt()
	b.now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	b.start()
	served := b.counted()
	f := newForgery(t, a, b)
	f.large(t, b)
	s := f.begins(t, a, b)
	writeFrame(t, s, typeBody, f.Body[f.Early:100<<10])
	b.receives(f.ID, 90<<10)
	check(t, s.Reset()) // its sender has died
	<-served
	later.Store(int64(9 * time.Minute))
	check(t, b.ClearDue(t.Context()))
	if _, err := b.Get(t.Context(), f.ID); err != nil {
		t.Errorf("after nine minutes: %v", err)
	}
	later.Store(int64(11 * time.Minute))
	// A stream that feeds it keeps it, however late it is.
	s = f.begins(t, a, b)
	b.receives(f.ID, 90<<10)
	check(t, b.ClearDue(t.Context()))
	check(t, s.Reset())
	<-served
	check(t, b.ClearDue(t.Context()))
	if _, err := b.Get(t.Context(), f.ID); err != nil {
		t.Errorf("fed once more: %v", err)
	}
	// While the recipient was away, the sender could not bring any.
	b.halt()
	later.Store(int64(30 * time.Minute))
	b.start()
	check(t, b.ClearDue(t.Context()))
	if _, err := b.Get(t.Context(), f.ID); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	later.Store(int64(41 * time.Minute))
	check(t, b.ClearDue(t.Context()))
	b.keepsNothing()
}

// begins offers the forgery without a length and sends what comes along.
func (f *forgery) begins(t *testing.T, from, to *node) exchange.Stream {
	t.Helper()
	return f.offers(t, from, to, -1)
}

// answered reads the answer, and returns the offset in it.
func answered(t *testing.T, s io.Reader) int64 {
	t.Helper()
	kind, content, err := readFrame(s)
	check(t, err)
	if kind != typeAnswer {
		t.Fatalf("answered with type %d, %s", kind, content)
	}
	var a struct{ Offset int64 }
	check(t, json.Unmarshal(content, &a))
	return a.Offset
}

const typeWait = 10

func TestABodyWithoutALengthByHandIsReceived(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	f := newForgery(t, a, b)
	f.large(t, b)
	_, finish := f.finish(t, a)
	s := f.begins(t, a, b)
	writeFrame(t, s, typeWait, nil)
	if at := answered(t, s); at != int64(f.Early) {
		t.Errorf("asked to go on at %d of %d", at, f.Early)
	}
	writeFrame(t, s, typeWait, nil)
	if kind, content := finish(s, int64(f.Early)); kind != typeReceipt {
		t.Fatalf("answered with type %d, %s", kind, content)
	}
	if !bytes.Equal(b.document(f.ID), f.Doc) {
		t.Error("another document came out")
	}
}

func TestAnOfferWithoutALengthIsHeldToItsRules(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	for what, change := range map[string]func(f *forgery){
		"no early bytes":              func(f *forgery) { f.Early = 0 },
		"less than goes along":        func(f *forgery) { f.Early-- },
		"more than may come early":    func(f *forgery) { f.Early = 64<<10 + 1 },
		"fewer than no early bytes":   func(f *forgery) { f.Early = -1 },
		"another nonce":               func(f *forgery) { f.Nonce[0] ^= 1 },
		"the lane of messages":        func(f *forgery) { f.Lane = "msg" },
		"early bytes that never come": func(f *forgery) { f.Body = append(f.Body[:20:20], 0) },
	} {
		f := newForgery(t, a, b)
		f.large(t, b)
		change(f)
		s := f.begins(t, a, b)
		writeFrame(t, s, typeBody, nil)
		if r := refusedWith(t, s); r != "rejected" {
			t.Errorf("%s: %q", what, r)
		}
	}
	b.keepsNothing()
}

// refusedWith reads to the end, and returns the reason of a refusal.
func refusedWith(t *testing.T, s io.Reader) string {
	t.Helper()
	kind, content := lastFrame(s)
	if kind != typeRefusal {
		t.Errorf("answered with type %d, %s", kind, content)
		return ""
	}
	var r struct{ Reason string }
	check(t, json.Unmarshal(content, &r))
	return r.Reason
}

func TestABodyWithoutALengthThatDoesNotHoldIsRefused(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	for what, test := range map[string]struct {
		change func(f *forgery)
		reason string
	}{
		"a manifest of a longer body":    {func(f *forgery) { f.Manifest.SealedLength++ }, "rejected"},
		"a manifest of a shorter body":   {func(f *forgery) { f.Manifest.SealedLength-- }, "rejected"},
		"a manifest of another body":     {func(f *forgery) { f.Manifest.BodyNonce[0] ^= 1 }, "rejected"},
		"another digest":                 {func(f *forgery) { f.Opening.Digest[0] ^= 1 }, "rejected"},
		"a document that is longer":      {func(f *forgery) { f.Opening.Length++ }, "rejected"},
		"a body that is cut short":       {func(f *forgery) { f.Body, f.Sealed = f.Body[:150<<10], 150<<10 }, "damaged"},
		"a body that goes on":            {func(f *forgery) { f.Body, f.Sealed = append(f.Body, 1), f.Sealed+1 }, "damaged"},
		"a body that does not open":      {func(f *forgery) { f.Body[150<<10] ^= 1 }, "damaged"},
		"a length that no body can have": {func(f *forgery) { f.Body, f.Sealed = f.Body[:16+64<<10+16+3], 16+64<<10+16+3 }, "damaged"},
	} {
		f := newForgery(t, a, b)
		f.large(t, b)
		test.change(f)
		_, finish := f.finish(t, a)
		s := f.begins(t, a, b)
		kind, content := finish(s, int64(f.Early))
		var r struct{ Reason string }
		if kind != typeRefusal || json.Unmarshal(content, &r) != nil || r.Reason != test.reason {
			t.Errorf("%s: answered with type %d, %s", what, kind, content)
		}
	}
	b.keepsNothing()
}

func TestAnAbortByHand(t *testing.T) {
	abort := []byte(`{"reason":"cancelled","retry":false}`)
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	for what, before := range map[string]func(f *forgery, s io.Writer){
		"behind the early bytes": func(*forgery, io.Writer) {},
		"in the body":            func(f *forgery, s io.Writer) { writeFrame(t, s, typeBody, f.Body[f.Early:100<<10]) },
		"behind a pause":         func(_ *forgery, s io.Writer) { writeFrame(t, s, typeWait, nil) },
		"behind the body": func(f *forgery, s io.Writer) {
			writeFrame(t, s, typeBody, f.Body[f.Early:])
			writeFrame(t, s, typeBody, nil)
		},
		"with a reason that is none": func(f *forgery, s io.Writer) { writeFrame(t, s, typeRefusal, []byte("\x1b[2J")) },
	} {
		f := newForgery(t, a, b)
		f.large(t, b)
		s := f.begins(t, a, b)
		answered(t, s)
		before(f, s)
		writeFrame(t, s, typeRefusal, abort)
		if kind, content := lastFrame(s); kind != 0 {
			t.Errorf("%s: answered with type %d, %s", what, kind, content)
		}
		b.gone(f.ID)
	}
	b.keepsNothing()
	// Before the early bytes are whole there is nothing to give up.
	f := newForgery(t, a, b)
	f.large(t, b)
	f.Early = 0
	s := f.begins(t, a, b)
	writeFrame(t, s, typeRefusal, abort)
	if r := refusedWith(t, s); r != "rejected" {
		t.Errorf("instead of the early bytes: %q", r)
	}
	// A body whose length is known is ended by a void, and by nothing less.
	for _, kind := range []byte{typeRefusal, typeWait} {
		f := newForgery(t, a, b)
		f.large(t, b)
		s := f.offers(t, a, b, f.Sealed)
		answered(t, s)
		writeFrame(t, s, kind, nil)
		if r := refusedWith(t, s); r != "rejected" {
			t.Errorf("a frame of type %d in a body of a known length: %q", kind, r)
		}
	}
	b.keepsNothing()
}

// offers offers the forgery with this length, and sends what comes along.
func (f *forgery) offers(t *testing.T, from, to *node, length int64) exchange.Stream {
	t.Helper()
	s := openRaw(t, from, to)
	offer, err := json.Marshal(map[string]any{
		"v": 1, "id": f.ID.String(), "lane": f.Lane, "sealed_length": length,
		"body_nonce": f.Nonce.String(), "header": f.Header, "early": f.Early,
	})
	check(t, err)
	writeFrame(t, s, typeOffer, offer)
	if f.Early > 0 {
		writeFrame(t, s, typeBody, f.Body[:min(f.Early, len(f.Body))])
	}
	return s
}

func TestALengthThatIsToldLater(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	// begun is a forgery of which 100 KiB came before its length was known.
	begun := func() (f *forgery, finish func(io.ReadWriter, int64) (byte, []byte)) {
		f = newForgery(t, a, b)
		f.large(t, b)
		_, finish = f.finish(t, a)
		s := f.begins(t, a, b)
		answered(t, s)
		writeFrame(t, s, typeBody, f.Body[f.Early:100<<10])
		b.receives(f.ID, 90<<10)
		check(t, s.Reset())
		return f, finish
	}
	f, finish := begun()
	s := f.offers(t, a, b, f.Sealed)
	at := answered(t, s)
	if at != 100<<10 {
		t.Errorf("asked to go on at %d", at)
	}
	if v, err := b.Get(t.Context(), f.ID); err != nil || v.Size != int64(len(f.Doc)) || v.SealedLength != f.Sealed {
		t.Errorf("once its length is known it is %+v, %v", v.Transfer, err)
	}
	if kind, content := finish(s, at); kind != typeReceipt {
		t.Errorf("answered with type %d, %s", kind, content)
	}

	f, finish = begun()
	s = f.offers(t, a, b, f.Sealed+1)
	if kind, content := finish(s, answered(t, s)); kind != typeRefusal || !bytes.Contains(content, []byte("rejected")) {
		t.Errorf("one byte more was told than came: type %d, %s", kind, content)
	}
	f, _ = begun()
	if r := refusedWith(t, f.offers(t, a, b, 90<<10)); r != "damaged" {
		t.Errorf("less was told than is here: %q", r)
	}
	b.gone(f.ID)

	f, finish = begun()
	s = f.offers(t, a, b, f.Sealed)
	answered(t, s)
	check(t, s.Reset())
	if r := refusedWith(t, f.begins(t, a, b)); r != "rejected" {
		t.Errorf("a length that is taken back: %q", r)
	}
	s = f.offers(t, a, b, f.Sealed)
	if kind, content := finish(s, answered(t, s)); kind != typeReceipt {
		t.Errorf("and told again: type %d, %s", kind, content)
	}
}

// brimful are files on a disk that fills up under a body that goes on.
type brimful struct {
	blobstore.Files
	room *atomic.Int64
}

func (b brimful) Create(id blobstore.FileID) (blobstore.Partial, error) {
	p, err := b.Files.Create(id)
	return filling{p, b.room}, err
}

type filling struct {
	blobstore.Partial
	room *atomic.Int64
}

func (f filling) Write(b []byte) (int, error) {
	if f.room.Add(-int64(len(b))) < 0 {
		return 0, record.Errorf(record.Full, "only the reserve is left")
	}
	return f.Partial.Write(b)
}

func TestABodyWithoutEndStopsAtTheReserve(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	room := &atomic.Int64{}
	room.Store(1 << 20)
	b.halt()
	b.files = func(f blobstore.Files) blobstore.Files { return brimful{f, room} }
	b.start()
	r := a.reads(t.Context(), t, exchange.Submission{To: []string{"bert"}})
	doc := randomDocument(4 << 20)
	r.write(doc[:512<<10]) // for which there is room, so that it is seen
	id := b.receiving().ID
	r.write(doc[512<<10:])
	b.gone(id)
	b.keepsNothing()
	room.Store(1 << 30)
	sent := r.end()[0] // its end is known by now, and there is room for it
	a.delivered(sent.ID)
	if !bytes.Equal(b.document(sent.ID), doc) {
		t.Error("another document came out")
	}
	room.Store(0)
	f := newForgery(t, a, b)
	f.large(t, b)
	if reason := refusedWith(t, f.begins(t, a, b)); reason != "full" {
		t.Errorf("without any room: %q", reason)
	}
	b.keepsFiles(1)
}
