package daemon_test

import (
	"testing"
	"time"

	"dxd/crypto"
	"dxd/exchange"
	"dxd/p2p"
	"dxd/record"
)

// calls is a node of a keyring that is connected to the house, and a channel
// that holds a token once it is not any more.
func calls(t *testing.T, keys *crypto.Keyring, h *house) (host *p2p.Host, gone chan struct{}) {
	t.Helper()
	host, err := p2p.New(p2p.Config{Identity: keys.NodeSigner(), Gate: anybody{}})
	check(t, err)
	t.Cleanup(func() { check(t, host.Close()) })
	c, err := host.Open(t.Context(), h.Keys.Node(), h.Host.Addrs(), exchange.ProtocolHello)
	check(t, err)
	check(t, c.Reset()) // the connection stays, and nothing is under way on it
	gone = make(chan struct{}, 1)
	host.Watch(func(_ record.NodeID, connected bool) {
		if !connected {
			gone <- struct{}{}
		}
	})
	return host, gone
}

func TestANodeThatANewCardLeavesOutIsCutOff(t *testing.T) {
	h := newHouse(t, "Acme")
	leaves, err := crypto.Generate()
	check(t, err)
	both, err := leaves.With(crypto.RoleNode)
	check(t, err)
	stays, err := both.Without(crypto.RoleNode, leaves.Node().String())
	check(t, err)
	card := func(keys *crypto.Keyring, serial int64, previous record.RecordID) record.OpenedCardFile {
		card, err := keys.SignCard(record.Card{
			Header: record.Header{Created: time.Now().UnixMilli()}, Name: "Globex",
			Serial: serial, Previous: previous, Expires: time.Now().Add(time.Hour).UnixMilli(),
		})
		check(t, err)
		return record.OpenedCardFile{Card: card}
	}
	first := card(both, 1, record.RecordID{})
	_, err = h.Book.Add(t.Context(), first, "globex")
	check(t, err)
	old, oldGone := calls(t, leaves, h)
	new, newGone := calls(t, stays, h)
	second := card(both, 2, first.Card.ID())
	check(t, h.Book.Learn(t.Context(), second.Card.Body.Org, second))
	check(t, h.Book.Learn(t.Context(), second.Card.Body.Org, card(stays, 3, second.Card.ID())))
	select {
	case <-oldGone:
	case <-time.After(patience):
		t.Error("a node that left the card is still connected")
	}
	select {
	case <-newGone:
		t.Error("a node that stays on the card was cut off")
	default:
	}
	if old.Connected(h.Keys.Node()) || !new.Connected(h.Keys.Node()) {
		t.Errorf("connected: the old node %v, the new one %v", old.Connected(h.Keys.Node()), new.Connected(h.Keys.Node()))
	}
}
