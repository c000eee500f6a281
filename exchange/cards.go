package exchange

import (
	"context"
	"slices"

	"dxd/blobstore"
	"dxd/hashanchor/queue"
	"dxd/partner"
	"dxd/record"
)

// A card is a leaf like any record: so everybody can know since when at the
// latest it has stood there, and with it what it revokes. Its proof travels to
// the partners that have the card.

// AnchorCard queues the leaf of a card of ours in the update that makes it
// ours. Once more changes nothing.
func AnchorCard(tx blobstore.Tx, card record.Envelope) error {
	return queue.Add(tx, card.ID(), card.Leaf())
}

// toldCard notes which card of ours a partner has by now. It is told the
// proofs of those that are new to it.
func (x *Exchange) toldCard(ctx context.Context, org record.OrgID, has record.RecordID) error {
	return x.Book.Told(ctx, org, has, func(tx blobstore.Tx, before record.RecordID) error {
		id := has
		for range 1 + partner.MaxHistory {
			if id.IsZero() || id == before {
				return nil
			}
			card, err := partner.CardByID(tx, id)
			if record.KindOf(err) == record.NotFound {
				return nil // another copy of our state had it
			}
			if err != nil {
				return err
			}
			_, err = queue.ProofOf(tx, id)
			if err == nil {
				err = push{Proof: id}.put(tx, org)
			}
			if err != nil && record.KindOf(err) != record.NotFound {
				return err
			}
			id = card.Body.Previous
		}
		return nil
	})
}

// cardProven tells the partners that have a card of ours of its proof, if it
// is the proof of one.
func (x *Exchange) cardProven(tx blobstore.Tx, id record.RecordID) error {
	card, err := partner.CardByID(tx, id)
	var have []record.OrgID
	if err == nil && card.Body.Org == x.Keys.Org() {
		have, err = partner.HaveCard(tx, card)
	}
	switch record.KindOf(err) {
	case record.NotFound:
		return nil // no card
	case record.Damaged:
		x.Log.Error("nobody can be told of a card's proof", "error", err) // which holds up no other proof
		return nil
	}
	if err != nil {
		return err
	}
	for _, org := range have {
		if err := (push{Proof: id}).put(tx, org); err != nil {
			return err
		}
	}
	return nil
}

// CardFile is what to hand to a partner: our card, where our nodes are, and
// the card's proof once it is there.
func (x *Exchange) CardFile(ctx context.Context) (record.CardFile, error) {
	opened, err := x.Book.CardFile(x.Addrs())
	if err != nil {
		return record.CardFile{}, err
	}
	file := opened.File()
	file.Proof, err = x.proofOfCard(ctx, opened.Card)
	return file, err
}

// PartnerCardFile is a partner's newest card with its proof, to be shown to
// whoever verifies evidence. It does not tell where the partner is.
func (x *Exchange) PartnerCardFile(ctx context.Context, alias string) (record.CardFile, error) {
	p, err := x.Book.ByAlias(alias)
	if err != nil {
		return record.CardFile{}, err
	}
	proof, err := x.proofOfCard(ctx, p.Card)
	return record.CardFile{Card: p.Card.Envelope, Proof: proof}, err
}

// proofOfCard is the proof that goes into a card file, nil if there is none:
// one that the chain confirmed, or else what the partner pushed, since whoever
// uses it asks a chain. One by an account that is not on the card could not be
// checked.
func (x *Exchange) proofOfCard(ctx context.Context, card record.Signed[record.Card]) (proof []byte, err error) {
	err = x.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		proof = nil
		p, err := queue.ProofOf(tx, card.ID())
		if record.KindOf(err) == record.NotFound {
			p, err = queue.PushedProofOf(tx, card.ID())
		}
		switch {
		case record.KindOf(err) == record.NotFound:
			return nil
		case err != nil:
			return err
		case !slices.Contains(card.Body.Accounts, p.Anchor.Account):
			return nil
		}
		proof, err = p.Bytes()
		return err
	})
	return proof, err
}

// partnersCard finds a card of the partner's own.
func partnersCard(tx blobstore.ReadTx, from record.OrgID, id record.RecordID) (record.Envelope, error) {
	card, err := partner.CardByID(tx, id)
	if err != nil {
		return record.Envelope{}, err
	}
	if card.Body.Org != from {
		return record.Envelope{}, record.Errorf(record.Refused, "the proof of another organisation's card")
	}
	return card.Envelope, nil
}

// cardAccounts are those that may anchor a card: the ones on it. NotFound if
// this is no card.
func cardAccounts(tx blobstore.ReadTx, id record.RecordID) ([]record.Account, error) {
	card, err := partner.CardByID(tx, id)
	return card.Body.Accounts, err
}

func checkCardAnchorer(e record.Envelope, account record.Account) error {
	card, err := record.OpenCard(e)
	if err != nil {
		return err
	}
	if !slices.Contains(card.Body.Accounts, account) {
		return record.Errorf(record.Refused, "a card's proof by the account %s, which is not on the card", account)
	}
	return nil
}
