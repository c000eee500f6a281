package partner_test

import (
	"testing"

	"dxd/blobstore"
	"dxd/crypto"
	"dxd/partner"
	"dxd/record"
)

// follows signs the card that another copy of the state made after this one.
func follows(t *testing.T, keys *crypto.Keyring, old record.Signed[record.Card], serial int64) record.Signed[record.Card] {
	t.Helper()
	card, err := keys.SignCard(record.Card{
		Header: record.Header{Created: in(0)}, Name: old.Body.Name, Serial: serial, Previous: old.ID(), Expires: old.Body.Expires + 1,
	})
	check(t, err)
	return card
}

// shown has a partner show cards of ours, and counts those that were new.
func (h *home) shown(cards ...record.Signed[record.Card]) (told int, err error) {
	var list []record.Envelope
	for _, c := range cards {
		list = append(list, c.Envelope)
	}
	err = h.CatchUp(h.t.Context(), list, func(blobstore.Tx, record.Card) error {
		told++
		return nil
	})
	return told, err
}

// takes fails unless the home takes the card of another.
func (h *home) takes(card record.Signed[record.Card]) {
	h.t.Helper()
	if err := h.Learn(h.t.Context(), card.Body.Org, record.OpenedCardFile{Card: card}); err != nil {
		h.t.Errorf("card %d is not taken: %v", card.Body.Serial, err)
	}
}

func TestAnotherCopysCardIsTakenSoThatPartnersGoOn(t *testing.T) {
	tests := []struct {
		what   string
		ours   int64 // cards that follow the first one, here and with the other copy
		theirs int64
		rotate bool
		serial int64 // of our card in the end
		adopts bool
	}{
		{"a mere renewal", 0, 1, false, 2, true},
		{"a renewal of a renewal", 0, 2, false, 5, false},
		{"another key", 0, 1, true, 4, false},
		{"two cards of one serial", 1, 1, false, 4, false},
		{"one more than ours", 1, 2, false, 5, false},
		{"one less than ours", 2, 1, false, 5, false},
		{"far less than ours", 4, 1, false, 5, false},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			h, withOurs, withTheirs := newOwner(t), newHome(t), newHome(t)
			first := record.OpenedCardFile{Card: h.Self()}
			for _, p := range []*home{withOurs, withTheirs} {
				_, err := p.Add(t.Context(), first, "acme")
				check(t, err)
			}
			keys := h.keys
			if test.rotate {
				var err error
				keys, err = keys.With(crypto.RoleSigning)
				check(t, err)
			}
			newest := h.Self()
			for range test.theirs {
				newest = follows(t, keys, newest, newest.Body.Serial+1)
				withTheirs.takes(newest)
			}
			for range test.ours {
				check(t, h.Renew(t.Context()))
				withOurs.takes(h.Self())
			}
			before := h.Self()
			if told, err := h.shown(newest); told != 1 || err != nil {
				t.Fatalf("told %d times, %v", told, err)
			}
			now := h.Self()
			if now.Body.Serial != test.serial || (now.ID() == newest.ID()) != test.adopts || !h.keys.OnCard(now.Body) {
				t.Errorf("the card is %+v", now.Body)
			}
			if now.ID() != before.ID() && now.ID() != newest.ID() && now.Body.Previous != before.ID() {
				t.Error("whoever lacks our older card does not get it with the newer")
			}
			withOurs.takes(now)
			withTheirs.takes(now)
			if told, err := h.shown(newest); told != 0 || err != nil || h.Self().ID() != now.ID() {
				t.Errorf("once more: told %d times, %v", told, err)
			}
			if kept, err := h.open(h.store).Card(t.Context(), newest.ID()); err != nil || kept.ID() != newest.ID() {
				t.Errorf("the other copy's card is not kept: %v", err)
			}
			// Partners that have none are sent all that are here.
			if _, err := h.History(t.Context(), record.RecordID{}); err != nil {
				t.Errorf("no history: %v", err)
			}
			check(t, h.Renew(t.Context()))
			withOurs.takes(h.Self())
			withTheirs.takes(h.Self())
		})
	}
}

func TestWhatIsNoCardOfOursIsNotTaken(t *testing.T) {
	h, other := newOwner(t), newOwner(t)
	own := h.Self()
	next := follows(t, h.keys, own, 2)
	four := []record.Signed[record.Card]{next, follows(t, h.keys, own, 2), follows(t, h.keys, own, 2), follows(t, h.keys, own, 2)}
	for what, cards := range map[string][]record.Signed[record.Card]{
		"another organisation's":  {other.Self()},
		"one beside ours":         {next, other.Self()},
		"more than may be shown":  four[:partner.MaxShown+1],
		"an envelope that is not": {record.Signed[record.Card]{}},
	} {
		if told, err := h.shown(cards...); told != 0 || record.KindOf(err) != record.Invalid {
			t.Errorf("%s: told %d times, %v", what, told, err)
		}
	}
	if _, err := h.Card(t.Context(), next.ID()); record.KindOf(err) != record.NotFound || h.Self().ID() != own.ID() {
		t.Errorf("something was taken: %v", err)
	}
}

func TestACrashLeavesAllOfTheOtherCopysCardOrNothing(t *testing.T) {
	for _, point := range []partner.Point{partner.BeforeCatchUp, partner.AfterCatchUp} {
		t.Run(string(point), func(t *testing.T) {
			h := newOwner(t)
			own := h.Self()
			rotated, err := h.keys.With(crypto.RoleSigning)
			check(t, err)
			newest := follows(t, rotated, own, 2)
			h.Seam = func(p partner.Point) {
				if p == point {
					panic(point)
				}
			}
			func() {
				defer func() { _ = recover() }()
				_, _ = h.shown(newest)
				t.Error("it did not come to this point")
			}()
			h.reopen()
			want := own.Body.Serial
			if point == partner.AfterCatchUp {
				want = 4
			}
			if s := h.Self().Body.Serial; s != want {
				t.Errorf("the card is %d", s)
			}
			if _, err := h.shown(newest); err != nil || h.Self().Body.Serial != 4 {
				t.Errorf("in the end the card is %d, %v", h.Self().Body.Serial, err)
			}
		})
	}
}

func TestACardThatIsOursByNowIsToldThoughTheBookHasReadIt(t *testing.T) {
	h, globex := newOwner(t), newOrg(t)
	h.has(file(t, globex.card(nil)), "globex")
	told := 0
	h.OnCard = func() { told++ }
	h.Seam = func(p partner.Point) {
		if p == partner.AfterCatchUp {
			check(t, h.Seen(t.Context(), globex.id())) // reads the journal, as Run does
		}
	}
	_, err := h.shown(follows(t, h.keys, h.Self(), 2))
	check(t, err)
	if s := h.Self().Body.Serial; s != 2 || told != 1 {
		t.Errorf("our card is %d, of which was told %d times", s, told)
	}
}
