package exchange_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"dxd/blobstore"
	"dxd/event"
	"dxd/exchange"
	"dxd/partner"
	"dxd/record"
)

// bounded starts a node anew with this quota of each partner.
func bounded(t *testing.T, name string, q partner.Quota) *node {
	t.Helper()
	n := newNode(t, name)
	n.halt()
	n.quota = q
	n.start()
	return n
}

// uses is what a partner uses by the count.
func (n *node) uses(of *node) (u partner.Usage) {
	n.t.Helper()
	check(n.t, n.store.View(n.t.Context(), func(tx blobstore.ReadTx) (err error) {
		u, err = partner.UsageOf(tx, of.keys.Org())
		return err
	}))
	return u
}

// used is how much of one quota a partner uses.
func (n *node) used(of *node, name string) int64 {
	n.t.Helper()
	p, err := n.book.ByOrg(of.keys.Org())
	check(n.t, err)
	all, err := n.Measures(n.t.Context(), p)
	check(n.t, err)
	for _, m := range all {
		if m.Name == name {
			return m.Used
		}
	}
	n.t.Fatalf("there is no quota %s", name)
	return 0
}

const mib = 1 << 20

// stillWaits fails if the transfer gets anywhere within some attempts.
func (n *node) stillWaits(id record.TransferID) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), 300*time.Millisecond)
	defer cancel()
	if v, err := n.Wait(ctx, id, exchange.UntilDelivered, nil); record.KindOf(err) != record.Timeout {
		n.t.Errorf("the transfer is %s (%s), %v", v.State, v.Reason, err)
	}
}

// waitsOver waits until the transfer waits, and is seen to do so over this.
func (n *node) waitsOver(id record.TransferID, reason string) {
	n.t.Helper()
	found := errors.New("found")
	_, err := n.Wait(n.t.Context(), id, exchange.UntilDelivered, func(v exchange.View) error {
		if v.State == exchange.Queued && v.Reason == reason {
			return found
		}
		return nil
	})
	if err != found {
		n.t.Errorf("it did not wait over %s: %v", reason, err)
	}
}

func TestADocumentBeyondTheWholeQuotaIsRefusedForGood(t *testing.T) {
	a, b, c := newNode(t, "anna"), bounded(t, "bert", partner.Quota{Stored: mib}), newNode(t, "carl")
	pair(t, a, b)
	pair(t, c, b)
	v := a.ended(a.send("bert", randomDocument(2*mib)).ID)
	if v.State != exchange.Failed || v.Reason != "quota" {
		t.Errorf("the transfer is %s (%s)", v.State, v.Reason)
	}
	b.keepsNothing()
	b.alarmed(1, "more than its whole quota stored")
	a.ended(a.send("bert", randomDocument(3*mib)).ID)
	b.alarmed(1) // once an hour
	// What fits comes, from the same partner and from others.
	a.delivered(a.send("bert", randomDocument(mib/2)).ID)
	c.delivered(c.send("bert", randomDocument(mib/2)).ID)
}

func TestADocumentWaitsUntilThereIsRoom(t *testing.T) {
	a, b := newNode(t, "anna"), bounded(t, "bert", partner.Quota{Stored: mib})
	pair(t, a, b)
	first := a.delivered(a.send("bert", randomDocument(700_000)).ID)
	second := a.send("bert", randomDocument(700_000))
	b.alarmed(1, "at its quota stored")
	a.stillWaits(second.ID)
	a.waitsOver(second.ID, "quota")
	if u := b.uses(a); u.Stored < 700_000 || u.Stored > 710_000 || u.Partials != 0 {
		t.Errorf("anna uses %+v", u)
	}
	_, err := b.Erase(t.Context(), first.ID, "test")
	check(t, err)
	if v := a.delivered(second.ID); v.Reason != "" {
		t.Errorf("it was delivered, and still waits over %s", v.Reason)
	}
}

