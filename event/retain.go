package event

import (
	"context"
	"log/slog"
	"math"
	"time"

	"dxd/blobstore"
)

// trimPace is how often the log is looked at, and maxTrim how many events go
// in one update.
const (
	trimPace = time.Hour
	maxTrim  = 1000
)

// Run removes events that nobody needs, until ctx ends. That it can't for now,
// since the disk is full or an event is damaged, is only logged: they stay.
func (l *Log) Run(ctx context.Context, log *slog.Logger) error {
	ticker := time.NewTicker(trimPace)
	defer ticker.Stop()
	for {
		if err := l.Trim(ctx); err != nil && ctx.Err() == nil {
			log.Warn("couldn't remove old events", "error", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Trim removes the events that are older than Retain and that every
// subscription has acknowledged. It goes from the oldest on and stops at the
// first that has to stay, so that what is kept has no gap.
func (l *Log) Trim(ctx context.Context) error {
	if l.Retain == 0 {
		return nil
	}
	for more := true; more; {
		err := l.Journal.Update(ctx, func(tx blobstore.Tx) (err error) {
			more, err = l.trim(tx)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// trim removes some, and says whether there may be more.
func (l *Log) trim(tx blobstore.Tx) (more bool, err error) {
	gone, err := number(tx, keyGone)
	if err != nil {
		return false, err
	}
	needed, err := firstNeeded(tx)
	if err != nil {
		return false, err
	}
	old, err := After(tx, gone, maxTrim)
	if err != nil {
		return false, err
	}
	before, last := l.Now().Add(-l.Retain).UnixMilli(), gone
	for _, e := range old {
		if e.Seq >= needed || e.Time >= before {
			break
		}
		if err := tx.Delete(logKey(e.Seq)); err != nil {
			return false, err
		}
		last = e.Seq
	}
	if last == gone {
		return false, nil
	}
	return len(old) == maxTrim, setNumber(tx, keyGone, last)
}

// Kept is what is left in the log.
type Kept struct {
	Events int64
	Oldest int64 // ms since 1970; 0 if there are none
}

// Kept counts the events that are kept.
func (l *Log) Kept(ctx context.Context) (k Kept, err error) {
	err = l.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		gone, err := number(tx, keyGone)
		if err != nil {
			return err
		}
		last, err := number(tx, keyLast)
		if err != nil {
			return err
		}
		k = Kept{Events: last - gone}
		oldest, err := After(tx, gone, 1)
		if len(oldest) > 0 {
			k.Oldest = oldest[0].Time
		}
		return err
	})
	return k, err
}

// firstNeeded is the first event that some subscription has not acknowledged.
func firstNeeded(tx blobstore.ReadTx) (int64, error) {
	needed := int64(math.MaxInt64)
	all, err := subscriptions(tx)
	for _, s := range all {
		needed = min(needed, s.Acked+1)
	}
	return needed, err
}
