package exchange_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dxd/event"
	"dxd/exchange"
	"dxd/partner"
	"dxd/record"
)

// arriveInOrder waits until all are delivered, and fails unless they came in
// this order.
func arriveInOrder(t *testing.T, a, b *node, sent []record.TransferID) {
	t.Helper()
	for _, id := range sent {
		a.delivered(id)
	}
	if got := b.messagesReceived(); !slices.Equal(got, sent) {
		t.Errorf("%d messages arrived, or in another order than the %d that were sent", len(got), len(sent))
	}
}

func TestMessagesOfAllSizesKeepTheirOrder(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	b.halt()
	var sent []record.TransferID
	bodies := map[record.TransferID][]byte{}
	for _, size := range []int{0, 1, 64 << 10, 64<<10 + 1, 5, 3 << 20, 60 << 10, 60 << 10, 60 << 10, 60 << 10, 60 << 10, 60 << 10, 60 << 10, 60 << 10, 60 << 10, 16 << 20, 1} {
		body := randomDocument(size)
		id := a.message("bert", body).ID
		sent, bodies[id] = append(sent, id), body
	}
	b.start()
	arriveInOrder(t, a, b, sent)
	if n := len(a.carriers(sent)); n != 8 { // 3 alone, 5 bundles, of which the nine of 60 KiB take two
		t.Errorf("they travelled as %d payloads", n)
	}
	for id, body := range bodies {
		for _, n := range []*node{a, b} {
			if !bytes.Equal(n.document(id), body) {
				t.Errorf("%s: another message came out", n.name)
			}
			n.proves(id, body)
		}
	}
}

// carriers lists the manifests by which these went, in their order.
func (n *node) carriers(ids []record.TransferID) (manifests []record.RecordID) {
	n.t.Helper()
	for _, id := range ids {
		m, _ := n.records(id)
		manifests = append(manifests, m.ID())
	}
	return slices.Compact(manifests)
}

func TestABundleTakesNoMoreThanItMay(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	b.halt()
	var sent []record.TransferID
	long := strings.Repeat("x", 120) // the largest rows, of as many items as there may be: one update at the recipient
	for range record.MaxItems + 6 {
		v, err := a.SubmitMessage(t.Context(), exchange.Submission{To: []string{"bert"}, MediaType: "text/" + long, Size: 100}, strings.NewReader(long[:100]))
		check(t, err)
		sent = append(sent, v[0].ID)
	}
	b.start()
	arriveInOrder(t, a, b, sent)
	if n := len(a.carriers([]record.TransferID{sent[0], sent[record.MaxItems-1], sent[record.MaxItems]})); n != 2 {
		t.Errorf("they travelled in %d bundles", n)
	}
}

