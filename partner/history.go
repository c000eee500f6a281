package partner

import (
	"context"

	"dxd/blobstore"
	"dxd/record"
)

// A partner may have been away while several cards followed each other, and
// records that wait for it name each of them. So a hello brings those between
// the card that the partner has and the one that is ours now.

// The bounds of a history: what goes into one frame beside all else.
const (
	MaxHistory      = 64
	maxHistoryBytes = 512 << 10
)

// History gives our cards before the one in use, the newest first, down to the
// one that the partner has, which is not among them; all if it has none.
func (b *Book) History(ctx context.Context, has record.RecordID) ([]record.Envelope, error) {
	var history []record.Envelope
	size := 0
	for card := b.Self(); card.ID() != has && len(history) < MaxHistory; {
		previous := card.Body.Previous
		if previous.IsZero() || previous == has {
			break
		}
		var err error
		card, err = b.Card(ctx, previous)
		if record.KindOf(err) == record.NotFound {
			break // another copy of our state had it
		}
		if err != nil {
			return nil, err
		}
		if size += len(card.Bytes()); size > maxHistoryBytes {
			break
		}
		history = append(history, card.Envelope)
	}
	return history, nil
}

// LearnHistory keeps cards of a partner that came before the one that is
// known, newest first. Each must be the one that the card after it names, so
// that none gets in beside them; what is known already ends the list. All are
// taken, or none: an error of kind Quota says that they hold, and are refused
// for now.
func (b *Book) LearnHistory(ctx context.Context, org record.OrgID, history []record.Envelope) error {
	p, err := b.ByOrg(org)
	if err != nil {
		return err
	}
	if len(history) > MaxHistory {
		return record.Errorf(record.Invalid, "a history of %d cards", len(history))
	}
	var fresh []record.Signed[record.Card]
	for next := p.Card; len(history) > 0; history = history[1:] {
		if _, err := b.Card(ctx, next.Body.Previous); record.KindOf(err) != record.NotFound {
			break
		}
		card, err := record.OpenCard(history[0])
		if err != nil {
			return err
		}
		if card.ID() != next.Body.Previous || card.Body.Org != org || card.Body.Serial >= next.Body.Serial {
			return record.Errorf(record.Invalid, "a history that does not lead to the partner's card")
		}
		fresh = append(fresh, card)
		next = card
	}
	if len(fresh) == 0 {
		return nil
	}
	return b.keepCards(ctx, org, fresh)
}

// keepCards keeps older cards of a partner, at its pace.
func (b *Book) keepCards(ctx context.Context, org record.OrgID, cards []record.Signed[record.Card]) error {
	b.learning.Lock()
	defer b.learning.Unlock()
	now, spent := b.Now(), 0
	err := b.Journal.Update(ctx, func(tx blobstore.Tx) error {
		spent = 0
		for _, card := range cards {
			if _, err := tx.Get(cardKey(tx, card.ID())); err == nil {
				continue // by another hello, a moment ago
			} else if record.KindOf(err) != record.NotFound {
				return err
			}
			spent++
			if err := tx.Set(cardKey(tx, card.ID()), card.Bytes()); err != nil {
				return err
			}
		}
		return b.paces.check(org, spent, now)
	})
	if err == nil {
		b.paces.spend(org, spent, now)
	}
	return err
}

// Has names the partner's card, to be told to it; the zero id if the card
// before that is missing here, so that it sends its history once more.
func (b *Book) Has(ctx context.Context, org record.OrgID) (record.RecordID, error) {
	p, err := b.ByOrg(org)
	if err != nil {
		return record.RecordID{}, err
	}
	if previous := p.Card.Body.Previous; !previous.IsZero() {
		_, err := b.Card(ctx, previous)
		if record.KindOf(err) == record.NotFound {
			return record.RecordID{}, nil
		}
		if err != nil {
			return record.RecordID{}, err
		}
	}
	return p.Card.ID(), nil
}

// Told notes which card of ours an active partner says that it has. Its word
// counts for nothing but when our old keys may go, and what it is told of our
// cards. If that is news, more is called in the same update with the card that
// it had before; it may be nil.
func (b *Book) Told(ctx context.Context, org record.OrgID, card record.RecordID, more func(tx blobstore.Tx, before record.RecordID) error) error {
	p, err := b.ByOrg(org)
	if err != nil || card.IsZero() || p.Knows == card {
		return err
	}
	ours, err := b.Card(ctx, card)
	if record.KindOf(err) == record.NotFound || err == nil && ours.Body.Org != b.Self().Body.Org {
		return nil // a lie, or from a time that this journal does not know any more
	}
	if err != nil {
		return err
	}
	err = b.Journal.Update(ctx, func(tx blobstore.Tx) error {
		r, err := getRow(tx, org)
		if err != nil {
			return err
		}
		before := r.Knows
		r.Knows = card
		if err := r.put(tx); err != nil || more == nil {
			return err
		}
		return more(tx, before)
	})
	if err != nil {
		return err
	}
	return b.reload(ctx)
}

// HaveCard lists the partners that said to have this card of ours, or a later
// one: with that they got it, too. Removed ones are left out.
func HaveCard(tx blobstore.ReadTx, card record.Signed[record.Card]) (have []record.OrgID, err error) {
	rows, err := scanRows(tx)
	if err != nil {
		return nil, err
	}
	serials := map[record.RecordID]int64{card.ID(): card.Body.Serial}
	for _, r := range rows {
		if r.State == Removed || r.Knows.IsZero() {
			continue
		}
		serial, ok := serials[r.Knows]
		if !ok {
			known, err := CardByID(tx, r.Knows)
			if record.KindOf(err) == record.NotFound {
				continue // of a card that an older copy of the journal lacks
			}
			if err != nil {
				return nil, err
			}
			serial = known.Body.Serial
			serials[r.Knows] = serial
		}
		if serial >= card.Body.Serial {
			have = append(have, r.Org)
		}
	}
	return have, nil
}
