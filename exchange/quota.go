package exchange

import (
	"context"
	"errors"
	"time"

	"dxd/blobstore"
	"dxd/partner"
	"dxd/record"
)

// What a partner may make this node take and keep is bounded by its quota
// (package partner). What lasts is counted in the journal, in the update that
// stores or erases it; what streams do, in memory. A refusal over a quota is for
// now, since people and time make room, unless the payload is larger than all
// that the partner may have: then it is for good.

// The quotas, as in dxd.toml.
const (
	quotaStored    = "stored"
	quotaInFlight  = "in_flight"
	quotaPartials  = "partials"
	quotaTransfers = "transfers_per_minute"
	quotaEvents    = "unacknowledged_events"
)

// quotaError is the refusal of what is over a quota.
type quotaError struct {
	quota string
	refusedError
}

func (e *quotaError) Error() string { return "over the partner's quota " + e.quota }
func (e *quotaError) Unwrap() error { return &e.refusedError }

// over refuses for now, or for good if what is offered alone is beyond a bound.
func over(quota string, beyond bool) error {
	return &quotaError{quota, refusedError{refusal{Reason: reasonQuota, Retry: !beyond}}}
}

// warnOfQuota tells people of a partner that is at its quota: it is for them to
// say whether it shall have more.
func (x *Exchange) warnOfQuota(ctx context.Context, org record.OrgID, err error) {
	var q *quotaError
	if !errors.As(err, &q) {
		return
	}
	text := "a partner is at its quota " + q.quota + ": what it sends is refused until there is room"
	if !q.Retry {
		text = "a partner offers more than its whole quota " + q.quota + ": that is refused for good"
	}
	x.tellOfBound(ctx, org, text)
}

// tellOfBound raises an alarm about a partner that is at a bound, of whatever
// sort, unless one was raised within an hour.
func (x *Exchange) tellOfBound(ctx context.Context, org record.OrgID, text string) {
	if !x.guests.mayWarn(org, x.Now()) {
		return
	}
	err := x.Journal.Update(ctx, func(tx blobstore.Tx) error { return x.alarm(tx, org, record.TransferID{}, text) })
	if err != nil && ctx.Err() == nil {
		x.Log.Error("couldn't keep an alarm", "what", text, "error", err)
	}
}

// quotaOf is the quota of a partner.
func (x *Exchange) quotaOf(p partner.Partner) partner.Quota { return p.Limits.Over(x.Quota) }

// admit asks for everything that an offer needs of its sender's quota. The
// caller calls leave when the stream has ended.
func (x *Exchange) admit(ctx context.Context, a *arrival) (leave func(), err error) {
	a.reserved = a.row.Reserved
	q := x.quotaOf(a.from)
	if a.row.ID.IsZero() || a.row.BodyNonce != a.offer.BodyNonce { // else it was let in already, and goes on
		if err := x.mayBegin(ctx, a, q); err != nil {
			return nil, err
		}
	}
	if err := x.fly(a, q.InFlight, max(a.offer.SealedLength, a.offer.Early)); err != nil {
		return nil, err
	}
	return func() { x.guests.fly(a.from.Org, -a.flying, 0) }, nil
}

// mayBegin tells whether the partner may begin to send another payload, be it in
// the place of one under the same id. What it needs is reserved where the row is
// made, in the update that asks again.
func (x *Exchange) mayBegin(ctx context.Context, a *arrival, q partner.Quota) error {
	err := x.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		u, err := partner.UsageOf(tx, a.from.Org)
		if err != nil {
			return err
		}
		more := partner.Usage{Stored: max(a.offer.SealedLength, a.offer.Early)}
		if more.Stored > int64(len(a.early)) || a.offer.grows() {
			more.Partials = 1
		}
		if err := fits(q, u.Minus(a.row.uses()).Plus(more), more.Stored); err != nil || q.Events == 0 {
			return err
		}
		waiting, err := x.tally.Unacknowledged(tx, a.from.Org)
		if err == nil && waiting >= q.Events {
			err = over(quotaEvents, false)
		}
		return err
	})
	if err == nil && !x.guests.within(a.from.Org, q.Transfers, x.Now()) {
		err = over(quotaTransfers, false)
	}
	return err
}

// fits tells whether a partner may use so much, where what is asked for needs
// so many bytes.
func fits(q partner.Quota, u partner.Usage, need int64) error {
	switch {
	case q.Stored > 0 && u.Stored > q.Stored:
		return over(quotaStored, need > q.Stored)
	case q.Partials > 0 && u.Partials > q.Partials:
		return over(quotaPartials, false)
	}
	return nil
}

// hasRoom tells, behind what was charged in this update, whether its sender may
// have this payload here.
func (x *Exchange) hasRoom(tx blobstore.ReadTx, t Transfer) error {
	q, err := partner.QuotaOf(tx, t.Partner, x.Quota)
	if err != nil {
		return err
	}
	u, err := partner.UsageOf(tx, t.Partner)
	if err != nil {
		return err
	}
	if t.State != Receiving {
		u.Partials = 0 // it needs none
	}
	return fits(q, u, max(t.SealedLength, t.Reserved))
}

// fly counts more bytes of a document as in flight. Messages are small, and do
// not wait for documents.
func (x *Exchange) fly(a *arrival, limit, n int64) error {
	if a.offer.kind() != record.Document {
		return nil
	}
	if !x.guests.fly(a.from.Org, n, limit) {
		return over(quotaInFlight, a.flying+n > limit)
	}
	a.flying += n
	return nil
}