func TestALimitOfItsOwnLetsAPartnerIn(t *testing.T) {
	a, b := newNode(t, "anna"), bounded(t, "bert", partner.Quota{Stored: mib})
	pair(t, a, b)
	a.delivered(a.send("bert", randomDocument(700_000)).ID)
	second := a.send("bert", randomDocument(700_000))
	a.stillWaits(second.ID)
	more := int64(2 * mib)
	_, err := b.book.SetLimits(t.Context(), "anna", partner.Limits{Stored: &more})
	check(t, err)
	a.delivered(second.ID)
}

func TestMessagesWaitForRoomToo(t *testing.T) {
	a, b := newNode(t, "anna"), bounded(t, "bert", partner.Quota{Stored: mib})
	pair(t, a, b)
	document := a.delivered(a.send("bert", randomDocument(mib-1000)).ID)
	small := a.message("bert", randomDocument(2000))
	large := a.message("bert", randomDocument(mib/2))
	a.stillWaits(small.ID)
	a.stillWaits(large.ID)
	// What goes the other way, and its receipts, does not.
	b.delivered(b.message("anna", []byte("a word")).ID)
	_, err := b.Say(t.Context(), document.ID, exchange.Word{State: exchange.Accepted})
	check(t, err)
	_, err = a.Wait(t.Context(), document.ID, exchange.UntilAccepted, nil)
	check(t, err)
	_, err = b.Erase(t.Context(), document.ID, "test")
	check(t, err)
	a.delivered(small.ID)
	a.delivered(large.ID)
}

func TestWhatAPartnerUsesIsCountedExactly(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	small, large := a.delivered(a.send("bert", randomDocument(1000)).ID), a.delivered(a.send("bert", randomDocument(200_000)).ID)
	var messages []record.TransferID
	for range 5 {
		messages = append(messages, a.delivered(a.message("bert", make([]byte, 100)).ID).ID)
	}
	alone := a.delivered(a.message("bert", randomDocument(mib)).ID)
	b.delivered(b.send("anna", randomDocument(5000)).ID) // which counts at anna
	sealed := func(v exchange.View) int64 { return b.view(v.ID).SealedLength }
	want := sealed(small) + sealed(large) + sealed(alone) + 500
	expect := func(what string) {
		t.Helper()
		if u := b.uses(a); u != (partner.Usage{Stored: want}) {
			t.Errorf("%s: %+v, not %d", what, u, want)
		}
		b.countsRight()
	}
	expect("received")
	b.halt()
	b.start()
	expect("after a restart")
	_, err := b.Hold(t.Context(), messages[1], "test")
	check(t, err)
	for _, id := range []record.TransferID{small.ID, messages[0], alone.ID, alone.ID} {
		_, err := b.Erase(t.Context(), id, "test")
		check(t, err)
	}
	want -= sealed(small) + sealed(alone) + 100
	expect("erased by hand")
	b.halt()
	b.retain = exchange.Retention{Received: time.Hour}
	b.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	b.start()
	for b.uses(a).Stored != 100 {
		<-time.After(10 * time.Millisecond)
	}
	want = 100
	expect("what is on hold")
	_, err = b.Release(t.Context(), messages[1], "test")
	check(t, err)
	for !b.uses(a).IsZero() {
		<-time.After(10 * time.Millisecond)
	}
}

func (n *node) view(id record.TransferID) exchange.View {
	n.t.Helper()
	v, err := n.Get(n.t.Context(), id)
	check(n.t, err)
	return v
}

func TestAJournalWithoutACountIsCounted(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	a.delivered(a.send("bert", randomDocument(100_000)).ID)
	a.delivered(a.message("bert", []byte("a message")).ID)
	want := b.uses(a)
	b.halt()
	b.open()
	check(t, b.store.Update(t.Context(), func(tx blobstore.Tx) error {
		return partner.Charge(tx, a.keys.Org(), partner.Usage{}.Minus(want))
	}))
	b.begin()
	for b.uses(a) != want {
		<-time.After(10 * time.Millisecond)
	}
}

