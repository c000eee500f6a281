package exchange

import (
	"context"
	"fmt"

	"dxd/blobstore"
	"dxd/record"
)

// A row of a queue that does not open must hold up nothing behind it. What it
// said stands in its transfer, too, so it is written anew: to step over it would
// leave a number without an end, and a hole in the order of messages.

// mendQueue writes the damaged rows of a worker's queue anew. One whose transfer
// can't be found, and news, which have none, leave the queue. People are told of
// each.
func (x *Exchange) mendQueue(ctx context.Context, org record.OrgID, w work) error {
	damaged, err := x.damagedRows(ctx, org, w)
	if len(damaged) == 0 || err != nil {
		return err
	}
	places, err := x.placesOf(ctx, org, w.lane(), damaged)
	if err != nil {
		return err
	}
	for _, key := range damaged {
		err := x.Journal.Update(ctx, func(tx blobstore.Tx) error { return x.mendRow(tx, org, w, key, places[key]) })
		if err != nil {
			return err
		}
	}
	return nil
}

// damagedRows lists what does not open in a worker's queue.
func (x *Exchange) damagedRows(ctx context.Context, org record.OrgID, w work) (keys []blobstore.Key, err error) {
	err = x.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		keys = nil
		prefix := orgKey(tx, prefixPush, org)
		if w.lane() != "" {
			prefix = laneKey(tx, prefixQueue, org, w.lane())
		}
		for e, err := range tx.Scan(prefix, "", false) {
			switch err = w.opens(e.Value, err); {
			case record.KindOf(err) == record.Damaged:
				keys = append(keys, e.Key)
			case err != nil:
				return err
			}
		}
		return nil
	})
	return keys, err
}

// opens is why a row of the queue can't be read; err is why its value can't.
func (w work) opens(value []byte, err error) error {
	switch {
	case err != nil:
		return err
	case w.lane() != "":
		_, err = parseWaiting(value)
	default:
		_, err = orgOf(value)
	}
	return err
}

// placesOf finds the transfers that wait in these places of a lane, and looks
// through all that there are.
func (x *Exchange) placesOf(ctx context.Context, org record.OrgID, lane record.Lane, keys []blobstore.Key) (found map[blobstore.Key]record.TransferID, err error) {
	err = x.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		found = make(map[blobstore.Key]record.TransferID, len(keys))
		for _, key := range keys {
			found[key] = record.TransferID{}
		}
		for e, err := range tx.Scan(prefixTime, "", false) {
			if err == nil {
				err = ctx.Err()
			}
			if err == nil {
				err = x.findPlace(tx, org, lane, idIn(e.Key), found)
			}
			switch record.KindOf(err) {
			case record.NotFound, record.Damaged:
				continue // then it is not found
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	return found, err
}

// findPlace notes the place of a transfer, or of the bundle that begins with it,
// if that is looked for.
func (x *Exchange) findPlace(tx blobstore.ReadTx, org record.OrgID, lane record.Lane, id record.TransferID, found map[blobstore.Key]record.TransferID) error {
	t, err := getTransfer(tx, id)
	if err != nil || t.Direction != Out || t.Partner != org || laneOf(t.Kind) != lane {
		return err
	}
	place := queueKey(tx, t)
	if _, wanted := found[place]; !wanted {
		return nil
	}
	t, c, err := x.settled(tx, t)
	if err != nil || t.State != Queued {
		return err
	}
	if found[place] = c.ID; c.ID.IsZero() {
		found[place] = id
	}
	return nil
}

// mendRow writes a row anew, if it is still damaged, for the transfer that waits
// there; zero if none was found. Nothing else can have moved that meanwhile.
func (x *Exchange) mendRow(tx blobstore.Tx, org record.OrgID, w work, key blobstore.Key, id record.TransferID) error {
	value, err := tx.Get(key)
	if err = w.opens(value, err); record.KindOf(err) != record.Damaged {
		if record.KindOf(err) == record.NotFound {
			return nil
		}
		return err
	}
	if id.IsZero() {
		if err := tx.Delete(key); err != nil {
			return err
		}
		return x.alarm(tx, org, id, fmt.Sprintf("a row of the queue for a partner was damaged on our disk (%s), and it is not known any more what it stood for: that is not delivered", w))
	}
	t, err := getTransfer(tx, id)
	if err != nil {
		return err
	}
	if err := enqueue(tx, t); err != nil {
		return err
	}
	return x.alarm(tx, org, id, fmt.Sprintf("a row of the queue for a partner was damaged on our disk (%s), and was written anew: nothing is lost", w))
}
