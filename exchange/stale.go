package exchange

import (
	"context"
	"time"

	"dxd/blobstore"
	"dxd/record"
)

// openFor is how long a payload that came in part is kept while no stream
// brings more of it.
const openFor = 30 * 24 * time.Hour

// fed notes, when a stream lets go of a payload that came in part, that it is
// kept for as long again. That is written once a day at most, so that a link
// which breaks all the time does not write all the time.
func (x *Exchange) fed(ctx context.Context, a *arrival) {
	if a.in == nil || !a.in.written {
		return
	}
	expires := x.Now().Add(openFor)
	err := x.Journal.Update(ctx, func(tx blobstore.Tx) error {
		t, err := getTransfer(tx, a.offer.ID)
		if err != nil || t.State != Receiving || t.Expires > expires.Add(-24*time.Hour).UnixMilli() {
			return err
		}
		if err := t.unshelve(tx); err != nil {
			return err
		}
		t.Expires = expires.UnixMilli()
		if err := t.shelve(tx); err != nil {
			return err
		}
		return t.put(tx)
	})
	if err != nil && ctx.Err() == nil {
		x.Log.Warn("couldn't note how long a partial payload is kept", "transfer", a.offer.ID, "error", err)
	}
}

// closeStale gives up payloads that no stream has fed for long. Nothing is left
// of them: a partner that offers one again begins anew.
func (x *Exchange) closeStale(ctx context.Context, due []place) error {
	for _, p := range due {
		if err := x.closeOne(ctx, p.id); err != nil {
			return err
		}
	}
	return nil
}

func (x *Exchange) closeOne(ctx context.Context, id record.TransferID) error {
	v, err := x.Get(ctx, id)
	switch record.KindOf(err) {
	case record.NotFound, record.Damaged:
		x.Log.Error("couldn't give up a partial payload", "transfer", id, "error", err)
		return nil
	}
	if err != nil {
		return err
	}
	name := arriving{v.Partner, id}
	in, claim := x.inbox.takeIdle(name)
	if claim == nil {
		return nil // a stream feeds it right now, and says so when it ends
	}
	// While it is claimed, a stream that comes waits.
	file, err := x.forgetStale(ctx, id)
	if file.IsZero() {
		x.inbox.release(name, claim, in)
		return err
	}
	defer x.inbox.release(name, claim, nil)
	in.close()
	x.Log.Info("gave up a payload that nobody has sent more of for long", "transfer", id)
	return x.Files.Remove(file)
}

// forgetStale removes the row of a payload whose time is over, and gives the
// file that is to be removed then. A crash before leaves it to the sweep.
func (x *Exchange) forgetStale(ctx context.Context, id record.TransferID) (file blobstore.FileID, err error) {
	err = x.Journal.Update(ctx, func(tx blobstore.Tx) error {
		file = blobstore.FileID{}
		t, err := getTransfer(tx, id)
		if err != nil || t.State != Receiving || t.Expires > x.Now().UnixMilli() {
			return err
		}
		file = t.Payload
		return forget(tx, id)
	})
	return file, err
}