// growStep is how much is reserved at a time for a body whose length nobody
// knows, so that the journal does not write for each of its frames.
const growStep = 16 << 20

// makeRoom reserves room for n more bytes of a growing body, before they are
// written.
func (x *Exchange) makeRoom(ctx context.Context, a *arrival, n int64) error {
	size := a.in.size + n
	if size > a.flying {
		if err := x.fly(a, x.quotaOf(a.from).InFlight, size-a.flying); err != nil {
			return err
		}
	}
	if size <= a.reserved {
		return nil
	}
	return x.Journal.Update(ctx, func(tx blobstore.Tx) error {
		t, err := getTransfer(tx, a.offer.ID)
		if err != nil {
			return err
		}
		if t.State != Receiving {
			return refuse(reasonCancelled)
		}
		room, err := x.roomFor(tx, t)
		if err != nil {
			return err
		}
		if size > room {
			q, err := partner.QuotaOf(tx, t.Partner, x.Quota)
			if err != nil {
				return err
			}
			return over(quotaStored, size > q.Stored)
		}
		before := t
		t.Reserved = min(size+growStep, room)
		if err := recharge(tx, before, t); err != nil {
			return err
		}
		a.reserved = t.Reserved
		return t.put(tx)
	})
}

// roomFor is how large a body that is on its way in can become.
func (x *Exchange) roomFor(tx blobstore.ReadTx, t Transfer) (int64, error) {
	q, err := partner.QuotaOf(tx, t.Partner, x.Quota)
	if err != nil || q.Stored == 0 {
		return 1<<63 - 1, err
	}
	u, err := partner.UsageOf(tx, t.Partner)
	return q.Stored - (u.Stored - t.Reserved), err
}

// uses is what the payload file of a row counts against its sender's quota.
// What lies in the journal is charged where it is put there.
func (t Transfer) uses() (u partner.Usage) {
	if t.Direction != In || t.Payload.IsZero() {
		return u
	}
	u.Stored = t.SealedLength
	if u.Stored == unknownLength {
		u.Stored = t.Reserved
	}
	if t.State == Receiving {
		u.Partials = 1
	}
	return u
}

// recharge charges the partner for what a row uses now, instead of what it used
// before.
func recharge(tx blobstore.Tx, before, after Transfer) error {
	return partner.Charge(tx, after.Partner, after.uses().Minus(before.uses()))
}

// Measures are all quotas of a partner with what is used of each.
func (x *Exchange) Measures(ctx context.Context, p partner.Partner) (all []partner.Measure, err error) {
	var u partner.Usage
	var waiting int64
	err = x.Journal.View(ctx, func(tx blobstore.ReadTx) (err error) {
		if u, err = partner.UsageOf(tx, p.Org); err != nil {
			return err
		}
		waiting, err = x.tally.Unacknowledged(tx, p.Org)
		return err
	})
	if err != nil {
		return nil, err
	}
	q, l := x.quotaOf(p), p.Limits
	flying, lately := x.guests.uses(p.Org, x.Now())
	return []partner.Measure{
		{Name: quotaStored, Used: max(0, u.Stored), Limit: q.Stored, Bytes: true, Own: l.Stored != nil},
		{Name: quotaInFlight, Used: flying, Limit: q.InFlight, Bytes: true, Own: l.InFlight != nil},
		{Name: quotaPartials, Used: max(0, u.Partials), Limit: q.Partials, Own: l.Partials != nil},
		{Name: quotaTransfers, Used: lately, Limit: q.Transfers, Own: l.Transfers != nil},
		{Name: quotaEvents, Used: waiting, Limit: q.Events, Own: l.Events != nil},
	}, nil
}

// warnPace is how often people are told that a partner is at a bound.
const warnPace = time.Hour

func (g *guests) mayWarn(org record.OrgID, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	one := g.get(org)
	if !one.warned.IsZero() && now.Sub(one.warned).Abs() < warnPace {
		return false
	}
	one.warned = now
	return true
}

// fly adds to what is in flight, unless that is over the limit then; 0 is none.
func (g *guests) fly(org record.OrgID, n, limit int64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	one := g.get(org)
	if limit > 0 && one.flying+n > limit {
		return false
	}
	one.flying += n
	return true
}

// within counts a transfer, unless the partner has begun so many within a minute.
func (g *guests) within(org record.OrgID, limit int64, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	one := g.get(org)
	if limit > 0 && one.pace.lately(now) >= limit {
		return false
	}
	one.pace.count(now, 1)
	return true
}

// count counts n more transfers, which are here already.
func (g *guests) count(org record.OrgID, n int64, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.get(org).pace.count(now, n)
}

func (g *guests) uses(org record.OrgID, now time.Time) (flying, lately int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	one := g.get(org)
	return one.flying, one.pace.lately(now)
}

// pace counts what happened within the last minute, near enough: what happened
// in the clock's minute before this one counts in the proportion in which that
// lies within the last 60 seconds.
type pace struct {
	minute       int64 // since 1970
	now, earlier int64 // counted in that minute, and in the one before
}

// turn brings the count to this minute. A clock that was set back begins anew.
func (p *pace) turn(now time.Time) {
	switch minute := now.Unix() / 60; minute {
	case p.minute:
	case p.minute + 1:
		*p = pace{minute: minute, earlier: p.now}
	default:
		*p = pace{minute: minute}
	}
}

func (p *pace) count(now time.Time, n int64) {
	p.turn(now)
	p.now += n
}

func (p *pace) lately(now time.Time) int64 {
	p.turn(now)
	return p.now + p.earlier*(60-now.Unix()%60)/60
}
