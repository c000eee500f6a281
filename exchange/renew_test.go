package exchange_test

import (
	"testing"
	"time"

	"dxd/exchange"
	"dxd/record"
)

// until waits for something that another node brings about.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(waitAtMost); !holds(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// has tells whether n knows the other's present card, and the other that n does.
func (n *node) has(other *node) bool {
	theirs, err := n.book.ByOrg(other.keys.Org())
	check(n.t, err)
	ours, err := other.book.ByOrg(n.keys.Org())
	check(n.t, err)
	return theirs.Card.ID() == other.book.Self().ID() && ours.Knows == other.book.Self().ID()
}

func TestANewCardReachesConnectedPartnersAtOnce(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	a.delivered(a.send("bert", []byte("connects")).ID)
	for range 2 {
		check(t, a.book.Renew(t.Context()))
		a.CallAll()
		until(t, "bert has anna's new card", func() bool { return b.has(a) })
	}
	b.delivered(b.send("anna", []byte("under the new card")).ID)
}

func TestWhatWasSignedUnderAnyOlderCardIsDelivered(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	b.halt()
	var ids []record.TransferID
	for range 4 {
		ids = append(ids, a.send("bert", []byte("waits")).ID)
		check(t, a.book.Renew(t.Context()))
	}
	b.start()
	for _, id := range ids {
		a.delivered(id)
		if _, err := b.Evidence(t.Context(), id); err != nil {
			t.Errorf("the evidence of %s: %v", id, err)
		}
	}
}

func TestAReceiptUnderACardThatTheSenderMissedArrives(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	a.delivered(a.send("bert", []byte("connects")).ID)
	check(t, b.book.Renew(t.Context())) // and nobody calls
	b.seen(func(p exchange.Point) {
		if p == exchange.AfterReceived {
			check(t, b.book.Renew(b.t.Context()))
		}
	})
	id := a.send("bert", []byte("received under the second card, told under the third")).ID
	a.delivered(id)
	b.seen(nil)
	if _, receipts := a.records(id); len(receipts) != 1 {
		t.Errorf("%d receipts", len(receipts))
	}
}

func TestANewAddressReachesPartnersWithoutTheRootKey(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	a.delivered(a.send("bert", []byte("connects")).ID)
	card := b.book.Self().ID()
	b.halt()
	b.listen = []string{"/ip4/127.0.0.1/tcp/0"}
	b.start()
	until(t, "anna knows where bert is", func() bool {
		p, err := a.book.ByOrg(b.keys.Org())
		check(t, err)
		return len(p.AllAddresses()) == 1 && p.AllAddresses()[0] == b.host.Addrs()[0]
	})
	if b.book.Self().ID() != card {
		t.Error("a new card was signed for an address")
	}
	a.halt()
	a.start() // which dials now
	a.delivered(a.send("bert", []byte("over there")).ID)
}
