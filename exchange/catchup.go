package exchange

import (
	"context"
	"fmt"

	"dxd/blobstore"
	"dxd/record"
)

// cardsOf gives the cards of a partner that it may not know any more if its
// state was put back to an older copy: its newest, and those that its records
// name which are shown to it.
func (x *Exchange) cardsOf(ctx context.Context, org record.OrgID, shown []record.Envelope) ([]record.Envelope, error) {
	p, err := x.Book.ByOrg(org)
	if err != nil {
		return nil, err
	}
	cards := []record.Envelope{p.Card.Envelope}
	given := map[record.RecordID]bool{p.Card.ID(): true}
	for _, e := range shown {
		_, id, err := record.SignerOf(e)
		if err != nil {
			return nil, err
		}
		if given[id] {
			continue
		}
		card, err := x.Book.Card(ctx, id)
		if err != nil {
			return nil, err
		}
		given[id] = true
		cards = append(cards, card.Envelope)
	}
	return cards, nil
}

// catchUp takes over cards of ours that only the partner knows: another copy
// of our state signed them. A partner can't make one up, since each is signed
// with our root key.
func (x *Exchange) catchUp(ctx context.Context, from record.OrgID, yours []record.Envelope) error {
	return x.Book.CatchUp(ctx, yours, func(tx blobstore.Tx, card record.Card) error {
		return x.alarm(tx, from, record.TransferID{}, fmt.Sprintf(
			"a partner has our card %d, signed with our root key, which is not known here: this state directory was put back to an older copy, or somebody else has our keys",
			card.Serial))
	})
}
