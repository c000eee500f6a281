package partner

import (
	"context"

	"dxd/blobstore"
	"dxd/record"
)

// A state directory that was put back to an older copy of itself does not know
// the cards that the copy in between has signed, but partners do. They show
// them, and since only the holder of our root key can have signed them, they
// are ours.

// MaxShown is how many of our cards a partner may show at a time: the one that
// it has, and those that our records name which it shows, one for each lane.
const MaxShown = 3

// CatchUp takes over cards that another copy of our state signed, as a partner
// shows them: they are kept, since records name them. If the partner's newest
// one would have it refuse ours, ours becomes one that it takes. told is called
// for each card that is new, in the same update.
func (b *Book) CatchUp(ctx context.Context, shown []record.Envelope, told func(tx blobstore.Tx, card record.Card) error) error {
	if len(shown) > MaxShown {
		return record.Errorf(record.Invalid, "%d cards of ours in one hello", len(shown))
	}
	fresh, err := b.unknown(ctx, shown)
	if err != nil || len(fresh) == 0 {
		return err
	}
	b.renewing.Lock()
	defer b.renewing.Unlock()
	own := b.Self().ID() // before the journal says another, which Run may hear first
	b.at(BeforeCatchUp)
	err = b.Journal.Update(ctx, func(tx blobstore.Tx) error {
		for _, card := range fresh {
			if _, err := tx.Get(cardKey(tx, card.ID())); err == nil {
				continue // by another partner, a moment ago
			} else if record.KindOf(err) != record.NotFound {
				return err
			}
			if err := b.takeOwn(tx, card); err != nil {
				return err
			}
			if err := told(tx, card.Body); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	// At this point the other copy's cards are ours, and so is one that follows
	// them; a crash after this changes nothing.
	b.at(AfterCatchUp)
	if err := b.reload(ctx); err != nil {
		return err
	}
	if b.OnCard != nil && b.Self().ID() != own {
		b.OnCard()
	}
	return nil
}

// unknown verifies those of the cards that are not known here.
func (b *Book) unknown(ctx context.Context, shown []record.Envelope) (fresh []record.Signed[record.Card], err error) {
	for _, e := range shown {
		_, err := b.Card(ctx, e.ID())
		if err == nil {
			continue
		}
		if record.KindOf(err) != record.NotFound {
			return nil, err
		}
		card, err := record.OpenCard(e)
		if err != nil {
			return nil, err
		}
		if card.Body.Org != b.Keys.Org() {
			return nil, record.Errorf(record.Invalid, "a partner shows another organisation's card as ours")
		}
		fresh = append(fresh, card)
	}
	return fresh, nil
}

// takeOwn keeps a card that another copy of our state signed. If whoever has
// it would refuse our own, it becomes ours, or a newer one does.
//
// It becomes ours if it is a mere renewal of ours. Else the next one follows
// ours and not the other, so that a partner gets with the history what it lacks:
// ours, under which records may wait. Its serial leaves one out, since only the
// very next one must name the card that the partner has.
func (b *Book) takeOwn(tx blobstore.Tx, card record.Signed[record.Card]) error {
	own, err := ownCard(tx)
	if err != nil {
		return err
	}
	switch {
	case succeeds(card, own) == nil:
		return tx.Set(cardKey(tx, card.ID()), card.Bytes())
	case card.Body.Previous == own.ID() && b.Keys.OnCard(card.Body):
		return b.putOwn(tx, card)
	}
	next, err := signAfter(b.Keys, own, max(own.Body.Serial, card.Body.Serial)+2, b.Now())
	if err != nil {
		return err
	}
	if err := tx.Set(cardKey(tx, card.ID()), card.Bytes()); err != nil {
		return err
	}
	return b.putOwn(tx, next)
}
