package exchange

import (
	"context"
	"errors"
	"time"

	"dxd/blobstore"
	"dxd/event"
	"dxd/record"
)

// An alarm tells the people who run this node that two signed things
// contradict each other, or that our own memory is at odds with a partner's:
// what cannot happen between honest and undamaged nodes. Or that the chain is
// not as it should be, or its account lacks coin.

// alarmSpan is how long an alarm is remembered, and maxAlarms how many of one
// partner: what a partner sends must not fill the journal.
const (
	alarmSpan = time.Hour
	maxAlarms = 20
)

// raised is an alarm that was told not long ago.
type raised struct {
	Time     int64             `json:"time"` // ms since 1970
	Transfer record.TransferID `json:"transfer,omitzero"`
	Text     string            `json:"text"`
}

// alarm appends an alarm to the log of events and tells it to the log of the
// process. The same once more within an hour is not told again, and neither is
// more than 20 an hour about one partner. org and transfer may be zero. The
// text holds nothing that a partner wrote, unless it went through
// record.Printable.
//
// An update that fails takes its alarm with it: there, return a contradiction.
func (x *Exchange) alarm(tx blobstore.Tx, org record.OrgID, transfer record.TransferID, text string) error {
	key := orgKey(tx, prefixAlarm, org)
	now := x.Now()
	recent, err := recentAlarms(tx, key, now)
	if err != nil {
		return err
	}
	if len(recent) == maxAlarms {
		return nil
	}
	for _, r := range recent {
		if r.Transfer == transfer && r.Text == text {
			return nil
		}
	}
	recent = append(recent, raised{now.UnixMilli(), transfer, text})
	raw, err := record.Marshal(recent)
	if err != nil {
		return err
	}
	if err := tx.Set(key, raw); err != nil {
		return err
	}
	x.Log.Error("alarm", "what", text, "transfer", transfer)
	e := event.Event{Type: event.Alarm, Time: now.UnixMilli(), ID: transfer, Partner: org, Text: text}
	if t, err := getTransfer(tx, transfer); err == nil && t.Kind == bundleKind {
		e.ID, e.Bundle = record.TransferID{}, transfer // people know its messages
	}
	return event.Append(tx, e)
}

// Alarm is to be called in the update that finds that people have to see to
// something that concerns no partner, such as the chain's account.
func (x *Exchange) Alarm(tx blobstore.Tx, text string) error {
	return x.alarm(tx, record.OrgID{}, record.TransferID{}, text)
}

// recentAlarms reads those that are still remembered. A clock that was set
// back forgets what seems to lie ahead.
func recentAlarms(tx blobstore.ReadTx, key blobstore.Key, now time.Time) ([]raised, error) {
	raw, err := tx.Get(key)
	if record.KindOf(err) == record.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all, recent []raised
	if err := record.Load(raw, &all); err != nil {
		return nil, record.Errorf(record.Damaged, "the alarms about a partner: %w", err)
	}
	for _, r := range all {
		if now.Sub(time.UnixMilli(r.Time)).Abs() < alarmSpan {
			recent = append(recent, r)
		}
	}
	return recent, nil
}

// contradictionError is a refusal that is an alarm, too.
type contradictionError struct {
	error
	transfer record.TransferID
	stops    record.Lane // the partner's, if it stops one
}

func (e *contradictionError) Unwrap() error { return e.error }

// contradiction refuses what contradicts what is here already, as a Conflict.
// Whoever serves the partner's stream raises the alarm, so that it outlives
// the update that fails with this error.
func contradiction(transfer record.TransferID, text string) error {
	return &contradictionError{record.Errorf(record.Conflict, "%s", text), transfer, ""}
}

// stopping is a contradiction after which nothing more is taken in the lane.
func stopping(lane record.Lane, text string) error {
	return &contradictionError{record.Errorf(record.Conflict, "%s", text), record.TransferID{}, lane}
}

// raise turns a contradiction into an alarm about the partner, in an update of
// its own; any other error is none of its business.
func (x *Exchange) raise(ctx context.Context, org record.OrgID, err error) {
	var c *contradictionError
	if !errors.As(err, &c) {
		return
	}
	err = x.Journal.Update(ctx, func(tx blobstore.Tx) error {
		if c.stops != "" {
			if err := stopLane(tx, org, c.stops); err != nil {
				return err
			}
		}
		return x.alarm(tx, org, c.transfer, c.Error())
	})
	if err != nil {
		x.Log.Error("couldn't keep an alarm", "what", c.Error(), "transfer", c.transfer, "error", err)
	}
}
