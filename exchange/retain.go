package exchange

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"dxd/blobstore"
	"dxd/partner"
	"dxd/record"
)

// Retention says how long payloads are kept once their transfers have ended; 0
// is for ever.
type Retention struct {
	Sent     time.Duration // of what was delivered, failed or was cancelled
	Received time.Duration
}

// rule says when the time of what lies on a shelf is over, and what happens
// then.
type rule struct {
	shelf
	keep  time.Duration
	clear func(ctx context.Context, due []place) error
}

// place is a place on a shelf.
type place struct {
	key  blobstore.Key
	id   record.TransferID
	time int64 // ms since 1970
	size int64 // of the payload
}

// The rules as people know them.
const (
	RetainSent     = "retain.sent"
	RetainReceived = "retain.received"
)

// rules are those in force.
func (x *Exchange) rules() []rule {
	all := []rule{{shelfOpen, 0, x.closeStale}}
	if keep := x.Retain.Sent; keep > 0 {
		all = append(all, rule{shelfOut, keep, func(ctx context.Context, due []place) error { return x.eraseAll(ctx, due, RetainSent) }})
	}
	if keep := x.Retain.Received; keep > 0 {
		all = append(all, rule{shelfIn, keep, func(ctx context.Context, due []place) error { return x.eraseAll(ctx, due, RetainReceived) }})
	}
	return all
}

// soonest is when something can fall due at the earliest that is not there yet.
func (r rule) soonest() time.Duration {
	if r.shelf == shelfOpen {
		return growingFor
	}
	return r.keep
}

// retainPause is how long it is until the next try after a failure.
const retainPause = 10 * time.Minute

// retain erases what is due, at once and whenever the next thing falls due,
// until ctx ends.
func (x *Exchange) retain(ctx context.Context) {
	for ctx.Err() == nil {
		wait, err := x.clearDue(ctx)
		if err != nil && ctx.Err() == nil {
			x.Log.Error("couldn't erase what is due", "error", err)
			wait = min(wait, retainPause)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-x.released:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// clearDue does what is due and says how long it is until the next.
func (x *Exchange) clearDue(ctx context.Context) (wait time.Duration, err error) {
	if err := x.adopt(ctx); err != nil {
		return never, err
	}
	wait = never
	errs := []error{x.forgetRemoved(ctx)}
	for _, r := range x.rules() {
		next, err := x.clearShelf(ctx, r)
		wait = min(wait, next)
		errs = append(errs, err)
	}
	return wait, errors.Join(errs...)
}

// clearShelf does what is due on one shelf.
func (x *Exchange) clearShelf(ctx context.Context, r rule) (wait time.Duration, err error) {
	for from := blobstore.Key(""); ; {
		due, next, err := x.due(ctx, r, from)
		if err != nil || len(due) == 0 {
			return next, err
		}
		if err := r.clear(ctx, due); err != nil {
			return next, err
		}
		from = behind(due[len(due)-1].key)
	}
}

// maxCleared is how much of a shelf is looked at at a time.
const maxCleared = 64

// due finds what is due on a shelf from a place on, and says when to look
// again: what is put there from now on has its time yet to come.
func (x *Exchange) due(ctx context.Context, r rule, from blobstore.Key) (due []place, next time.Duration, err error) {
	next = min(never, r.soonest())
	over := x.Now().Add(-r.keep).UnixMilli()
	err = x.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		due = nil
		for e, err := range tx.Scan(r.prefix(), from, false) {
			if err != nil {
				return err
			}
			p, err := r.parse(e)
			if err != nil {
				return err
			}
			if p.time > over {
				next = min(next, time.Duration(p.time-over)*time.Millisecond)
				return nil
			}
			if due = append(due, p); len(due) == maxCleared {
				return nil
			}
		}
		return nil
	})
	return due, next, err
}

// parse reads an entry of the shelf.
func (s shelf) parse(e blobstore.Entry) (place, error) {
	rest := []byte(e.Key[len(s.prefix()):])
	if len(rest) != 8+len(record.TransferID{}) || len(e.Value) != 8 {
		return place{}, record.Errorf(record.Damaged, "a place on a shelf is cut off")
	}
	return place{
		key: e.Key, id: record.TransferID(rest[8:]),
		time: int64(binary.BigEndian.Uint64(rest)), size: int64(binary.BigEndian.Uint64(e.Value)),
	}, nil
}

// removedFor is how long a partner must have been gone before what it was to
// be told is forgotten: until then it may have been removed by mistake.
const removedFor = 30 * 24 * time.Hour

// forgetRemoved forgets what partners were to be told who were removed long
// ago, and can't be told anything. The records themselves stay.
func (x *Exchange) forgetRemoved(ctx context.Context) error {
	var orgs []record.OrgID
	err := x.Journal.View(ctx, func(tx blobstore.ReadTx) (err error) {
		orgs, err = orgsWaiting(tx, prefixPush)
		return err
	})
	if err != nil {
		return err
	}
	for _, org := range orgs {
		p, err := x.Book.ByOrg(org)
		if err != nil || p.State != partner.Removed || x.Now().Sub(lastSeen(p)) < removedFor {
			continue
		}
		if err := x.forgetNews(ctx, org); err != nil {
			return err
		}
	}
	return nil
}

// lastSeen is when a partner was last here, or at least known.
func lastSeen(p partner.Partner) time.Time {
	if p.LastSeen.After(p.Added) {
		return p.LastSeen
	}
	return p.Added
}

// forgetNews forgets all that an organisation was to be told.
func (x *Exchange) forgetNews(ctx context.Context, org record.OrgID) error {
	for {
		waiting, err := x.waitingPushes(ctx, org, "")
		if err != nil || len(waiting) == 0 {
			return err
		}
		untold := make([]answered, len(waiting))
		for i, e := range waiting {
			untold[i] = answered{e, false}
		}
		if err := x.forgetPushes(ctx, org, untold); err != nil {
			return err
		}
	}
}
