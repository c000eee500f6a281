package hashanchor

import (
	"context"
	"fmt"
	"time"

	"dxd/record"
)

// checkProofs follows each proof from the leaf of its record to the anchor's
// root, and finds the account on a card. What the anchor says of chain, block
// and time is for the chain to confirm: all proofs name one chain and one
// contract, so that one chain can.
func (v *verifier) checkProofs() error {
	rest := append([]record.Envelope{v.e.Record}, v.e.Receipts...)
	for _, p := range v.e.Proofs {
		for len(rest) > 0 && rest[0].ID() != p.Record {
			rest = rest[1:]
		}
		if len(rest) == 0 {
			return record.Errorf(record.Invalid, "the proof of %s is of no record of this file, or not in its place", p.Record)
		}
		if err := p.Check(rest[0].Leaf()); err != nil {
			return err
		}
		rest = rest[1:]
		if err := v.checkPlace(p.Anchor); err != nil {
			return err
		}
	}
	if p := v.proofOf(v.statement.id); p != nil {
		v.ChainID, v.Block, v.AnchoredBy = p.Anchor.ChainID, p.Anchor.Block, v.owner(p.Anchor.Account)
	}
	return nil
}

// checkPlace checks what can be said about an anchor without its chain.
func (v *verifier) checkPlace(a Anchor) error {
	first := v.e.Proofs[0].Anchor
	if a.ChainID != first.ChainID || a.Contract != first.Contract {
		return record.Errorf(record.Invalid, "the proofs name two chains or contracts: chain %d, contract %s, and chain %d, contract %s",
			first.ChainID, first.Contract, a.ChainID, a.Contract)
	}
	if !v.o.Contract.IsZero() && a.Contract != v.o.Contract {
		return record.WithHint(record.Errorf(record.Invalid, "the proof names the contract %s; the genuine one is at %s", a.Contract, v.o.Contract), mendContract)
	}
	if v.owner(a.Account) == "" {
		return record.Errorf(record.Invalid, "the account %s, which anchored, stands on no card of the file", a.Account)
	}
	return nil
}

// owner says on whose card an account stands.
func (v *verifier) owner(account record.Account) string {
	for i, card := range v.cards {
		for _, a := range card.Body.Accounts {
			switch {
			case a != account:
			case i == 0:
				return "sender"
			default:
				return "recipient"
			}
		}
	}
	return ""
}

// proofOf is the proof of a record, nil if the file has none.
func (v *verifier) proofOf(id record.RecordID) *Proof {
	for i := range v.e.Proofs {
		if v.e.Proofs[i].Record == id {
			return &v.e.Proofs[i]
		}
	}
	return nil
}

func (v *verifier) checkChainID() error {
	if id := v.e.Proofs[0].Anchor.ChainID; id != v.o.ChainID {
		return record.WithHint(record.Errorf(record.Invalid, "the evidence is anchored on chain %d, not on chain %d", id, v.o.ChainID), mendOtherChain)
	}
	return nil
}

const (
	mendNoProof    = "whoever took the evidence can take it again once the transfer's anchor is final"
	mendContract   = "whoever anchored, by anchoring the record anew in the genuine contract; what another contract says proves nothing"
	mendOtherChain = "whoever verifies, if this chain will do; or whoever anchored, by anchoring the record anew on the chain that is asked for"
	mendNotFinal   = "nobody needs to: verify again later"
	mendNoChain    = "ask a chain: --rpc URL; or, of a file with a state proof, whoever knows the block's hash: --block-hash"
	mendAnchor     = "ask another endpoint; if it says the same, the organisation whose account it is can anchor the record anew"
)

// checkChain takes the steps for which a chain is asked, or the blocks that
// the verifier knows.
func (v *verifier) checkChain(ctx context.Context) error {
	asked := v.o.Chain != nil || len(v.o.Blocks) > 0
	if asked {
		if err := v.checkStateBlocks(ctx); err != nil || v.failed() {
			return err
		}
	}
	proof := v.proofOf(v.statement.id)
	switch {
	case proof == nil:
		v.addUndecided(CheckAnchor, "the file has no proof that the "+v.statement.what+" is anchored", mendNoProof)
	case !asked:
		v.addUndecided(CheckAnchor, v.unasked(), mendNoChain)
	default:
		if err := v.checkAnchor(ctx, proof.Anchor); err != nil {
			return err
		}
	}
	if !asked {
		return nil
	}
	if err := v.checkReceiptAnchors(ctx); err != nil {
		return err
	}
	return v.checkBeacon(ctx)
}

// unasked says what there is to ask.
func (v *verifier) unasked() string {
	text := fmt.Sprintf("no chain was asked whether the root stands in block %d of chain %d", v.Block, v.ChainID)
	for _, b := range v.blocks {
		text += fmt.Sprintf(", nor anybody whether block %d has the hash %s", b.Block, b.Hash)
	}
	return text
}

