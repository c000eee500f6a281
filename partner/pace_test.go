package partner_test

import (
	"testing"
	"time"

	"dxd/partner"
	"dxd/record"
)

// burst is how many new cards a partner may bring at once, and pace how long it
// is until it may bring one more.
const (
	burst = partner.MaxHistory + 16
	pace  = 10 * time.Minute
)

// chain is the organisation's card with so many behind it.
func (o *org) chain(n int) []record.Signed[record.Card] {
	cards := []record.Signed[record.Card]{o.card(func(c *record.Card) { c.Expires = in(365 * 24 * time.Hour) })}
	for range n {
		cards = append(cards, o.after(cards[len(cards)-1], func(c *record.Card) { c.Expires = cards[0].Body.Expires }))
	}
	return cards
}

// brings has a partner show its cards, one after the other.
func (h *home) brings(cards ...record.Signed[record.Card]) {
	h.t.Helper()
	for _, c := range cards {
		check(h.t, h.learn(c.Body.Org, file(h.t, c)))
	}
}

// waits fails unless the home refuses the card for now, and keeps the other.
func (h *home) waits(what string, card, keeps record.Signed[record.Card]) {
	h.t.Helper()
	if err := h.learn(card.Body.Org, file(h.t, card)); record.KindOf(err) != record.Quota {
		h.t.Errorf("%s: %v", what, err)
	}
	if p, err := h.ByOrg(card.Body.Org); err != nil || p.Card.ID() != keeps.ID() {
		h.t.Errorf("%s: card %d is known, %v", what, p.Card.Body.Serial, err)
	}
	if _, err := h.Card(h.t.Context(), card.ID()); record.KindOf(err) != record.NotFound {
		h.t.Errorf("%s: the card is kept: %v", what, err)
	}
}

func TestNewCardsOfAPartnerAreTakenAtAPace(t *testing.T) {
	h, globex, acme := newHome(t), newOrg(t), newOrg(t)
	cards := globex.chain(burst + 5)
	h.has(file(t, cards[0]), "globex")
	first := acme.chain(1)
	h.has(file(t, first[0]), "acme")
	h.brings(cards[1 : burst+1]...)
	known, next := cards[burst], cards[burst+1]
	h.waits("one more", next, known)
	check(t, h.learn(globex.id(), file(t, known, globex.presence(known, in(0), publicAddr))))
	if p, _ := h.ByAlias("globex"); len(p.AllAddresses()) != 1 {
		t.Error("an address of a partner with too many cards is not learnt")
	}
	beside := globex.after(cards[burst-1], func(c *record.Card) { c.Name = "Beside" })
	if err := h.learn(globex.id(), file(t, beside)); !partner.IsAlarm(err) {
		t.Errorf("a card that contradicts the known one: %v", err)
	}
	h.brings(first[1]) // another's
	h.now = h.now.Add(pace - time.Second)
	h.waits("too soon", next, known)
	h.now = h.now.Add(time.Second)
	h.brings(next)
	h.waits("another one, then", cards[burst+2], next)
	h.has(file(t, cards[burst+2]), "") // which a person may bring at any time
	h.waits("and still", cards[burst+3], cards[burst+2])
	h.now = h.now.Add(-pace * burst)
	h.brings(cards[burst+3:]...) // a clock that was set back begins anew
}

func TestAHistoryIsTakenAtThePaceOfNewCards(t *testing.T) {
	h, globex := newHome(t), newOrg(t)
	const long, short = 1 + partner.MaxHistory, 1 + partner.MaxHistory + 16
	cards := globex.chain(short + 1)
	history := func(from, to int) error {
		var between []record.Envelope
		for i := to - 1; i > from; i-- {
			between = append(between, cards[i].Envelope)
		}
		return h.LearnHistory(t.Context(), globex.id(), between)
	}
	has := func(what string, want record.RecordID) {
		t.Helper()
		if got, err := h.Has(t.Context(), globex.id()); err != nil || got != want {
			t.Errorf("%s: the partner is told that %s is here, %v", what, got, err)
		}
	}
	h.has(file(t, cards[0]), "globex")
	h.brings(cards[long])
	check(t, history(0, long))
	has("the longest history", cards[long].ID())
	h.brings(cards[short]) // 14 are left
	if err := history(long, short); record.KindOf(err) != record.Quota {
		t.Errorf("a history of 15 cards: %v", err)
	}
	has("some are missing", record.RecordID{}) // so they come again
	if _, err := h.Card(t.Context(), cards[short-1].ID()); record.KindOf(err) != record.NotFound {
		t.Errorf("a part of it is kept: %v", err)
	}
	h.now = h.now.Add(pace)
	check(t, history(long, short))
	has("all are here", cards[short].ID())
	check(t, history(long, short)) // which costs nothing once they are
	h.waits("one more", cards[short+1], cards[short])
}

func TestOldCardsAreReadFromTheJournalWhenTheyAreNeeded(t *testing.T) {
	h, globex := newHome(t), newOrg(t)
	cards := globex.chain(burst)
	h.has(file(t, cards[0]), "globex")
	h.brings(cards[1:]...)
	if n := h.CardsInMemory(); n != 2 {
		t.Errorf("%d cards are in memory, of two organisations", n)
	}
	for range 2 {
		for i, c := range cards {
			if got, err := h.Card(t.Context(), c.ID()); err != nil || got.ID() != c.ID() {
				t.Errorf("card %d: %v", i, err)
			}
		}
	}
	if n := h.CardsInMemory(); n > 2+64 {
		t.Errorf("%d cards are in memory once all were asked for", n)
	}
}
