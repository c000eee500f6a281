package exchange

import (
	"context"

	"dxd/blobstore"
	"dxd/record"
)

// maxAdopted is how many rows are brought to the present form in one update.
const maxAdopted = 200

// adopt brings a journal of an older version to the form of this one, once:
// each transfer gets a mark of its own on its payload, and a place on the shelf
// that it belongs on. Until it has run nothing is erased. It may be broken off
// and begun again at any point: what it has done already it does not change.
func (x *Exchange) adopt(ctx context.Context) error {
	err := x.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		_, err := tx.Get(keyAdopted)
		return err
	})
	if record.KindOf(err) != record.NotFound {
		return err
	}
	for from, done := blobstore.Key(""), false; !done; {
		var next blobstore.Key // apart from from: the update may be run again
		err := x.Journal.Update(ctx, func(tx blobstore.Tx) (err error) {
			next, done, err = x.adoptSome(tx, from)
			return err
		})
		if err != nil {
			return err
		}
		from = next
	}
	return nil
}

// adoptSome brings the next rows to the present form and says where to go on.
func (x *Exchange) adoptSome(tx blobstore.Tx, from blobstore.Key) (next blobstore.Key, done bool, err error) {
	n := 0
	for e, err := range tx.Scan(prefixTime, from, false) {
		if err != nil {
			return from, false, err
		}
		if n++; n > maxAdopted {
			return e.Key, false, nil
		}
		t, err := getTransfer(tx, idIn(e.Key))
		switch record.KindOf(err) {
		case record.NotFound, record.Damaged:
			x.Log.Error("a row is damaged", "error", err) // and the others are adopted all the same
			continue
		}
		if err == nil {
			err = x.adoptRow(tx, t)
		}
		if err != nil {
			return from, false, err
		}
	}
	return "", true, tx.Set(keyAdopted, nil)
}

func (x *Exchange) adoptRow(tx blobstore.Tx, t Transfer) error {
	if t.Payload.IsZero() {
		return nil
	}
	if err := t.mark(tx); err != nil {
		return err
	}
	if err := tx.Delete(fileKey(t.Payload)); err != nil {
		return err
	}
	switch {
	case t.State == Queued || t.Ended != 0:
		return nil
	case t.State == Receiving && t.Expires != 0:
		return nil
	case t.State == Receiving:
		t.Expires = x.Now().Add(openFor).UnixMilli()
	default:
		t.Ended = t.Updated
	}
	if err := t.shelve(tx); err != nil {
		return err
	}
	return t.put(tx)
}