// checkAnchor asks for the record's own anchor.
func (v *verifier) checkAnchor(ctx context.Context, a Anchor) error {
	found, differs, err := v.lookup(ctx, a)
	switch {
	case err != nil:
		return err
	case differs != nil:
		v.add(CheckAnchor, "", differs)
	case found.Standing == "":
		v.addUndecided(CheckAnchor, fmt.Sprintf("the file has no state proof of the root in block %d, and no chain was to be asked", a.Block), mendNoState)
	case found.Standing == Missing:
		v.addUndecided(CheckAnchor, fmt.Sprintf("the root stands in block %d, but the chain's endpoint has only come to %d", a.Block, found.Head), mendNotFinal)
	case found.Standing == Included:
		v.addUndecided(CheckAnchor, fmt.Sprintf("the root stands in block %d, which is not final yet", a.Block), mendNotFinal)
	default:
		at := time.Unix(a.Time, 0).UTC()
		v.AnchoredAt = &at
		v.add(CheckAnchor, fmt.Sprintf("chain %d: account %s, the %s's, anchored the root in block %d at %s, for good",
			a.ChainID, a.Account, v.AnchoredBy, a.Block, at.Format(time.RFC3339)), nil)
	}
	return nil
}

// checkReceiptAnchors asks for the anchors of receipts. One that is not final
// yet is no fault: it dates the receipt and no more.
func (v *verifier) checkReceiptAnchors(ctx context.Context) error {
	detail := ""
	for _, r := range v.receipts {
		p := v.proofOf(r.ID())
		if p == nil {
			continue
		}
		found, differs, err := v.lookup(ctx, p.Anchor)
		if err != nil {
			return err
		}
		if differs != nil {
			v.add(CheckReceived, "", differs)
			return nil
		}
		if found.Standing == "" {
			v.addUndecided(CheckReceived, fmt.Sprintf("the file has no state proof of a receipt's root in block %d, and no chain was to be asked", p.Anchor.Block), mendNoState)
			return nil
		}
		if found.Standing == Missing && r.Body.Created >= v.cardEnd(r.Body.Header) {
			// By its own word the receipt came too late, and whoever holds it can make
			// up an anchor that nobody can look up yet.
			v.addUndecided(CheckReceived, fmt.Sprintf("a receipt says itself that it was signed at %s, after its signer's card had ended, and the chain's endpoint has not come to block %d, which is to show that it is older",
				utc(r.Body.Created), p.Anchor.Block), mendNotFinal)
			return nil
		}
		if found.Standing == Missing {
			detail += fmt.Sprintf("; the file names block %d for a receipt, to which the chain's endpoint has not come: nothing is known of it", p.Anchor.Block)
			continue
		}
		detail += fmt.Sprintf("; a receipt, and so the manifest, was anchored by the %s's account %s in block %d at %s", v.owner(p.Anchor.Account), p.Anchor.Account, p.Anchor.Block, utc(p.Anchor.Time*1000))
		if found.Standing != Final {
			detail += ", which is not final yet"
		} else if v.ReceiptAnchoredBy == "" {
			v.ReceiptAnchoredBy = v.owner(p.Anchor.Account)
		}
	}
	if detail != "" {
		v.add(CheckReceived, detail[2:], nil)
	}
	return nil
}

// lookup asks the chain for an anchor. differs says that the chain knows
// better; an endpoint that has not come as far as the block knows nothing.
func (v *verifier) lookup(ctx context.Context, a Anchor) (found Found, differs, err error) {
	if len(v.o.Blocks) > 0 {
		return v.lookupState(a), nil, nil
	}
	found, err = v.o.Chain.Lookup(ctx, a)
	switch {
	case record.KindOf(err) == record.Invalid:
		return found, hint(record.Errorf(record.Invalid, "the chain was asked, and such an anchor can't stand there: %w", err), mendAnchor), nil
	case err != nil:
		return found, nil, err
	case found.Standing == Missing && found.Head >= a.Block:
		differs = record.Errorf(record.Invalid, "account %s has not anchored the root %s on chain %d up to its block %d; the file names block %d",
			a.Account, a.Root, a.ChainID, found.Head, a.Block)
	case found.Standing != Missing && (found.Block != a.Block || found.Time != a.Time):
		differs = record.Errorf(record.Invalid, "the root stands in block %d of %s; the file says block %d of %s",
			found.Block, utc(found.Time*1000), a.Block, utc(a.Time*1000))
	}
	return found, record.WithHint(differs, mendAnchor), nil
}

// checkBeacon asks for the block that the record names. A block's hash can't
// be known before the block, so a true one shows that the record is younger. A
// false one takes that away and nothing else: a sender must not be able to
// spoil the recipient's evidence by it.
func (v *verifier) checkBeacon(ctx context.Context) error {
	b := v.statement.beacon
	if b == (record.Beacon{}) {
		return nil
	}
	if len(v.o.Blocks) > 0 {
		v.add(CheckNotBefore, fmt.Sprintf("it names block %d with the hash %s; when that was made only a chain can say, and none was asked: nothing is known about the earliest time", b.Block, b.Hash), nil)
		return nil
	}
	there, err := v.o.Chain.Block(ctx, b.Block)
	switch {
	case record.KindOf(err) == record.NotFound:
		v.add(CheckNotBefore, fmt.Sprintf("the signer names block %d, to which the chain's endpoint has not come: nothing is known about the earliest time", b.Block), nil)
		return nil
	case err != nil:
		return err
	case there != b:
		v.add(CheckNotBefore, fmt.Sprintf("the signer names block %d of chain %d with the hash %s, which this chain does not have so: nothing is known about the earliest time", b.Block, b.ChainID, b.Hash), nil)
		return nil
	}
	at := time.Unix(b.Time, 0).UTC()
	v.NotBefore = &at
	v.add(CheckNotBefore, fmt.Sprintf("it names block %d, so it was not signed before %s", b.Block, at.Format(time.RFC3339)), nil)
	return nil
}
