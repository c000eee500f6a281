package queue

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"dxd/blobstore"
	"dxd/hashanchor"
	"dxd/record"
)

// resend is how long a transaction that no block has taken is left alone.
const resend = 15 * time.Second

// maxSent bounds the transactions that a batch remembers. Each one more costs
// an eighth more than the one before, so this many mean that something else
// is wrong.
const maxSent = 64

// close makes a batch of what waits, journals it with its transaction, and
// sends that. closed is false if nothing waited, or no transaction could be
// made; with an error besides, the transaction is journaled and not yet sent.
// With a steady beat the batch is blank where nothing waited.
func (q *Queue) close(ctx context.Context, head hashanchor.Head) (closed bool, err error) {
	run, first, able, err := q.waiting(ctx)
	blank := len(run) == 0
	if err != nil || blank && !q.Steady {
		return false, err
	}
	chain, err := payer(ctx, able)
	if err != nil {
		return false, err
	}
	at, err := q.headOf(ctx, chain, head)
	if err != nil {
		return false, err
	}
	b := batch{First: first, Size: max(1, int64(len(run))), Blank: blank, Shuffled: true, Anchor: chain.Where(), State: Submitted}
	rand.Read(b.Seed[:])
	t, _ := b.tree(run)
	b.Anchor.Root = t.Root()
	sent, err := chain.Prepare(ctx, b.Anchor.Root, at.Nonce, hashanchor.Transaction{})
	if err != nil {
		return false, err
	}
	b.Sent, b.Since = []hashanchor.Transaction{sent}, time.Now().UnixMilli()
	err = q.Journal.Update(ctx, func(tx blobstore.Tx) error { return putNew(tx, b) })
	if errors.Is(err, errCame) {
		return q.close(ctx, head)
	}
	if err != nil {
		return false, err
	}
	// [C3] At this point the batch and its signed transaction are durable. A
	// crash before it leaves the leaves pending; one after it, sent or not,
	// finds the batch open and asks the chain for its root.
	q.Passed("C3")
	return true, q.send(ctx, b)
}

// waiting reads the leaves of the next batch, and with whose account it can be
// anchored. Only this goroutine takes leaves out of the queue, so they are the
// same until the batch is journaled.
func (q *Queue) waiting(ctx context.Context) (run []leaf, first int64, able []Chain, err error) {
	err = q.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		t, err := getTally(tx)
		if err != nil {
			return err
		}
		first = t.Closed
		if run, err = leaves(tx, first, min(t.Leaves-t.Closed, int64(q.MaxLeaves))); err != nil {
			return err
		}
		run, able, err = q.share(tx, run)
		return err
	})
	return run, first, able, err
}

// errCame says that a record came before a blank batch was journaled.
var errCame = errors.New("a record came")

func putNew(tx blobstore.Tx, b batch) error {
	t, err := getTally(tx)
	if err != nil {
		return err
	}
	if t.Closed != b.First {
		return record.Errorf(record.Internal, "two queues run on one journal")
	}
	if b.Blank {
		if t.Leaves > t.Closed {
			return errCame
		}
		// Its one leaf takes a number, so that batches stay runs of numbers.
		if err := tx.Set(numbered(prefixLeaf, t.Leaves), leaf{}.bytes()); err != nil {
			return err
		}
		t.Leaves++
	}
	t.Closed += b.Size
	if err := set(tx, keyTally, t); err != nil {
		return err
	}
	if err := tx.Set(numbered(prefixOpen, b.First), binary.BigEndian.AppendUint64(nil, uint64(b.First))); err != nil {
		return err
	}
	return b.put(tx)
}

// bring sees to it that a transaction for a batch whose root is missing is on
// its way: the last one once more, one that pays more, or one of a new nonce.
func (q *Queue) bring(ctx context.Context, head hashanchor.Head, open []batch, i int) error {
	b := &open[i]
	last := b.last()
	if last == nil || last.Nonce < head.Nonce {
		// The nonce is used up and the root is not there: something else
		// had it, or the transaction failed.
		if err := q.mayPay(b); err != nil {
			return err
		}
		return q.anew(ctx, b, freeNonce(head, open, i))
	}
	// A clock that was set back must not make it wait until then.
	stuck := time.Since(time.UnixMilli(b.Since)).Abs() >= q.Stuck
	switch {
	case stuck && last.Nonce == head.Nonce:
		return q.reprice(ctx, b)
	case stuck && firstSubmitted(open, b.Anchor.Account) == i:
		// Nothing of ours is before it, so nobody will fill the gap.
		return q.anew(ctx, b, head.Nonce)
	case time.Since(q.sent[b.First]) >= resend:
		return q.send(ctx, *b)
	}
	return nil
}

