package exchange

import (
	"context"
	"time"

	"dxd/blobstore"
	"dxd/record"
)

// Waiting counts what waits to be delivered to each partner.
func (x *Exchange) Waiting(ctx context.Context) (counts map[record.OrgID]int64, err error) {
	err = x.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		counts = map[record.OrgID]int64{}
		for e, err := range tx.Scan(prefixQueue, "", false) {
			var w waiting
			if err == nil {
				w, err = parseWaiting(e.Value)
			}
			if record.KindOf(err) == record.Damaged {
				continue // until it is mended, nobody knows whose it is
			}
			if err != nil {
				return err
			}
			counts[w.org] += w.items
		}
		return nil
	})
	return counts, err
}

// WaitingSince says since when the oldest of what waits for a partner does; the
// zero time if nothing waits.
func (x *Exchange) WaitingSince(ctx context.Context, org record.OrgID) (since time.Time, err error) {
	err = x.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		since = time.Time{}
		for _, lane := range lanes {
			t, err := oldestIn(tx, org, lane)
			if err != nil {
				return err
			}
			if made := time.UnixMilli(t.Created); t.Created != 0 && (since.IsZero() || made.Before(since)) {
				since = made
			}
		}
		return nil
	})
	return since, err
}

// oldestIn is the first transfer that waits in a lane and can be read, of a
// bundle its first message; zero if there is none.
func oldestIn(tx blobstore.ReadTx, org record.OrgID, lane record.Lane) (Transfer, error) {
	for e, err := range tx.Scan(laneKey(tx, prefixQueue, org, lane), "", false) {
		var w waiting
		if err == nil {
			w, err = parseWaiting(e.Value)
		}
		var t Transfer
		if err == nil {
			t, err = getTransfer(tx, w.id)
		}
		if err == nil && t.Kind == bundleKind {
			t, err = firstOf(tx, t)
		}
		switch record.KindOf(err) {
		case record.NotFound, record.Damaged:
			continue
		}
		return t, err
	}
	return Transfer{}, nil
}

// firstOf is the first message of a bundle.
func firstOf(tx blobstore.ReadTx, bundle Transfer) (Transfer, error) {
	members, err := membersOf(tx, bundle.ID)
	if err != nil {
		return Transfer{}, err
	}
	return getTransfer(tx, members[0])
}
