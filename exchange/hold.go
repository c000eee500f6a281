package exchange

import (
	"context"
	"time"

	"dxd/blobstore"
	"dxd/event"
	"dxd/record"
)

// Hold keeps a transfer from being erased, by whomever, until it is released.
// The zero value is none.
type Hold struct {
	Since int64  `json:"since"` // ms since 1970
	By    string `json:"by"`    // who asked for it
}

func holdKey(id record.TransferID) blobstore.Key { return prefixHold + blobstore.Key(id[:]) }

// holdOf reads the transfer's hold.
func holdOf(tx blobstore.ReadTx, id record.TransferID) (h Hold, err error) {
	raw, err := tx.Get(holdKey(id))
	if record.KindOf(err) == record.NotFound {
		return h, nil
	}
	if err != nil {
		return h, err
	}
	if err := record.Load(raw, &h); err != nil {
		return h, record.Errorf(record.Damaged, "the hold on transfer %s: %w", id, err)
	}
	return h, nil
}

// isHeld tells whether the transfer has a hold, also one that can't be read.
func isHeld(tx blobstore.ReadTx, id record.TransferID) (bool, error) {
	h, err := holdOf(tx, id)
	if record.KindOf(err) == record.Damaged {
		return true, nil
	}
	return h.Since != 0, err
}

// Hold forbids that a transfer or a notarisation is erased, by retention too,
// until Release. One that is held already keeps its hold.
func (x *Exchange) Hold(ctx context.Context, id record.TransferID, who string) (View, error) {
	err := x.Journal.Update(ctx, func(tx blobstore.Tx) error {
		t, err := getItem(tx, id)
		if err != nil {
			return err
		}
		held, err := isHeld(tx, id)
		if held || err != nil {
			return err
		}
		return x.putHold(tx, t, who)
	})
	if err != nil {
		return View{}, err
	}
	return x.Get(ctx, id)
}

func (x *Exchange) putHold(tx blobstore.Tx, t Transfer, who string) error {
	now, c, err := x.settled(tx, t)
	switch {
	case err != nil:
		return err
	case t.bare():
		return record.Errorf(record.Gone, "nothing is left to hold: the transfer was erased on %s", time.UnixMilli(t.Erased).UTC().Format(time.DateOnly))
	case now.State == Receiving:
		return record.Errorf(record.Conflict, "the transfer is still on its way in: there is nothing to hold yet")
	}
	if err := t.unshelve(tx); err != nil {
		return err
	}
	if c.ID != t.ID && now.Erased != 0 && t.Erased == 0 {
		// Its body went with its bundle. A message that is held does not say
		// so by its bundle any more.
		t.Erased, t.ErasedBy = now.Erased, now.ErasedBy
		if err := t.put(tx); err != nil {
			return err
		}
	}
	raw, err := record.Marshal(Hold{Since: x.Now().UnixMilli(), By: who})
	if err != nil {
		return err
	}
	if err := tx.Set(holdKey(t.ID), raw); err != nil {
		return err
	}
	return x.tellBy(tx, event.TransferHeld, t, who)
}

// Release ends a hold: from now on the transfer can be erased, and is as soon
// as its time is over. One that is not held stays as it is.
func (x *Exchange) Release(ctx context.Context, id record.TransferID, who string) (View, error) {
	err := x.Journal.Update(ctx, func(tx blobstore.Tx) error {
		t, err := getItem(tx, id)
		if err != nil {
			return err
		}
		held, err := isHeld(tx, id)
		if !held || err != nil {
			return err
		}
		return x.endHold(tx, t, who)
	})
	if err != nil {
		return View{}, err
	}
	// At this point it may be due already, which wakes nobody by itself.
	select {
	case x.released <- struct{}{}:
	default:
	}
	return x.Get(ctx, id)
}

func (x *Exchange) endHold(tx blobstore.Tx, t Transfer, who string) error {
	if err := tx.Delete(holdKey(t.ID)); err != nil {
		return err
	}
	c, _, err := x.carrier(tx, t)
	if err != nil && record.KindOf(err) != record.NotFound {
		return err
	}
	if err == nil && c.ID != t.ID && c.Erased != 0 && t.Erased == 0 {
		// Its bundle has left the shelf without it.
		t.Ended = c.Ended
		if err := t.put(tx); err != nil {
			return err
		}
	}
	if err := t.shelve(tx); err != nil {
		return err
	}
	return x.tellBy(tx, event.TransferReleased, t, who)
}

// Held counts what is on hold, and says since when the longest is; 0 if none.
func (x *Exchange) Held(ctx context.Context) (n int, since int64, err error) {
	err = x.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		n, since = 0, 0
		for e, err := range tx.Scan(prefixHold, "", false) {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return err
			}
			var h Hold
			if err := record.Load(e.Value, &h); err != nil {
				return record.Errorf(record.Damaged, "a hold is damaged: %w", err)
			}
			if n++; since == 0 || h.Since < since {
				since = h.Since
			}
		}
		return nil
	})
	return n, since, err
}
