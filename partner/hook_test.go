package partner_test

import (
	"slices"
	"testing"
	"time"

	"dxd/blobstore"
	"dxd/partner"
	"dxd/record"
)

func TestWhatConcernsPeopleIsToldAndAnAddressIsNot(t *testing.T) {
	h, globex := newHome(t), newOrg(t)
	var told []partner.State
	h.OnChange = func(_ blobstore.Tx, org record.OrgID, s partner.State) error {
		if org != globex.id() {
			t.Errorf("told of %s", org)
		}
		told = append(told, s)
		return nil
	}
	want := func(what string, states ...partner.State) {
		t.Helper()
		if !slices.Equal(told, states) {
			t.Errorf("%s: told %v, not %v", what, told, states)
		}
		told = nil
	}
	card := globex.card(nil)
	h.has(file(t, card, globex.presence(card, in(0), publicAddr)), "globex")
	want("a new partner", partner.Active)
	check(t, h.learn(globex.id(), file(t, card, globex.presence(card, in(time.Second), otherAddr))))
	check(t, h.Seen(t.Context(), globex.id()))
	h.has(file(t, card), "")
	want("another address, and seen")
	check(t, h.learn(globex.id(), file(t, globex.after(card, nil))))
	want("a newer card", partner.Active)
	h.set("globex", partner.Suspended)
	h.set("globex", partner.Suspended)
	h.set("globex", partner.Removed)
	want("suspended twice, and removed", partner.Suspended, partner.Removed)
}

func TestAChangeThatCantBeToldDoesNotHappen(t *testing.T) {
	h, globex := newHome(t), newOrg(t)
	full := record.Errorf(record.Full, "no room")
	h.OnChange = func(blobstore.Tx, record.OrgID, partner.State) error { return full }
	if _, err := h.add(file(t, globex.card(nil)), "globex"); err != full {
		t.Errorf("the error is %v", err)
	}
	if all := h.List(); len(all) != 0 {
		t.Errorf("the partners are %v", all)
	}
}

func TestEachCardOfOursIsToldWithIt(t *testing.T) {
	h := newOwner(t)
	var told []record.RecordID
	h.OnOwn = func(_ blobstore.Tx, card record.Envelope) error {
		told = append(told, card.ID())
		return nil
	}
	check(t, h.Renew(t.Context()))
	first := h.Self()
	next, err := h.keys.SignCard(record.Card{
		Header: record.Header{Created: in(0)}, Name: "Acme", Serial: 3, Previous: first.ID(), Expires: in(time.Hour),
	})
	check(t, err)
	beyond, err := h.keys.SignCard(record.Card{
		Header: record.Header{Created: in(0)}, Name: "Acme", Serial: 5, Previous: next.ID(), Expires: in(time.Hour),
	})
	check(t, err)
	ignore := func(blobstore.Tx, record.Card) error { return nil }
	check(t, h.CatchUp(t.Context(), []record.Envelope{next.Envelope}, ignore))   // which becomes ours
	check(t, h.CatchUp(t.Context(), []record.Envelope{beyond.Envelope}, ignore)) // likewise, or one behind it
	if want := []record.RecordID{first.ID(), next.ID(), h.Self().ID()}; !slices.Equal(told, want) {
		t.Errorf("told of %v, not of %v", told, want)
	}
	h.OnOwn = func(blobstore.Tx, record.Envelope) error { return record.Errorf(record.Full, "no room") }
	last := h.Self().ID()
	if err := h.Renew(t.Context()); record.KindOf(err) != record.Full || h.Self().ID() != last {
		t.Errorf("a card that can't be told is ours all the same (%v)", err)
	}
}
