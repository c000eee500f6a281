package partner_test

import (
	"slices"
	"testing"
	"time"

	"dxd/blobstore"
	"dxd/crypto"
	"dxd/partner"
	"dxd/record"
)

// newOwner is a home whose card is of its own keyring.
func newOwner(t testing.TB) *home {
	t.Helper()
	h := newHome(t)
	check(t, h.store.Update(t.Context(), func(tx blobstore.Tx) error {
		_, err := partner.Init(tx, h.keys, "Acme", today)
		return err
	}))
	h.Book = h.open(h.store)
	return h
}

func TestARenewedCardFollowsTheOldOne(t *testing.T) {
	h := newOwner(t)
	old := h.Self()
	told := 0
	h.OnCard = func() { told++ }
	h.now = today.Add(400 * 24 * time.Hour)
	check(t, h.Renew(t.Context()))
	card := h.Self()
	if b := card.Body; b.Serial != 2 || b.Previous != old.ID() || b.Name != "Acme" || b.Created != h.now.UnixMilli() || !h.keys.OnCard(b) ||
		b.Expires-b.Created != old.Body.Expires-old.Body.Created || told != 1 {
		t.Errorf("after %+v comes %+v, told %d times", old.Body, b, told)
	}
	for _, c := range []record.Signed[record.Card]{old, card} { // records name either
		if kept, err := h.open(h.store).Card(t.Context(), c.ID()); err != nil || kept.ID() != c.ID() {
			t.Errorf("card %d is not kept: %v", c.Body.Serial, err)
		}
	}
	if h.open(h.store).Self().ID() != card.ID() {
		t.Error("after a restart the old card is ours again")
	}
	// And it is one that partners take.
	before, after := record.OpenedCardFile{Card: old}, record.OpenedCardFile{Card: card}
	other := newHome(t)
	other.now = h.now
	_, err := other.Add(t.Context(), before, "acme")
	check(t, err)
	check(t, other.Learn(t.Context(), old.Body.Org, after))
}

func TestTwoRenewalsAtOnceAreTwoCards(t *testing.T) {
	h := newOwner(t)
	done := make(chan error, 2)
	for range 2 {
		go func() { done <- h.Renew(t.Context()) }()
	}
	check(t, <-done)
	check(t, <-done)
	if s := h.Self().Body.Serial; s != 3 {
		t.Errorf("the card has serial %d", s)
	}
}

func TestAPartnerLearnsTheCardsThatItMissed(t *testing.T) {
	ours, theirs := newOwner(t), newHome(t)
	org := ours.Self().Body.Org
	_, err := theirs.Add(t.Context(), record.OpenedCardFile{Card: ours.Self()}, "acme")
	check(t, err)
	cards := []record.Signed[record.Card]{ours.Self()}
	for range 3 {
		check(t, ours.Renew(t.Context()))
		cards = append(cards, ours.Self())
	}
	has := func(want record.RecordID) {
		t.Helper()
		if got, err := theirs.Has(t.Context(), org); err != nil || got != want {
			t.Errorf("the partner says that it has %s, %v", got, err)
		}
	}
	has(cards[0].ID())
	history, err := ours.History(t.Context(), cards[0].ID())
	check(t, err)
	if len(history) != 2 || history[0].ID() != cards[2].ID() || history[1].ID() != cards[1].ID() {
		t.Errorf("%d cards between the first and the fourth", len(history))
	}
	check(t, theirs.Learn(t.Context(), org, record.OpenedCardFile{Card: ours.Self()}))
	has(record.RecordID{}) // it lacks some, and so asks for all
	check(t, theirs.LearnHistory(t.Context(), org, history))
	has(cards[3].ID())
	for _, c := range cards {
		if _, err := theirs.Card(t.Context(), c.ID()); err != nil {
			t.Errorf("card %d: %v", c.Body.Serial, err)
		}
	}
	if none, err := ours.History(t.Context(), cards[3].ID()); err != nil || len(none) != 0 {
		t.Errorf("one who has our card is sent %d more, %v", len(none), err)
	}
	if all, err := ours.History(t.Context(), record.RecordID{}); err != nil || len(all) != 3 {
		t.Errorf("one who has none is sent %d, %v", len(all), err)
	}
}

func TestAHistoryThatDoesNotLeadToTheCardIsRefused(t *testing.T) {
	h, globex, other := newHome(t), newOrg(t), newOrg(t)
	first := globex.card(nil)
	second := globex.after(first, nil)
	third := globex.after(second, nil)
	strange := globex.after(first, func(c *record.Card) { c.Name = "Beside" })
	h.has(file(t, third), "globex")
	learn := func(cards ...record.Signed[record.Card]) error {
		var history []record.Envelope
		for _, c := range cards {
			history = append(history, c.Envelope)
		}
		return h.LearnHistory(t.Context(), globex.id(), history)
	}
	for what, err := range map[string]error{
		"a card beside":    learn(strange),
		"a gap":            learn(first),
		"another's":        learn(other.card(nil)),
		"a forged one":     learn(second, strange),
		"a long one":       learn(slices.Repeat([]record.Signed[record.Card]{second}, 65)...),
		"a stranger's":     h.LearnHistory(t.Context(), other.id(), nil),
		"beyond the first": learn(second, first, first),
	} {
		if err == nil && what != "beyond the first" || what == "beyond the first" && record.KindOf(err) == record.Internal {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, c := range []record.Signed[record.Card]{strange, other.card(nil)} {
		if _, err := h.Card(t.Context(), c.ID()); record.KindOf(err) != record.NotFound {
			t.Errorf("a card got in: %v", err)
		}
	}
	check(t, learn(second, first))
}

func TestWhatAPartnerSaysToHaveMustBeOurs(t *testing.T) {
	h, globex := newOwner(t), newOrg(t)
	card := globex.card(nil)
	h.has(file(t, card), "globex")
	knows := func() record.RecordID {
		p, err := h.open(h.store).ByAlias("globex")
		check(t, err)
		return p.Knows
	}
	for _, id := range []record.RecordID{{}, {1}, card.ID()} {
		check(t, h.Told(t.Context(), globex.id(), id, nil))
		if !knows().IsZero() {
			t.Errorf("the word %s was taken", id)
		}
	}
	check(t, h.Told(t.Context(), globex.id(), h.Self().ID(), nil))
	if knows() != h.Self().ID() {
		t.Error("what the partner has is not noted")
	}
	if err := h.Told(t.Context(), newOrg(t).id(), h.Self().ID(), nil); err == nil {
		t.Error("a stranger's word was taken")
	}
}

func TestACardOfTwoNodesSaysWhereBothAre(t *testing.T) {
	h := newOwner(t)
	next, err := h.keys.With(crypto.RoleNode)
	check(t, err)
	h.keys.Become(next)
	file, err := h.CardFile([]string{publicAddr})
	check(t, err)
	if len(file.Presence) != 1 {
		t.Fatalf("a node that is not on the card has one of %d presences", len(file.Presence))
	}
	check(t, h.Renew(t.Context()))
	for range 2 { // signed anew, and as kept
		if file, err = h.CardFile([]string{publicAddr}); err != nil || len(file.Presence) != 2 {
			t.Fatalf("%d presences, %v", len(file.Presence), err)
		}
		raw, err := file.File().Bytes()
		check(t, err)
		_, err = record.OpenCardFile(raw)
		check(t, err)
	}
}
