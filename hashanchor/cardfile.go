package hashanchor

import (
	"slices"

	"dxd/record"
)

// CardFile is an opened card file. Proof, if it has one, leads from the card to
// a root that one of the card's own accounts anchored, so that it stands
// without any other card; whether it did, only the chain knows.
type CardFile struct {
	record.OpenedCardFile
	Proof *Proof
}

// OpenCardFile reads and verifies a card file, its proof included.
func OpenCardFile(data []byte) (CardFile, error) {
	opened, err := record.OpenCardFile(data)
	if err != nil || opened.Proof == nil {
		return CardFile{OpenedCardFile: opened}, err
	}
	p, err := ParseProof(opened.Proof)
	if err == nil {
		err = checkCardProof(opened.Card, p)
	}
	if err != nil {
		return CardFile{}, record.WithHint(err, "ask for the card file again: this one was changed, or put together wrongly")
	}
	return CardFile{opened, &p}, nil
}

func checkCardProof(card record.Signed[record.Card], p Proof) error {
	if p.Record != card.ID() {
		return record.Errorf(record.Invalid, "the card file's proof is of another record than its card")
	}
	if !slices.Contains(card.Body.Accounts, p.Anchor.Account) {
		return record.Errorf(record.Invalid, "the account %s, which anchored the card, does not stand on it", p.Anchor.Account)
	}
	return p.Check(card.Leaf())
}
