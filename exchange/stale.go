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

// growingFor is the same for one that is not whole at its sender either. If the
// sender died, nobody will ever send the rest of it.
const growingFor = 10 * time.Minute

// keptOpen is how long a payload that came in part is kept from now on.
func (t Transfer) keptOpen() time.Duration {
	if t.SealedLength == unknownLength {
		return growingFor
	}
	return openFor
}

// fed notes, when a stream lets go of a payload that came in part, that it is
// kept for as long again. That is written once a day at most, or once in 20
// seconds if it is not kept for long, so that a link which breaks all the time
// does not write all the time.
func (x *Exchange) fed(ctx context.Context, a *arrival) {
	if a.in == nil || !a.in.written {
		return
	}
	err := x.Journal.Update(ctx, func(tx blobstore.Tx) error {
		t, err := getTransfer(tx, a.offer.ID)
		expires := x.Now().Add(t.keptOpen())
		if err != nil || t.State != Receiving || t.Expires > expires.Add(-t.keptOpen()/30).UnixMilli() {
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

// mayComeBack tells whether the sender of a body that is not whole has not had
// its time yet, since we were away ourselves until a moment ago.
func (x *Exchange) mayComeBack(t Transfer) bool {
	return t.SealedLength == unknownLength && x.Now().Sub(x.opened) < growingFor
}

// forgetStale removes the row of a payload whose time is over, and gives the
// file that is to be removed then. A crash before leaves it to the sweep.
func (x *Exchange) forgetStale(ctx context.Context, id record.TransferID) (file blobstore.FileID, err error) {
	err = x.Journal.Update(ctx, func(tx blobstore.Tx) error {
		file = blobstore.FileID{}
		t, err := getTransfer(tx, id)
		if err != nil || t.State != Receiving || t.Expires > x.Now().UnixMilli() || x.mayComeBack(t) {
			return err
		}
		file = t.Payload
		return forget(tx, id)
	})
	return file, err
}
