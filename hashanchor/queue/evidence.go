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
// a card of the file; others could not be checked and are left out. Which chain
// that is a confirmed proof says, if there is one: what a partner pushed must not
// keep it out. Nor must it spoil what the chain confirmed: beside that, while we
// have a chain, nothing stands that only a partner claims.
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
	if e.Proofs, err = proofsFor(tx, parts.Records, accounts); err != nil {
		return nil, err
	}
	return e.Bytes()
}

// proofsFor finds the proofs of records by one of the accounts.
func proofsFor(tx blobstore.ReadTx, records []record.Envelope, accounts []record.Account) (proofs []hashanchor.Proof, err error) {
	t, err := getTally(tx)
	if err != nil {
		return nil, err
	}
	found := make([]hashanchor.Proof, len(records)) // zero: none
	var chosen []hashanchor.Proof
	for _, of := range []func(blobstore.ReadTx, record.RecordID) (hashanchor.Proof, error){ProofOf, PushedProofOf} {
		for i, r := range records {
			if !found[i].Record.IsZero() {
				continue
			}
			p, err := of(tx, r.ID())
			if record.KindOf(err) == record.NotFound {
				continue
			}
			if err != nil {
				return nil, err
			}
			if slices.Contains(accounts, p.Anchor.Account) && sameChain(chosen, p) {
				found[i] = p
				chosen = append(chosen, p)
			}
		}
		if t.Chain && len(chosen) > 0 {
			break // a claim that holds is confirmed soon
		}
	}
	return slices.DeleteFunc(found, func(p hashanchor.Proof) bool { return p.Record.IsZero() }), nil
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
