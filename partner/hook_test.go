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