// hasty is how many nonces a batch uses up without a pause, and maxPause the
// longest one between those after them.
const (
	hasty    = 3
	maxPause = time.Hour
)

// mayPay keeps a batch from using up nonce after nonce: each is paid for, and
// an endpoint that denies the root, or makes nonces up, could empty the account
// with transactions that change nothing. The pauses double, so that a batch
// whose nonces really were used elsewhere still gets through.
func (q *Queue) mayPay(b *batch) error {
	nonces := map[int64]bool{}
	for _, t := range b.Sent {
		nonces[t.Nonce] = true
	}
	if len(nonces) < hasty {
		return nil
	}
	pause := q.Stuck
	for i := hasty; i < len(nonces) && pause < maxPause; i++ {
		pause *= 2
	}
	if time.Since(time.UnixMilli(b.Since)).Abs() >= min(pause, maxPause) {
		return nil
	}
	return record.WithHint(
		record.Errorf(record.Unavailable, "%d nonces of the account %s are used up, and the chain does not have the root", len(nonces), b.Anchor.Account),
		"the endpoint denies it, or something else uses the account: compare with another endpoint. It is tried again, at growing intervals")
}

// freeNonce is the next that neither the chain nor another batch of the same
// account has used.
func freeNonce(head hashanchor.Head, open []batch, except int) int64 {
	nonce := head.Nonce
	for i := range open {
		if open[i].Anchor.Account != open[except].Anchor.Account {
			continue
		}
		if last := open[i].last(); i != except && open[i].State == Submitted && last != nil {
			nonce = max(nonce, last.Nonce+1)
		}
	}
	return nonce
}

func firstSubmitted(open []batch, account record.Account) int {
	for i := range open {
		if open[i].State == Submitted && open[i].Anchor.Account == account {
			return i
		}
	}
	return -1
}

// anew makes another transaction for the batch. The earlier ones may still
// come through: the contract takes the first and ignores the others.
func (q *Queue) anew(ctx context.Context, b *batch, nonce int64) error {
	t, err := q.chainOf(b).Prepare(ctx, b.Anchor.Root, nonce, hashanchor.Transaction{})
	if err != nil {
		return err
	}
	if err := q.replace(ctx, b, t); err != nil {
		return err
	}
	return q.send(ctx, *b)
}

// reprice makes a transaction that replaces the last one for a higher price.
func (q *Queue) reprice(ctx context.Context, b *batch) error {
	t, err := q.chainOf(b).Prepare(ctx, b.Anchor.Root, b.last().Nonce, *b.last())
	if err == nil {
		if err := q.replace(ctx, b, t); err != nil {
			return err
		}
		return q.hand(ctx, *b)
	}
	if record.KindOf(err) == record.Quota && time.Since(q.sent[b.First]) >= resend {
		// Above the ceiling: the last one stays, and may have been forgotten.
		if again := q.hand(ctx, *b); again != nil {
			return again
		}
	}
	return err
}

// replace journals one more transaction of the batch before it is sent.
func (q *Queue) replace(ctx context.Context, b *batch, t hashanchor.Transaction) error {
	anchor, sent := b.Anchor, append(slices.Clone(b.Sent), t) // nothing of another chain, after a move
	err := q.Journal.Update(ctx, func(tx blobstore.Tx) error {
		row, err := getBatch(tx, b.First)
		if err != nil {
			return err
		}
		row.Anchor, row.Since = anchor, time.Now().UnixMilli()
		row.Sent = sent[max(0, len(sent)-maxSent):]
		*b = row
		return row.put(tx)
	})
	if err != nil {
		return err
	}
	q.Passed("C3") // as in close
	return nil
}

// send hands the batch's last transaction to the chain, and a dearer one where
// its price is too low. It raises the price by one step: a node that refuses
// any price would else have it at the ceiling at once.
func (q *Queue) send(ctx context.Context, b batch) error {
	err := q.hand(ctx, b)
	if record.KindOf(err) == record.Refused {
		return q.reprice(ctx, &b)
	}
	return err
}

// hand gives the batch's last transaction to the chain.
func (q *Queue) hand(ctx context.Context, b batch) error {
	err := q.chainOf(&b).Send(ctx, *b.last())
	if err != nil && record.KindOf(err) != record.Conflict {
		return err
	}
	if err != nil {
		// Head and Lookup of the next round say what became of its nonce.
		q.Log.Info("the nonce of a batch's transaction is taken", "batch", b.First, "nonce", b.last().Nonce)
	}
	q.sent[b.First] = time.Now()
	return nil
}
