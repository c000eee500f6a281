package queue

import (
	"context"
	"errors"

	"dxd/blobstore"
	"dxd/hashanchor"
	"dxd/record"
)

// What people have to see to is told by Status for as long as it lasts, and
// as an alarm once, when it begins.

// tookBack is the alarm about a chain that goes behind what it called final.
const tookBack = "the chain took back a final block: it broke its word, or an endpoint is behind or lies"

// raise tells people of something in an update of its own.
func (q *Queue) raise(ctx context.Context, text string) error {
	return q.Journal.Update(ctx, func(tx blobstore.Tx) error { return q.OnAlarm(tx, text) })
}

// watchCoin raises an alarm when a round ends for want of coin and the rounds
// before did not. Only one that is through shows that there is enough again.
func (q *Queue) watchCoin(ctx context.Context, err error) {
	var short *hashanchor.ShortError
	switch {
	case err == nil:
		q.short = false
	case errors.As(err, &short) && !q.short:
		raised := q.raise(ctx, short.Error())
		if q.short = raised == nil; !q.short && ctx.Err() == nil {
			q.Log.Error("couldn't keep an alarm", "what", short.Error(), "error", raised)
		}
	}
}

// watchFinal compares what the chain calls final now with the last block that
// it called so. That it goes back is never assumed away: either the chain broke
// its word, or an endpoint is behind or lies.
func (q *Queue) watchFinal(ctx context.Context, is record.Beacon) error {
	was := q.final
	switch {
	case was.Hash.IsZero(), was.ChainID != q.Chain.Where().ChainID:
		if is.Hash.IsZero() {
			q.setFinal(is)
			return nil
		}
		return q.keepFinal(ctx, is, func(blobstore.Tx) error { return nil })
	case is.Block < was.Block:
		return q.seeBehind(ctx, is)
	}
	q.behind = false
	if is == was {
		return nil
	}
	if is.Block > was.Block {
		now, err := q.Chain.Block(ctx, was.Block)
		if err != nil {
			// Nothing is known, so the block stays to be compared.
			if !q.blind {
				q.Log.Warn("couldn't compare a final block", "block", was.Block, "error", err)
			}
			q.blind = true
			return nil
		}
		q.blind = false
		if now.Hash == was.Hash {
			q.setFinal(is)
			return nil
		}
	}
	q.Log.Error("a final block has another hash now", "block", was.Block, "was", was.Hash)
	return q.keepFinal(ctx, is, func(tx blobstore.Tx) error { return q.OnAlarm(tx, tookBack) })
}

// keepFinal journals the block to compare with after a restart: the first one
// of a chain, and one that took the place of another. Later ones are journaled
// with the proofs that rest on them.
func (q *Queue) keepFinal(ctx context.Context, is record.Beacon, also func(tx blobstore.Tx) error) error {
	err := q.Journal.Update(ctx, func(tx blobstore.Tx) error {
		if err := set(tx, keyFinal, is); err != nil {
			return err
		}
		return also(tx)
	})
	if err == nil {
		q.setFinal(is)
	}
	return err
}

// seeBehind raises an alarm once as long as the final block is below the last
// one. That stays the one to compare with: the chain may come back to it.
func (q *Queue) seeBehind(ctx context.Context, is record.Beacon) error {
	if q.behind {
		return nil
	}
	q.Log.Error("the last final block went back", "was", q.final.Block, "is", is.Block)
	err := q.raise(ctx, tookBack)
	q.behind = err == nil
	return err
}

// recall reads the final block on which the journaled proofs rest, so that a
// restart does not forget it. Until the chain answers, records name it: it may
// be away for long.
func (q *Queue) recall(ctx context.Context) error {
	var last record.Beacon
	err := q.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		_, err := get(tx, keyFinal, &last)
		return err
	})
	if err != nil {
		return err
	}
	q.setFinal(last)
	if last.ChainID == q.Chain.Where().ChainID {
		q.setBeacon(last)
	}
	return nil
}