func TestAMessageTooLongIsRefused(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	_, err := a.SubmitMessage(t.Context(), exchange.Submission{To: []string{"bert"}, Size: -1}, io.LimitReader(zeros{}, exchange.MaxMessage+1))
	if record.KindOf(err) != record.Invalid || record.Hint(err) == "" {
		t.Errorf("the error is %v (%s)", err, record.Hint(err))
	}
	a.keepsNoFile()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestAMessageGoesToSeveralPartners(t *testing.T) {
	a, b, c, d := newNode(t, "anna"), newNode(t, "bert"), newNode(t, "carl"), newNode(t, "dora")
	for _, n := range []*node{b, c, d} {
		pair(t, a, n)
	}
	c.halt()
	for _, body := range [][]byte{[]byte("to all"), randomDocument(60 << 10), randomDocument(1 << 20)} {
		sent, err := a.SubmitMessage(t.Context(), exchange.Submission{To: []string{"bert", "carl", "dora"}, Size: int64(len(body))}, bytes.NewReader(body))
		check(t, err)
		a.delivered(sent[0].ID)
		a.delivered(sent[2].ID)
		if v, err := a.Get(t.Context(), sent[1].ID); err != nil || v.State != exchange.Queued {
			t.Errorf("to one that is away it is %s (%v)", v.State, err)
		}
		if !bytes.Equal(b.document(sent[0].ID), body) || !bytes.Equal(d.document(sent[2].ID), body) {
			t.Error("another message came out")
		}
		if _, err := d.Get(t.Context(), sent[0].ID); record.KindOf(err) != record.NotFound {
			t.Error("one recipient sees the other's")
		}
	}
	c.start()
	for _, v := range a.list(exchange.Filter{Direction: exchange.Out}) {
		a.delivered(v.ID)
	}
}

func (n *node) list(f exchange.Filter) []exchange.View {
	n.t.Helper()
	list, err := n.List(n.t.Context(), f)
	check(n.t, err)
	return list
}

func TestTheSameRequestMakesOneMessage(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	submit := func(body string, size int64) ([]exchange.View, error) {
		s := exchange.Submission{To: []string{"bert"}, RequestID: "order 7", Size: size}
		return a.SubmitMessage(t.Context(), s, strings.NewReader(body))
	}
	first, err := submit("hello", 5)
	check(t, err)
	for _, size := range []int64{5, -1} {
		again, err := submit("hello", size)
		check(t, err)
		if again[0].ID != first[0].ID {
			t.Error("the same request made another message")
		}
	}
	for _, other := range []string{"hallo", "hello!", strings.Repeat("x", 300<<10)} {
		if _, err := submit(other, int64(len(other))); record.KindOf(err) != record.Conflict {
			t.Errorf("another message under the same request: %v", err)
		}
	}
	_, err = a.Submit(t.Context(), exchange.Submission{To: []string{"bert"}, Name: "a.txt", RequestID: "order 7", Size: 5}, strings.NewReader("hello"))
	if record.KindOf(err) != record.Conflict {
		t.Errorf("a document under the same request: %v", err)
	}
	if n := len(a.list(exchange.Filter{})); n != 1 {
		t.Errorf("there are %d transfers", n)
	}
	a.keepsNoFile()
}

func TestAMessageThatWaitsCanBeCancelled(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	b.halt()
	first, slip, last := a.message("bert", []byte("one")), a.message("bert", []byte("a slip")), a.message("bert", randomDocument(300<<10))
	large := a.message("bert", randomDocument(1<<20))
	for _, id := range []record.TransferID{slip.ID, large.ID} {
		v, err := a.Cancel(t.Context(), id)
		check(t, err)
		if v.State != exchange.Cancelled {
			t.Errorf("it is %s", v.State)
		}
		wantTold(t, "the sender", a.told(id), event.TransferCancelled)
		if _, err := a.Evidence(t.Context(), id); record.KindOf(err) != record.Conflict {
			t.Errorf("evidence of what was never numbered: %v", err)
		}
	}
	b.start()
	arriveInOrder(t, a, b, []record.TransferID{first.ID, last.ID})
	if _, err := a.Cancel(t.Context(), first.ID); record.KindOf(err) != record.Conflict {
		t.Errorf("cancelling what is delivered: %v", err)
	}
}

// holding makes the node's streams wait, once they are open, until release.
func (n *node) holding() (opened <-chan struct{}, release func()) {
	up, gate := make(chan struct{}, 16), make(chan struct{})
	n.wrap = func(s exchange.Stream) exchange.Stream {
		return held{s, up, gate}
	}
	return up, func() { close(gate) }
}

type held struct {
	exchange.Stream
	up   chan<- struct{}
	gate <-chan struct{}
}

func (h held) Write(p []byte) (int, error) {
	select {
	case h.up <- struct{}{}:
	default:
	}
	<-h.gate
	return h.Stream.Write(p)
}

func TestAMessageAmongOthersCantBeCancelledOnItsWay(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	b.halt()
	one, two := a.message("bert", []byte("one")), a.message("bert", []byte("two"))
	opened, release := a.holding()
	b.start()
	<-opened
	_, err := a.Cancel(t.Context(), two.ID)
	if record.KindOf(err) != record.Conflict || record.Hint(err) == "" {
		t.Errorf("cancelling it: %v", err)
	}
	if v, err := a.Get(t.Context(), two.ID); err != nil || v.State != exchange.Sending {
		t.Errorf("it is %s (%v)", v.State, err)
	}
	release()
	arriveInOrder(t, a, b, []record.TransferID{one.ID, two.ID})
}

func TestAMessageAloneInItsBundleCanBeCancelled(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	opened, release := a.holding()
	one := a.message("bert", []byte("one"))
	<-opened
	v, err := a.Cancel(t.Context(), one.ID)
	check(t, err)
	if v.State != exchange.Cancelled {
		t.Errorf("it is %s", v.State)
	}
	wantTold(t, "the sender", a.told(one.ID), event.TransferCancelled)
	release()
	a.delivered(a.message("bert", []byte("two")).ID)
	if _, err := b.Get(t.Context(), one.ID); record.KindOf(err) != record.NotFound {
		t.Errorf("the recipient has it: %v", err)
	}
}

func TestAMessageThatExpiresHoldsUpNoOther(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	b.halt()
	short := func(body []byte) record.TransferID {
		v, err := a.SubmitMessage(t.Context(), exchange.Submission{To: []string{"bert"}, Size: -1, Expires: time.Hour}, bytes.NewReader(body))
		check(t, err)
		return v[0].ID
	}
	kept := []record.TransferID{a.message("bert", []byte("one")).ID}
	over := []record.TransferID{short([]byte("two")), short(randomDocument(300 << 10))}
	kept = append(kept, a.message("bert", []byte("three")).ID)
	a.awake(2 * time.Hour)
	for _, id := range over {
		if v := a.ended(id); v.State != exchange.Failed || v.Reason != "expired" || !v.Record.IsZero() {
			t.Errorf("it is %s (%s)", v.State, v.Reason)
		}
		wantTold(t, "the sender", a.told(id), event.TransferFailed)
	}
	b.start()
	arriveInOrder(t, a, b, kept)
}

func TestWhatWaitsForAPartnerThatIsRemovedFails(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	b.halt()
	var sent []record.TransferID
	for range 250 {
		sent = append(sent, a.message("bert", []byte("a message")).ID)
	}
	_, err := a.book.SetState(t.Context(), "bert", partner.Removed, a.Remove)
	check(t, err)
	for _, id := range sent {
		if v := a.ended(id); v.State != exchange.Failed || v.Reason != "removed" {
			t.Fatalf("a message is %s (%s)", v.State, v.Reason)
		}
	}
	b.start()
	pair(t, a, b)
	again := a.message("bert", []byte("once more")).ID
	arriveInOrder(t, a, b, []record.TransferID{again})
}

func TestACutLinkMakesNoOtherBundle(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	b.halt()
	var sent []record.TransferID
	for i := range 20 {
		sent = append(sent, a.message("bert", randomDocument(10<<10+i)).ID)
	}
	var cuts atomic.Int64
	a.wrap = func(s exchange.Stream) exchange.Stream { // in the offer, in the body, late in it
		left := &atomic.Int64{}
		if left.Store([]int64{100, 100 << 10, 190 << 10, 1 << 30}[min(cuts.Add(1)-1, 3)]); left.Load() > 1<<20 {
			return s
		}
		return cutting{s, left}
	}
	b.start()
	arriveInOrder(t, a, b, sent)
	if n := len(a.carriers(sent)); n != 1 || cuts.Load() < 4 {
		t.Errorf("%d bundles in %d attempts", n, cuts.Load())
	}
}

func TestARefusalForNowStopsTheLane(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	asked := b.lies(t, func(record.TransferID) liar {
		return func(s *told) { s.say(typeRefusal, map[string]any{"reason": "full", "retry": true}) }
	})
	first := a.message("bert", []byte("one"))
	<-asked
	second := a.message("bert", randomDocument(300<<10))
	id := <-asked
	if v, err := a.Get(t.Context(), second.ID); err != nil || v.State != exchange.Queued || id == second.ID {
		t.Errorf("the second is %s, and was offered while the first waited: %t (%v)", v.State, id == second.ID, err)
	}
	b.halt()
	b.start()
	arriveInOrder(t, a, b, []record.TransferID{first.ID, second.ID})
}

func TestARefusalForGoodEndsOneBundle(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	asked := b.lies(t, func(record.TransferID) liar {
		return func(s *told) { s.say(typeRefusal, map[string]any{"reason": "rejected"}) }
	})
	first := a.message("bert", []byte("one"))
	<-asked
	if v := a.ended(first.ID); v.State != exchange.Failed || v.Reason != "rejected" {
		t.Errorf("it is %s (%s)", v.State, v.Reason)
	}
	wantTold(t, "the sender", a.told(first.ID), event.TransferFailed)
	b.halt()
	b.start()
	arriveInOrder(t, a, b, []record.TransferID{a.message("bert", []byte("two")).ID})
}

func TestTheWordOnOneMessageSaysNothingOfItsNeighbours(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	b.halt()
	var sent []record.TransferID
	for i := range 4 {
		sent = append(sent, a.message("bert", fmt.Appendf(nil, "message %d", i)).ID)
	}
	b.start()
	arriveInOrder(t, a, b, sent)
	b.says(sent[2], refused)
	b.says(sent[1], accepted)
	a.hears(sent[2])
	a.hears(sent[1])
	agreeOn(t, sent[1], accepted, a, b)
	agreeOn(t, sent[2], refused, a, b)
	for i, id := range sent {
		v, err := a.Get(t.Context(), id)
		check(t, err)
		if said := i == 1 || i == 2; said != v.State.Said() {
			t.Errorf("message %d is %s", i, v.State)
		}
	}
	if _, receipts := a.records(sent[3]); len(receipts) != 1 {
		t.Errorf("%d receipts about a message on which nothing was said", len(receipts))
	}
}

func TestTheBodiesOfMessagesAreErasedWhenTheirTimeIsOver(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	a.retain.Sent, b.retain.Received = 7*day, 7*day
	b.halt()
	var sent []record.TransferID
	for range 30 {
		sent = append(sent, a.message("bert", []byte("a message")).ID)
	}
	slip := a.message("bert", []byte("a slip"))
	_, err := a.Cancel(t.Context(), slip.ID)
	check(t, err)
	sent = append(sent, a.message("bert", randomDocument(300<<10)).ID)
	b.start()
	arriveInOrder(t, a, b, sent)
	before, err := a.Evidence(t.Context(), sent[7])
	check(t, err)
	for _, n := range []*node{a, b} {
		n.awake(8 * day)
		for _, id := range sent {
			if v := n.erased(id); v.ErasedBy == "" {
				t.Errorf("%s: erased by nothing", n.name)
			}
			if _, err := n.Content(t.Context(), id); record.KindOf(err) != record.Gone {
				t.Errorf("%s: getting it: %v", n.name, err)
			}
		}
		if left := n.entries("x/c/"); left != 0 {
			t.Errorf("%s: %d bodies are left", n.name, left)
		}
		n.keepsNoFile()
	}
	after, err := a.Evidence(t.Context(), sent[7])
	check(t, err)
	if !bytes.Equal(before, after) {
		t.Error("the evidence is another one")
	}
}

func TestManyCallersAtOnceMakeFewBundles(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	a.delivered(a.message("bert", []byte("hello")).ID)
	const callers, each = 8, 50
	done := make(chan []record.TransferID)
	for c := range callers {
		go func() {
			var own []record.TransferID
			for i := range each {
				own = append(own, a.message("bert", fmt.Appendf(nil, "%d of %d", i, c)).ID)
			}
			done <- own
		}()
	}
	var all []record.TransferID
	var orders [][]record.TransferID
	for range callers {
		own := <-done
		orders, all = append(orders, own), append(all, own...)
	}
	ctx, cancel := context.WithTimeout(t.Context(), waitAtMost)
	defer cancel()
	for _, id := range all {
		_, err := a.Wait(ctx, id, exchange.UntilDelivered, nil)
		check(t, err)
	}
	got := b.messagesReceived()
	if len(got) != callers*each+1 {
		t.Errorf("%d messages arrived", len(got))
	}
	for _, own := range orders { // each caller's in its order
		at := -1
		for _, id := range own {
			next := slices.Index(got, id)
			if next <= at {
				t.Fatal("a caller's messages arrived in another order")
			}
			at = next
		}
	}
	if n := len(a.carriers(got)); n > callers*each/2 {
		t.Errorf("%d bundles for %d messages", n, len(got))
	}
}