func TestWhatNobodyAcknowledgesIsBounded(t *testing.T) {
	a, b := newNode(t, "anna"), bounded(t, "bert", partner.Quota{Events: 3})
	pair(t, a, b)
	for range 5 { // nobody subscribed: nothing waits
		a.delivered(a.message("bert", []byte("unheard")).ID)
	}
	events := &event.Log{Journal: b.store, Now: time.Now}
	all, err := events.Page(t.Context(), event.Oldest, 1000)
	check(t, err)
	check(t, events.Subscribe(t.Context(), "erp", all[len(all)-1].Seq))
	for range 3 {
		a.delivered(a.message("bert", []byte("heard")).ID)
	}
	waits := a.message("bert", []byte("one too many"))
	b.alarmed(1, "unacknowledged_events")
	a.stillWaits(waits.ID)
	if n := b.used(a, "unacknowledged_events"); n != 3 {
		t.Errorf("%d events wait", n)
	}
	if all, err = events.Page(t.Context(), all[len(all)-1].Seq, 1000); err != nil {
		t.Fatal(err)
	}
	check(t, events.Acknowledge(t.Context(), "erp", all[0].Seq))
	a.delivered(waits.ID)
}

func TestDocumentsInFlightAreBoundedAndMessagesPassThem(t *testing.T) {
	a, b := newNode(t, "anna"), bounded(t, "bert", partner.Quota{InFlight: 3 * mib})
	pair(t, a, b)
	held := begun(t, a, b, 2*mib)
	if n := b.used(a, "in_flight"); n < 2*mib {
		t.Errorf("%d bytes are in flight", n)
	}
	waits := a.send("bert", randomDocument(2*mib))
	b.alarmed(1, "in_flight")
	a.stillWaits(waits.ID)
	a.delivered(a.message("bert", []byte("passes")).ID)
	if v := a.ended(a.sendAny("bert", randomDocument(4*mib))); v.State != exchange.Failed || v.Reason != "quota" {
		t.Errorf("what never fits is %s (%s)", v.State, v.Reason)
	}
	held.Reset()
	a.delivered(waits.ID)
	for b.used(a, "in_flight") != 0 {
		<-time.After(10 * time.Millisecond)
	}
}

func TestAQuotaIsOfTheLastMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p exchange.Pace
		for range 60 {
			p.Count(time.Now(), 1)
			time.Sleep(time.Second)
		}
		if n := p.Lately(time.Now()); n < 59 || n > 60 {
			t.Errorf("%d in a minute of one a second", n)
		}
		time.Sleep(30 * time.Second)
		if n := p.Lately(time.Now()); n < 29 || n > 31 {
			t.Errorf("%d after half a minute of none", n)
		}
		time.Sleep(2 * time.Minute)
		if n := p.Lately(time.Now()); n != 0 {
			t.Errorf("%d after minutes of none", n)
		}
		p.Count(time.Now(), 7)
		if n := p.Lately(time.Now().Add(-time.Hour)); n != 0 {
			t.Errorf("%d by a clock that was set back", n)
		}
	})
}

func TestADocumentThatGrowsBeyondTheWholeQuotaFails(t *testing.T) {
	a, b := newNode(t, "anna"), bounded(t, "bert", partner.Quota{Stored: mib})
	pair(t, a, b)
	r := a.reads(t.Context(), t, exchange.Submission{To: []string{"bert"}})
	r.write(randomDocument(3 * mib))
	if v := a.ended(r.end()[0].ID); v.State != exchange.Failed || v.Reason != "quota" {
		t.Errorf("the transfer is %s (%s)", v.State, v.Reason)
	}
	b.keepsNothing()
}

// same is a document that fails no comparison.
func same(t *testing.T, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Error("another document came out")
	}
}
