package exchange_test

import (
	"context"
	"encoding/json"
	"testing"

	"dxd/crypto"
	"dxd/exchange"
	"dxd/p2p"
	"dxd/partner"
	"dxd/record"
)

// replaced gives a node that runs another card: with the same keys, or with
// another signing key, of which a copy from before knows nothing.
func (n *node) replaced(rotate bool) (back func()) {
	n.t.Helper()
	if !rotate {
		check(n.t, n.book.Renew(n.t.Context()))
		return func() {}
	}
	old := n.keys
	next, err := old.With(crypto.RoleSigning)
	check(n.t, err)
	n.halt()
	n.keys = next
	n.start()
	check(n.t, n.book.Settle(n.t.Context()))
	return func() { n.keys = old }
}

func TestANodeThatWasPutBackBehindItsCardGoesOn(t *testing.T) {
	for name, rotate := range map[string]bool{"renewed": false, "signing key rotated": true} {
		t.Run(name, func(t *testing.T) {
			a, b := newNode(t, "anna"), newNode(t, "bert")
			pair(t, a, b)
			meet(a, b)
			a.halt()
			putBack := a.backup()
			a.start()
			keysBack := a.replaced(rotate)
			a.CallAll()
			until(t, "bert has the new card", func() bool { return b.has(a) })
			lost := a.delivered(a.send("bert", []byte("under the new card")).ID).ID
			newer := a.book.Self()
			old := a.number(lost)
			a.halt()
			putBack()
			keysBack()

			a.start()
			id := a.delivered(a.send("bert", []byte("goes on")).ID).ID
			back := b.delivered(b.send("anna", []byte("and back")).ID).ID
			if n := a.number(id); n.Epoch == old.Epoch {
				t.Errorf("it went on with %+v behind %+v", n, old)
			}
			own := a.book.Self()
			if rotate && own.Body.Serial <= newer.Body.Serial || !rotate && own.ID() != newer.ID() || !a.keys.OnCard(own.Body) {
				t.Errorf("its card is %d behind %d", own.Body.Serial, newer.Body.Serial)
			}
			a.alarmed(2, "our card 2, signed with our root key", "our number 2 (lane doc")
			b.alarmed(1, "does not go on from its number")
			for _, n := range []*node{a, b} {
				n.verifies(id)
				n.verifies(back)
			}
			b.verifies(lost)
			// Nobody is told again.
			a.halt()
			a.start()
			meet(a, b)
			a.alarmed(2)
			b.alarmed(1)
		})
	}
}

func TestPartnersThatKnowDifferentCardsOfOneSerialBothGoOn(t *testing.T) {
	a, b, c := newNode(t, "anna"), newNode(t, "bert"), newNode(t, "carl")
	pair(t, a, b)
	pair(t, a, c)
	meet(a, b)
	meet(a, c)
	c.halt()
	a.halt()
	putBack := a.backup()
	a.start()
	check(t, a.book.Renew(t.Context()))
	meet(a, b)
	until(t, "bert has the new card", func() bool { return b.has(a) })
	a.halt()
	putBack()
	b.halt()
	a.start()
	check(t, a.book.Renew(t.Context())) // once more, with nobody to say that it was
	waits := a.send("bert", []byte("under a card that bert does not know")).ID
	c.start()
	meet(a, c)
	until(t, "carl has the new card", func() bool { return c.has(a) })
	b.start()
	a.delivered(waits)
	meet(a, b)
	meet(a, c)
	a.verifies(waits)
	b.verifies(waits)
	until(t, "both have the newest card", func() bool { return b.has(a) && c.has(a) })
	if len(c.alarms()) != 0 {
		t.Errorf("carl, who knew one of them, was told %q", c.alarms())
	}
}

func TestACardOfOursThatWeDidNotSignIsNotBelieved(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	meet(a, b)
	own := a.book.Self()
	stranger := newNode(t, "carl").book.Self()
	next, err := a.keys.SignCard(record.Card{
		Header: record.Header{Created: own.Body.Created}, Name: "anna", Serial: 2, Previous: own.ID(), Expires: own.Body.Expires,
	})
	check(t, err)
	for what, yours := range map[string][]record.Envelope{
		"a stranger's card":  {stranger.Envelope},
		"one beside a real":  {next.Envelope, stranger.Envelope},
		"four cards":         {next.Envelope, next.Envelope, next.Envelope, next.Envelope},
		"what is no card":    {b.heads(t, a, nil).Envelope},
		"a record of nobody": {record.Envelope{}},
	} {
		if err := b.shows(t, a, yours); err == nil {
			t.Errorf("%s: the hello is answered", what)
		}
		if now := a.book.Self(); now.ID() != own.ID() || len(a.alarms()) != 0 {
			t.Errorf("%s: the card is %d, and people were told %q", what, now.Body.Serial, a.alarms())
		}
		if _, err := a.book.Card(t.Context(), next.ID()); record.KindOf(err) != record.NotFound {
			t.Errorf("%s: it was kept: %v", what, err)
		}
	}
	// What we did sign is.
	check(t, b.shows(t, a, []record.Envelope{next.Envelope, own.Envelope}))
	if now := a.book.Self(); now.ID() != next.ID() {
		t.Errorf("the card is %d", now.Body.Serial)
	}
	a.alarmed(1, "our card 2")
}

// shows has a node call another one by hand, with cards of that one.
func (n *node) shows(t *testing.T, to *node, yours []record.Envelope) error {
	t.Helper()
	file, err := n.book.CardFile(n.host.Addrs())
	check(t, err)
	raw, err := json.Marshal(map[string]any{"v": 1, "file": file.File(), "heads": n.heads(t, to, nil).Envelope, "yours": yours})
	check(t, err)
	s := n.stream(t, to, exchange.ProtocolHello)
	writeFrame(t, s, typeHello, raw)
	_, _, err = readFrame(s)
	return err
}

// A partner that withholds our newer card harms itself: nothing is sent to it.
func TestAPartnerThatWithholdsOurCardGetsNothing(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	meet(a, b)
	a.halt()
	putBack := a.backup()
	a.start()
	a.replaced(false)
	meet(a, b)
	last := a.delivered(a.send("bert", []byte("under the new card")).ID).ID
	manifest, _ := a.records(last)
	number := a.number(last)
	a.halt()
	putBack()
	b.hushed.Store(true)
	b.host.Handle(exchange.ProtocolHello, func(_ context.Context, c *p2p.Conn) { c.Reset() })
	a.start()
	claim := b.heads(t, a, func(h *record.Heads) {
		h.Received = []record.ReceivedHead{{Epoch: number.Epoch, Lane: record.LaneDoc, Sequence: number.Sequence, Complete: number.Sequence, Record: manifest.ID()}}
	})
	if _, err := b.calls(t, a, claim.Envelope, manifest); err == nil {
		t.Error("the hello is answered")
	}
	a.alarmed(1, "shows no record of ours with it that can be verified")
	if p, err := a.book.ByOrg(b.keys.Org()); err != nil || p.State != partner.Active {
		t.Errorf("bert is %+v, %v", p.State, err)
	}
}
