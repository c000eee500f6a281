package queue

import (
	"context"

	"dxd/blobstore"
	"dxd/hashanchor"
	"dxd/record"
)

// advance asks the chain for the root of an open batch and moves the batch to
// where that says it is. It is all there is of recovery, too: a restart goes
// on with what the journal holds.
//
// held is what keeps the batch's transaction back, such as too little balance;
// it concerns no other batch.
func (q *Queue) advance(ctx context.Context, head hashanchor.Head, open []batch, i int) (held, err error) {
	b := &open[i]
	if b.Turn != "" { // a crash fell into the middle of it
		if err := q.turn(ctx, b, b.Turn, b.Anchor); err != nil {
			return nil, err
		}
		if b.State == Final {
			return nil, nil
		}
	}
	chain := q.chainOf(b)
	if head, err = q.headOf(ctx, chain, head); err != nil {
		return nil, err
	}
	where := chain.Where()
	where.Root = b.Anchor.Root
	if where != b.Anchor {
		return q.move(ctx, head, open, i, where)
	}
	found, err := chain.Lookup(ctx, where)
	if err != nil {
		return nil, err
	}
	switch {
	case found.Standing == hashanchor.Final:
		where.Block, where.Time = found.Block, found.Time
		if !b.Blank {
			if _, err := q.takeStates(ctx, []hashanchor.Anchor{where}); err != nil {
				return nil, err
			}
		}
		return nil, q.turn(ctx, b, Final, where)
	case found.Standing == hashanchor.Included:
		return nil, q.turn(ctx, b, Included, where)
	}
	if b.State == Included {
		q.Log.Warn("a reorg took a batch off the chain", "batch", b.First)
	}
	if err := q.turn(ctx, b, Submitted, where); err != nil {
		return nil, err
	}
	return q.bring(ctx, head, open, i), nil
}

// move begins a batch again on the chain that is configured now. What was sent
// to another one says nothing here.
func (q *Queue) move(ctx context.Context, head hashanchor.Head, open []batch, i int, where hashanchor.Anchor) (held, err error) {
	b := &open[i]
	q.Log.Warn("a batch was begun for another chain, contract or account", "batch", b.First)
	if err := q.turn(ctx, b, Submitted, b.Anchor); err != nil {
		return nil, err
	}
	b.Anchor, b.Sent = where, nil
	return q.anew(ctx, b, freeNonce(head, open, i)), nil
}

// chunk is how many leaves turn in one update. With what OnProof and OnState
// write, they stay well below the 512 KiB that a journal merges into one
// transaction.
const chunk = 128

// turn brings a batch into another state, its leaves chunk by chunk and itself
// last. Where it was interrupted it goes on, so each leaf turns once.
func (q *Queue) turn(ctx context.Context, b *batch, to State, anchor hashanchor.Anchor) error {
	if b.State == to {
		return nil
	}
	var run []leaf
	err := q.Journal.View(ctx, func(tx blobstore.ReadTx) (err error) {
		run, err = leaves(tx, b.First, b.Size)
		return err
	})
	if err != nil {
		return err
	}
	t := turning{queue: q, run: run, to: to, anchor: anchor}
	if to == Final {
		if t.tree, t.places = b.tree(run); t.tree.Root() != anchor.Root {
			return record.Errorf(record.Damaged, "the leaves of batch %d do not make its root", b.First)
		}
	}
	for b.State != to {
		if err := q.Journal.Update(ctx, func(tx blobstore.Tx) (err error) {
			*b, err = t.step(tx, b.First)
			return err
		}); err != nil {
			return err
		}
	}
	if to == Final {
		// [C4] At this point each leaf's proof is durable, and what its
		// owner did with it. A crash before it goes on after the last chunk.
		q.Passed("C4")
		delete(q.sent, b.First)
	}
	return nil
}

// turning is a batch on its way to another state.
type turning struct {
	queue  *Queue
	run    []leaf
	tree   *hashanchor.Batch // nil if there is nothing to prove
	places []int             // of the leaves in it
	to     State
	anchor hashanchor.Anchor
}

// step turns the next chunk of leaves, and with the last one the batch.
func (t turning) step(tx blobstore.Tx, first int64) (b batch, err error) {
	if b, err = getBatch(tx, first); err != nil {
		return b, err
	}
	b.Turn, b.Anchor = t.to, t.anchor
	if b.Blank {
		b.Told = b.Size // there is nobody to tell
	}
	end := min(b.Told+chunk, b.Size)
	for ; b.Told < end; b.Told++ {
		if err := t.one(tx, b.Told); err != nil {
			return b, err
		}
	}
	if b.Told == b.Size {
		b.State, b.Turn, b.Told = t.to, "", 0
		if t.to == Final {
			if err := b.finish(tx, t.queue.final); err != nil {
				return b, err
			}
		}
	}
	if b.Blank && b.State == Final {
		return b, b.drop(tx)
	}
	return b, b.put(tx)
}

// one turns one leaf.
func (t turning) one(tx blobstore.Tx, i int64) error {
	id := t.run[i].id
	if t.to != Final {
		return t.queue.OnState(tx, id, t.to)
	}
	place := t.places[i]
	p := hashanchor.Proof{Record: id, Index: int64(place), Path: t.tree.Path(place), Anchor: t.anchor}
	return t.queue.putProof(tx, p, true)
}

// putProof journals a proof that the chain confirmed. If a partner anchored the
// record, too, the proof that was here first stays.
func (q *Queue) putProof(tx blobstore.Tx, p hashanchor.Proof, own bool) error {
	key := ofRecord(tx, prefixProof, p.Record)
	if _, err := tx.Get(key); record.KindOf(err) != record.NotFound {
		return err
	}
	if err := set(tx, key, p); err != nil {
		return err
	}
	if err := q.OnProof(tx, p, own); err != nil {
		return err
	}
	return q.OnState(tx, p.Record, Final)
}

// finish takes a final batch off the open ones and counts its leaves. Its
// transactions are of no more use. final is the block on which its proofs rest.
func (b *batch) finish(tx blobstore.Tx, final record.Beacon) error {
	t, err := getTally(tx)
	if err != nil {
		return err
	}
	t.Final += b.records()
	b.Sent = nil
	if !b.Blank {
		if err := want(tx, b.Anchor); err != nil {
			return err
		}
	}
	if err := set(tx, keyTally, t); err != nil {
		return err
	}
	if err := set(tx, keyFinal, final); err != nil {
		return err
	}
	return tx.Delete(numbered(prefixOpen, b.First))
}
