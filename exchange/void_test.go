package exchange_test

import (
	"slices"
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
	"dxd/test/party"
)

// A void may overtake the offer that it ends: they come in streams of their own.
func TestAVoidThatOvertakesItsOfferLeavesNothing(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	offered, voided := make(chan struct{}), make(chan struct{})
	var once sync.Once
	b.seen(func(p exchange.Point) {
		if p == exchange.BeforeReceiving {
			once.Do(func() { close(offered); <-voided })
		}
	})
	sent := a.send("bert", randomDocument(1<<20))
	<-offered
	_, err := a.Cancel(t.Context(), sent.ID)
	check(t, err)
	acknowledged(t, a, b) // the void, while the offer is still looked at
	close(voided)
	second := a.send("bert", randomDocument(1<<20))
	a.delivered(second.ID)
	b.keepsFiles(1)
	if v, err := b.Get(t.Context(), sent.ID); record.KindOf(err) != record.NotFound {
		t.Errorf("the recipient has it as %s (%v)", v.State, err)
	}
	wantTold(t, "the sender", a.told(sent.ID), event.TransferCancelled)
	wantTold(t, "the recipient", b.told(sent.ID))
}

// acknowledged waits until the other side has taken all numbers.
func acknowledged(t *testing.T, a, b *node) {
	t.Helper()
	until(t, "the void is taken", func() bool {
		lanes, err := a.Lanes(t.Context(), b.keys.Org())
		check(t, err)
		return lanes[0].Sent > 0 && lanes[0].Acknowledged == lanes[0].Sent
	})
}

// A void of what was never here is kept for ever, like a transfer.
func TestVoidsAMinuteAreBounded(t *testing.T) {
	a, b, c := newNode(t, "anna"), bounded(t, "bert", partner.Quota{Transfers: 6}), newNode(t, "carl")
	at := time.Now()
	b.startAt(func() time.Time { return at }) // no minute ends meanwhile
	b.hushed.Store(true)                      // or it would hear that anna knows nothing of what is forged with her key
	pair(t, a, b)
	pair(t, c, b)
	epoch, predecessor := record.Epoch{7}, record.RecordID{1}
	partial := large(t, a, b, mib)
	s, kind, r := partial.asked(t, a, b, 0)
	if kind != typeAnswer {
		t.Fatalf("answered with type %d: %+v", kind, r)
	}
	check(t, s.Reset())
	here := newForgery(t, a, b).given(epoch, 2, predecessor)
	if got, _ := here.answers(t, a, b); got != "receipt" {
		t.Fatal(got)
	}
	// made is the void of a manifest that is made up.
	made := func(id record.TransferID, sequence int64) map[string]any {
		manifest, _ := newForgery(t, a, b).given(epoch, sequence, predecessor).finish(t, a)
		return a.voidsNumber(t, id, b, manifest)
	}
	kept := func() (n int) {
		for _, prefix := range []blobstore.Key{"x/0/", "x/k/", "x/w/", "x/x/"} {
			n += b.entries(prefix)
		}
		return n
	}
	told := a.tells(t, b)
	first := made(newID(), 3)
	for i, news := range []map[string]any{first, made(newID(), 4), made(here.ID, 5), made(newID(), 6)} {
		if got := told.tell(news); !got.OK {
			t.Fatalf("void %d: %+v", i, got)
		}
	}
	before := kept()
	for range 10 {
		for what, news := range map[string]map[string]any{
			"of what is not here":            made(newID(), 7),
			"of what is here, but by its id": made(here.ID, 7),
			"that is known, of another id":   {"transfer": newID().String(), "void": first["void"]},
		} {
			if got := told.tell(news); got.OK || !got.Retry {
				t.Errorf("one too many, %s: %+v", what, got)
			}
		}
	}
	if now := kept(); now != before {
		t.Errorf("%d entries are kept of what was not taken", now-before)
	}
	warned := slices.DeleteFunc(b.alarms(), func(text string) bool { return !strings.Contains(text, "transfers_per_minute") })
	if len(warned) != 1 {
		t.Errorf("people were told %q", warned)
	}
	// What is on its way was counted.
	if got := told.tell(made(partial.ID, 7)); !got.OK {
		t.Errorf("a void of what is on its way: %+v", got)
	}
	c.delivered(c.send("bert", randomDocument(1000)).ID)
}

func TestVoidsBeyondTheQuotaAreToldLater(t *testing.T) {
	a, b := newNode(t, "anna"), bounded(t, "bert", partner.Quota{Transfers: 3})
	pair(t, a, b)
	b.halt()
	at, later := time.Now(), &atomic.Int64{}
	b.now = func() time.Time { return at.Add(time.Duration(later.Load())) }
	const many = 8
	for range many {
		_, err := a.Cancel(t.Context(), a.send("bert", []byte("given up")).ID)
		check(t, err)
	}
	b.start()
	b.alarmed(1, "at its quota transfers_per_minute")
	for taken := 3; taken <= many; taken += 3 {
		until(t, "what fits is taken", func() bool { return b.entries("x/w/") == taken })
		later.Add(int64(2 * time.Minute))
	}
	until(t, "all have been told", func() bool { return b.lane(a).Complete == many })
	a.settles(t, b)
}

func TestAVoidOfWhatWasDeliveredMeanwhileIsNotSignedAnew(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	received, leave := make(chan struct{}), make(chan struct{})
	b.seen(func(p exchange.Point) {
		if p == exchange.AfterReceived {
			close(received)
			<-leave
		}
	})
	sent := a.send("bert", []byte("a document"))
	<-received
	_, err := a.Cancel(t.Context(), sent.ID) // too late, as its receipt says
	check(t, err)
	close(leave)
	party.Until(t, "a receipt", func() string {
		v, err := a.Get(t.Context(), sent.ID)
		check(t, err)
		if v.State != exchange.Delivered {
			return string(v.State)
		}
		return ""
	})
	check(t, a.store.Update(t.Context(), func(tx blobstore.Tx) error {
		if err := exchange.Init(tx, record.Epoch{2}); err != nil {
			return err
		}
		return a.VoidAnew(tx, sent.ID) // which was looked at before the receipt came
	}))
	v, err := a.Get(t.Context(), sent.ID)
	check(t, err)
	in, err := b.Get(t.Context(), sent.ID)
	check(t, err)
	if v.Record != in.Record {
		t.Errorf("the manifest of what was delivered is %s, and with its recipient %s", v.Record, in.Record)
	}
}
