package queue

import (
	"bytes"
	"context"
	"time"

	"dxd/blobstore"
	"dxd/hashanchor"
	"dxd/record"
)

// patience is how long a pushed proof may name a block that the chain does not
// have, before it is dropped: endpoints fall behind, partners lie.
const patience = time.Hour

// maxAsked bounds the anchors that one round asks for, and maxSeen the proofs
// that it reads. Proofs of one batch share an anchor.
const (
	maxAsked = 64
	maxSeen  = 1024
)

// pushed is a proof on a partner's word.
type pushed struct {
	Proof   hashanchor.Proof `json:"proof"`
	Missing int64            `json:"missing,omitzero"` // ms since 1970 when its block was first found to be ahead of the chain
}

// Receive takes the proof of a record that we hold from a partner. leafOf finds
// the record's leaf, to which the path is compared, and refuses an account that
// may not anchor it. The proof counts for nothing before Run has asked the
// chain; without a chain it is kept as it is. state, which the caller has
// checked, is the state proof that came along; nil if none did.
func Receive(tx blobstore.Tx, proof []byte, state *hashanchor.State, leafOf func(id record.RecordID, account record.Account) (record.Hash, error)) error {
	p, err := hashanchor.ParseProof(proof)
	if err != nil {
		return err
	}
	hash, err := leafOf(p.Record, p.Anchor.Account)
	if err != nil {
		return err
	}
	if err := p.Check(hash); err != nil {
		return err
	}
	if _, err := tx.Get(ofRecord(tx, prefixProof, p.Record)); record.KindOf(err) != record.NotFound {
		return err // there is one that the chain confirmed
	}
	if err := set(tx, ofRecord(tx, prefixPushed, p.Record), pushed{Proof: p}); err != nil {
		return err
	}
	told := ofRecord(tx, prefixTold, p.Record) // one for each record, or a partner could fill the disk with them
	if state == nil {
		return tx.Delete(told)
	}
	return set(tx, told, state)
}

// PushedProofOf is a proof that a partner sent and that nobody has checked
// against the chain; NotFound if there is none.
func PushedProofOf(tx blobstore.ReadTx, id record.RecordID) (hashanchor.Proof, error) {
	var p pushed
	there, err := get(tx, ofRecord(tx, prefixPushed, id), &p)
	if err == nil && !there {
		err = record.Errorf(record.NotFound, "no proof of record %s was pushed", id)
	}
	return p.Proof, err
}

// verdict is what becomes of a pushed proof.
type verdict int

const (
	wait    verdict = iota // not final yet
	ahead                  // the chain has not come to its block
	foreign                // on another chain, which this one can't tell about
	holds
	wrong
)

// checkPushed asks the chain for proofs that partners pushed. left says that
// some wait for the chain to go on.
func (q *Queue) checkPushed(ctx context.Context, head hashanchor.Head) (left bool, err error) {
	entries, err := q.pushedEntries(ctx)
	if err != nil {
		return false, err
	}
	verdicts := map[hashanchor.Anchor]verdict{}
	for _, e := range entries {
		var p pushed
		if err := decode(e.Key, e.Value, &p); err != nil {
			return false, err
		}
		v, asked := verdicts[p.Proof.Anchor]
		if !asked {
			if len(verdicts) == maxAsked {
				q.next = e.Key // the next round begins here
				return true, nil
			}
			if v, err = q.judge(ctx, head, p.Proof.Anchor); err != nil {
				return false, err
			}
			verdicts[p.Proof.Anchor] = v
		}
		left = left || v == wait || v == ahead
		if err := q.settle(ctx, e, p, v); err != nil {
			return false, err
		}
	}
	return left, nil
}

// pushedEntries reads some of them, those after the last look first.
func (q *Queue) pushedEntries(ctx context.Context) (entries []blobstore.Entry, err error) {
	err = q.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		entries = nil
		for e, err := range tx.Scan(prefixPushed, q.next, false) {
			if err != nil {
				return err
			}
			if entries = append(entries, e); len(entries) == maxSeen {
				break
			}
		}
		return nil
	})
	q.next = ""
	if len(entries) == maxSeen {
		q.next = entries[maxSeen-1].Key
	}
	return entries, err
}

// judge asks the chain about an anchor that a partner claims.
func (q *Queue) judge(ctx context.Context, head hashanchor.Head, a hashanchor.Anchor) (verdict, error) {
	if !q.asks(a) {
		return foreign, nil // stays unchecked, as without a chain
	}
	found, err := q.Chain.Lookup(ctx, a)
	if record.KindOf(err) == record.Invalid {
		return wait, nil // such as an entry that a fork took along: it holds up nothing else
	}
	if err != nil {
		return wait, err
	}
	same := found.Block == a.Block && found.Time == a.Time
	switch {
	case found.Standing == hashanchor.Final && same:
		return holds, nil
	case found.Standing == hashanchor.Missing && found.Head < a.Block:
		return ahead, nil
	case found.Standing == hashanchor.Included && same:
		return wait, nil // whoever told of the head may be another endpoint, ahead of this one
	case found.Standing == hashanchor.Final, head.Final.Block >= a.Block:
		return wrong, nil // what is final does not change any more
	}
	return wait, nil
}

// settle does with a pushed proof what its verdict says.
func (q *Queue) settle(ctx context.Context, e blobstore.Entry, p pushed, v verdict) error {
	switch v {
	case wait, foreign:
		return nil
	case ahead:
		now := time.Now().UnixMilli()
		if p.Missing == 0 {
			p.Missing = now
			return q.unlessReplaced(ctx, e, func(tx blobstore.Tx) error { return set(tx, e.Key, p) })
		}
		if now-p.Missing < patience.Milliseconds() {
			return nil
		}
		v = wrong
	}
	if v == wrong {
		q.Log.Warn("a pushed proof does not hold on the chain", "chain_id", p.Proof.Anchor.ChainID, "block", p.Proof.Anchor.Block)
	}
	return q.unlessReplaced(ctx, e, func(tx blobstore.Tx) error {
		if err := tx.Delete(ofRecord(tx, prefixTold, p.Proof.Record)); err != nil {
			return err
		}
		if err := tx.Delete(e.Key); err != nil || v == wrong {
			return err
		}
		if err := want(tx, p.Proof.Anchor); err != nil {
			return err
		}
		return q.putProof(tx, p.Proof, false)
	})
}

// unlessReplaced is Journal.Update, unless the partner has pushed another proof
// of the record while the chain was asked: that one is judged in its own turn.
func (q *Queue) unlessReplaced(ctx context.Context, e blobstore.Entry, fn func(tx blobstore.Tx) error) error {
	return q.Journal.Update(ctx, func(tx blobstore.Tx) error {
		now, err := tx.Get(e.Key)
		if err != nil || !bytes.Equal(now, e.Value) {
			return err
		}
		return fn(tx)
	})
}
