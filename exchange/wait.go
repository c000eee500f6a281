package exchange

import (
	"context"
	"time"

	"dxd/blobstore"
	"dxd/hashanchor/queue"
	"dxd/record"
)

// Goal is what a caller can wait for.
type Goal string

// The goals. Each is met by a later state, too.
const (
	UntilQueued    Goal = "queued"
	UntilDelivered Goal = "delivered"
	UntilAccepted  Goal = "accepted" // by the recipient's application, or refused
	UntilAnchored  Goal = "anchored" // final on the chain, and delivered
)

// CheckGoal refuses what is none.
func CheckGoal(g Goal) error {
	switch g {
	case UntilQueued, UntilDelivered, UntilAccepted, UntilAnchored:
		return nil
	}
	return record.WithHint(record.Errorf(record.Invalid, "can't wait for %q", record.Printable(string(g), 40)),
		"use queued, delivered, accepted or anchored")
}

// met tells whether the goal is reached, or can't be any more.
func (g Goal) met(v View) bool {
	if v.State.Terminal() {
		return true
	}
	there := v.State.across() || v.State == Recorded
	switch g {
	case UntilQueued:
		return v.State != Receiving
	case UntilDelivered:
		return there
	case UntilAccepted:
		return v.State.Said() || v.State == Recorded // of which nobody says anything
	default:
		return there && v.Anchor == queue.Final
	}
}

// progressPace is how often a caller that waits hears of progress.
const progressPace = 250 * time.Millisecond

// Wait returns once the goal is met or the transfer has failed. While it waits
// it calls seen, if that is not nil, now and then with how far the transfer is.
func (x *Exchange) Wait(ctx context.Context, id record.TransferID, g Goal, seen func(View) error) (View, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	row := x.Journal.Watch(ctx, rowKey(id))
	var carried <-chan struct{}
	var watched blobstore.Key // by carried
	var anchor <-chan struct{}
	if g == UntilAnchored { // the queue changes with every record of all partners
		anchor = x.Journal.Watch(ctx, queue.KeyPrefix)
	}
	ticker := time.NewTicker(progressPace)
	defer ticker.Stop()
	for {
		v, err := x.Get(ctx, id)
		if err != nil || g.met(v) {
			return v, err
		}
		key, err := x.carrierKey(ctx, v)
		if err != nil {
			return v, err
		}
		if key != watched {
			carried, watched = x.Journal.Watch(ctx, key), key
			continue // it may have moved in between
		}
		var tick <-chan time.Time
		if seen != nil {
			if err := seen(v); err != nil {
				return v, err
			}
			tick = ticker.C
		}
		select {
		case <-row:
		case <-carried:
		case <-anchor:
		case <-tick:
		case <-ctx.Done():
			return v, ctx.Err()
		}
	}
}

// carrierKey begins the keys that change when what carries the transfer does;
// "" where the transfer's own row does. A message that waits for its bundle
// looks out for any to its partner.
func (x *Exchange) carrierKey(ctx context.Context, v View) (key blobstore.Key, err error) {
	switch {
	case !v.small():
		return "", nil
	case !v.carrier.ID.IsZero():
		return rowKey(v.carrier.ID), nil
	}
	err = x.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		key = orgKey(tx, prefixBundled, v.Partner)
		return nil
	})
	return key, err
}
