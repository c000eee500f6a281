package exchange_test

import (
	"sync"
	"testing"
	"time"

	"dxd/event"
	"dxd/exchange"
	"dxd/record"
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
	for range 500 {
		lanes, err := a.Lanes(t.Context(), b.keys.Org())
		check(t, err)
		if lanes[0].Sent > 0 && lanes[0].Acknowledged == lanes[0].Sent {
			return
		}
		<-time.After(20 * time.Millisecond)
	}
	t.Fatal("the void was not taken")
}
