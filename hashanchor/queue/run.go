package queue

import (
	"context"
	"time"

	"dxd/blobstore"
	"dxd/hashanchor"
	"dxd/record"
)

// Run anchors until ctx ends. It is called once. An error means that the
// journal holds what this version does not understand.
func (q *Queue) Run(ctx context.Context) error {
	if err := q.adopt(ctx); err != nil {
		return unlessEnded(ctx, err)
	}
	if q.Chain == nil {
		<-ctx.Done()
		return nil
	}
	if err := q.recall(ctx); err != nil {
		return unlessEnded(ctx, err)
	}
	leaves := q.Journal.Watch(ctx, prefixLeaf)
	pushed := q.Journal.Watch(ctx, prefixPushed)
	c := &clock{queue: q, next: time.Now()} // the first round takes up what was left
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(time.Until(c.next))
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-leaves:
			if err := c.seeLeaves(ctx); err != nil {
				return unlessEnded(ctx, err)
			}
		case <-pushed:
			c.hurry(q.poll())
		}
		if time.Now().Before(c.next) {
			continue
		}
		if err := c.round(ctx); err != nil {
			return unlessEnded(ctx, err)
		}
	}
}

// unlessEnded is nil if ctx has ended: what fails then is no fault.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// adopt journals whether a chain is configured, which turns what is unanchored
// into what is pending. A disk that is full now need not be later.
func (q *Queue) adopt(ctx context.Context) error {
	for {
		err := q.Journal.Update(ctx, func(tx blobstore.Tx) error {
			t, err := getTally(tx)
			if err != nil || t.Chain == (q.Chain != nil) {
				return err
			}
			t.Chain = q.Chain != nil
			return set(tx, keyTally, t)
		})
		if err == nil || record.KindOf(err) == record.Damaged {
			return err
		}
		q.setFault(err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(q.retry.NextBackOff()):
		}
	}
}

// clock says when there is something to do.
type clock struct {
	queue   *Queue
	next    time.Time // when the next round is
	due     time.Time // when a batch closes that is not full; zero if no leaf waits
	failing bool      // the last round failed, so only time brings the next
	outcome           // of the last round
}

// outcome is how a round went.
type outcome struct {
	busy   bool  // something is left to wait for
	waits  bool  // a transaction is under way, so no batch can close
	closed bool  // a batch was closed
	held   error // what keeps a transaction back
}

// hurry brings the next round forward, unless the last one failed.
func (c *clock) hurry(in time.Duration) {
	if at := time.Now().Add(in); !c.failing && at.Before(c.next) {
		c.next = at
	}
}

// seeLeaves finds out whether leaves wait, and enough of them for a batch. A
// steady beat does not depend on them.
func (c *clock) seeLeaves(ctx context.Context) error {
	var t tally
	err := c.queue.Journal.View(ctx, func(tx blobstore.ReadTx) (err error) {
		t, err = getTally(tx)
		return err
	})
	if err != nil {
		return err
	}
	waiting, steady := t.Leaves-t.Closed, c.queue.Steady
	if waiting == 0 && !steady {
		c.due = time.Time{}
		return nil
	}
	if c.due.IsZero() {
		c.due = time.Now().Add(c.queue.Interval)
	}
	if waiting >= int64(c.queue.MaxLeaves) && !steady {
		c.due = time.Now()
	}
	if !c.waits {
		c.hurry(time.Until(c.due))
	}
	return nil
}

// dueAfter is when the batch closes that follows one which was due then; zero
// if that depends on when a leaf comes. A steady beat goes on as it began,
// however late a batch was, and makes nothing up.
func (q *Queue) dueAfter(last time.Time) time.Time {
	if !q.Steady {
		return time.Time{}
	}
	return last.Add((time.Since(last)/q.Interval + 1) * q.Interval)
}

// poll is the pace at which the chain is asked while something is under way.
func (q *Queue) poll() time.Duration { return max(minPoll, min(maxPoll, q.Interval/4)) }

// round does what there is to do, and sets the time of the next. Only what is
// wrong with the journal is an error; a chain that fails is asked again later.
func (c *clock) round(ctx context.Context) error {
	q := c.queue
	if err := c.seeLeaves(ctx); err != nil {
		return err
	}
	due := !c.due.IsZero() && !time.Now().Before(c.due)
	o, err := q.work(ctx, due)
	if err == nil {
		err = o.held
	}
	q.setFault(err)
	q.watchCoin(ctx, err)
	if o.closed {
		c.due = q.dueAfter(c.due)
	}
	c.outcome = o
	if c.failing = err != nil; c.failing {
		if record.KindOf(err) == record.Damaged {
			return err
		}
		c.next = time.Now().Add(q.retry.NextBackOff())
		return nil
	}
	q.retry.Reset()
	c.next = time.Now().Add(idlePoll)
	if c.busy {
		c.next = time.Now().Add(q.poll())
	}
	return c.seeLeaves(ctx)
}

// work is one round: it moves every open batch on, closes one if that is due,
// and asks for proofs that partners pushed.
func (q *Queue) work(ctx context.Context, due bool) (o outcome, err error) {
	head, err := q.look(ctx)
	if err != nil {
		return o, err
	}
	open, err := q.open(ctx)
	if err != nil {
		return o, err
	}
	for i := range open {
		held, err := q.advance(ctx, head, open, i)
		if err != nil {
			return o, err
		}
		if o.held == nil {
			o.held = held
		}
		o.waits = o.waits || open[i].State == Submitted
		o.busy = o.busy || open[i].State != Final
	}
	// One transaction is under way at a time: those behind one that is stuck
	// would be stuck, too. Leaves wait for the next batch meanwhile.
	if due && !o.waits {
		o.closed, o.held = q.close(ctx, head)
		o.busy, o.waits = o.busy || o.closed, o.closed
	}
	left, err := q.checkPushed(ctx, head)
	if err != nil {
		return o, err
	}
	more, err := q.takeWanted(ctx)
	o.busy = o.busy || left || more
	return o, err
}

// look asks how far the chain is, and keeps its last final block.
func (q *Queue) look(ctx context.Context) (hashanchor.Head, error) {
	if where := q.Chain.Where(); where.ChainID == 0 || where.Account.IsZero() {
		return hashanchor.Head{}, record.Errorf(record.Invalid, "no chain id or no account is configured")
	}
	head, err := q.Chain.Head(ctx)
	if err != nil {
		return head, err
	}
	if !head.Final.Hash.IsZero() { // else we know an earlier one
		q.setBeacon(head.Final)
	}
	return head, q.watchFinal(ctx, head.Final)
}

func (q *Queue) open(ctx context.Context) (open []batch, err error) {
	err = q.Journal.View(ctx, func(tx blobstore.ReadTx) (err error) {
		open, err = openBatches(tx)
		return err
	})
	return open, err
}
