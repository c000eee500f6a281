package exchange_test

import (
	"sync/atomic"
	"testing"
	"time"

	"dxd/event"
	"dxd/exchange"
	"dxd/record"
)

// TestAPartnerWithTooManyNewCardsIsHeardAllTheSame has anna show 81 cards, when
// 80 are taken at once.
func TestAPartnerWithTooManyNewCardsIsHeardAllTheSame(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	later := &atomic.Int64{}
	b.halt()
	b.now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	b.start()
	a.hushed.Store(true) // what is said is said by hand at first
	b.hushed.Store(true)
	pair(t, a, b)
	show := func() record.OpenedCardFile {
		check(t, a.book.Renew(t.Context()))
		file, err := a.book.CardFile(a.host.Addrs())
		check(t, err)
		return file
	}
	var known record.OpenedCardFile
	for range 80 {
		known = show()
		check(t, b.book.Learn(t.Context(), a.keys.Org(), known))
	}
	next := show()
	for range 3 {
		if !hellos(t, a, b, next.File()) {
			t.Fatal("the hello is not answered")
		}
	}
	if p, err := b.book.ByOrg(a.keys.Org()); err != nil || p.Card.ID() != known.Card.ID() {
		t.Errorf("bert has card %d, %v", p.Card.Body.Serial, err)
	}
	if told := b.events(event.Alarm); len(told) != 1 {
		t.Errorf("people were told %d times: %+v", len(told), told)
	}
	a.hushed.Store(false)
	b.hushed.Store(false)
	// What anna signs waits, with nothing lost.
	sent, answer := a.send("bert", []byte("under a card that bert has not")), b.send("anna", []byte("received under it"))
	until(t, "anna has received it", func() bool {
		v, err := a.Get(t.Context(), answer.ID)
		return err == nil && v.State == exchange.Received
	})
	a.stillWaits(sent.ID)
	b.stillWaits(answer.ID)
	later.Store(int64(10 * time.Minute))
	a.delivered(sent.ID)
	b.delivered(answer.ID)
	until(t, "bert has anna's new card, and anna knows", func() bool { return b.has(a) })
}
