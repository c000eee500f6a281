package queue

import (
	"slices"

	"dxd/blobstore"
	"dxd/hashanchor"
	"dxd/record"
)

// Parts are what evidence is put together from, beside the proofs.
type Parts struct {
	Cards   []record.Envelope // in the order of docs/spec/evidence.md
	Records []record.Envelope // the manifest or the notarisation, then the item's receipts in order
	Opening []byte
	Path    []record.Hash // of the opening in its payload; empty for a document
}

// Evidence writes an evidence file with the proofs that are there: those that
// the chain confirmed, or else what a partner pushed, since whoever verifies
// asks the chain again. All name one chain and one contract, and an account on
// a card of the file; others could not be checked and are left out.
func Evidence(tx blobstore.ReadTx, parts Parts) ([]byte, error) {
	opening, err := record.ParseOpening(parts.Opening)
	if err != nil {
		return nil, record.Errorf(record.Damaged, "couldn't read the opening: %w", err)
	}
	accounts, err := accountsOn(parts.Cards)
	if err != nil {
		return nil, err
	}
	e := hashanchor.Evidence{Cards: parts.Cards, Record: parts.Records[0], Receipts: parts.Records[1:], Opening: opening, Path: parts.Path}
	for _, r := range parts.Records {
		p, err := proofFor(tx, r.ID())
		if record.KindOf(err) == record.NotFound {
			continue
		}
		if err != nil {
			return nil, err
		}
		if slices.Contains(accounts, p.Anchor.Account) && sameChain(e.Proofs, p) {
			e.Proofs = append(e.Proofs, p)
		}
	}
	return e.Bytes()
}

func proofFor(tx blobstore.ReadTx, id record.RecordID) (hashanchor.Proof, error) {
	p, err := ProofOf(tx, id)
	if record.KindOf(err) == record.NotFound {
		return PushedProofOf(tx, id)
	}
	return p, err
}

func accountsOn(cards []record.Envelope) (accounts []record.Account, err error) {
	for _, e := range cards {
		card, err := record.OpenCard(e)
		if err != nil {
			return nil, record.Errorf(record.Damaged, "couldn't read a card: %w", err)
		}
		accounts = append(accounts, card.Body.Accounts...)
	}
	return accounts, nil
}

func sameChain(proofs []hashanchor.Proof, p hashanchor.Proof) bool {
	return len(proofs) == 0 || proofs[0].Anchor.ChainID == p.Anchor.ChainID && proofs[0].Anchor.Contract == p.Anchor.Contract
}
