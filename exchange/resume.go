package exchange

import (
	"context"
	"errors"

	"dxd/blobstore"
	"dxd/crypto"
	"dxd/record"
)

// spoiled throws away what came of a payload that does not hold, so that the
// next attempt begins anew. Other trouble of the link or of ours keeps it.
func (x *Exchange) spoiled(ctx context.Context, a *arrival, err error) error {
	r, refused := asRefusal(err)
	over := refused && !r.Retry || errors.Is(err, errUnsynced) || errors.Is(err, errAborted)
	// Nobody knows how much room a body needs that is not whole yet.
	over = over || a.offer.grows() && (record.KindOf(err) == record.Full || r.Reason == reasonQuota)
	if a.in == nil || !over {
		return err
	}
	return errors.Join(err, x.discard(ctx, a))
}

// unsettled lets go of a payload of which nobody knows whether a row needs its
// file. When the sender asks again, the journal says.
func (a *arrival) unsettled() {
	a.in.close()
	a.in = nil
}

// discard removes the partial and its row.
func (x *Exchange) discard(ctx context.Context, a *arrival) error {
	in := a.in
	a.in = nil
	in.close()
	if in.written {
		err := x.Journal.Update(ctx, func(tx blobstore.Tx) error { return forget(tx, a.offer.ID) })
		if err != nil {
			return err
		}
	}
	return x.Files.Remove(in.file)
}

// forget removes the row of a payload that never became whole.
func forget(tx blobstore.Tx, id record.TransferID) error {
	t, err := getTransfer(tx, id)
	if record.KindOf(err) == record.NotFound {
		return nil
	}
	if err != nil || t.State != Receiving {
		return err
	}
	if err := t.unshelve(tx); err != nil {
		return err
	}
	before := t
	if _, err := t.unmark(tx); err != nil {
		return err
	}
	if err := recharge(tx, before, t); err != nil {
		return err
	}
	if err := tx.Delete(timeKey(t)); err != nil {
		return err
	}
	return tx.Delete(rowKey(t.ID))
}

// prepare brings the incoming payload to where the early bytes are part of it:
// what waited from the last stream, what the file of the last process holds,
// or a new file.
func (x *Exchange) prepare(ctx context.Context, a *arrival) error {
	if a.in != nil && a.in.nonce != a.offer.BodyNonce || a.row.BodyNonce != a.offer.BodyNonce && !a.row.ID.IsZero() {
		if err := x.restart(ctx, a); err != nil {
			return err
		}
	}
	if a.in == nil && !a.row.ID.IsZero() {
		in, err := refeed(ctx, x.Files, a.row, a.key)
		switch {
		case err == nil:
			in.written = true
			a.in = in
		case record.KindOf(err) == record.NotFound || errors.Is(err, errDamaged):
			if err := x.restart(ctx, a); err != nil {
				return err
			}
		default:
			return err
		}
	}
	if a.in == nil {
		if err := x.begin(ctx, a); err != nil {
			return err
		}
	}
	if err := x.learnLength(ctx, a); err != nil {
		return err
	}
	if a.in.size < int64(len(a.early)) {
		return a.in.write(a.early[a.in.size:])
	}
	if a.in.size > a.offer.SealedLength && !a.offer.grows() {
		return errDamaged
	}
	return nil
}

// restart gives up what came before: the sender began anew, or it is damaged.
func (x *Exchange) restart(ctx context.Context, a *arrival) error {
	if a.in == nil {
		a.in = &incoming{file: a.row.Payload, written: true, feed: newFeed(0)}
	}
	a.row = Transfer{}
	return x.discard(ctx, a)
}

// begin makes a file for the payload, and a row if more is to come than went
// along with the offer: a small payload becomes durable as a whole, or not.
func (x *Exchange) begin(ctx context.Context, a *arrival) error {
	if err := x.hasSpace(max(a.offer.SealedLength, a.offer.Early)); err != nil {
		return err
	}
	file := x.newFile()
	part, err := x.Files.Create(file)
	if err != nil {
		return err
	}
	a.in = newIncoming(file, part, a.offer.BodyNonce, a.key)
	if int64(len(a.early)) == a.offer.SealedLength {
		return nil
	}
	x.at(BeforeReceiving)
	unknown, err := x.update(ctx, func(tx blobstore.Tx) error {
		if err := isGivenUp(tx, a.from.Org, a.offer.ID); err != nil {
			return err // just now
		}
		t := x.incomingRow(a, Receiving)
		t.Expires = x.Now().Add(t.keptOpen()).UnixMilli()
		if err := t.shelve(tx); err != nil {
			return err
		}
		if err := t.create(tx); err != nil {
			return err
		}
		return x.hasRoom(tx, t)
	})
	if unknown {
		a.unsettled()
	}
	if err != nil {
		return err
	}
	// At this point a restart knows the partial file.
	x.at(AfterReceiving)
	a.in.written, a.reserved = true, int64(len(a.early))
	return nil
}

// hasSpace tells whether the disk has room for n bytes more.
func (x *Exchange) hasSpace(n int64) error {
	free, err := x.Files.Free()
	if err == nil && free < n {
		err = record.Errorf(record.Full, "no room for %d bytes", n)
	}
	return err
}

func (x *Exchange) incomingRow(a *arrival, s State) Transfer {
	now := x.Now().UnixMilli()
	size, err := crypto.PlainLength(a.offer.SealedLength)
	if err != nil {
		size = unknownLength // the offer was checked
	}
	t := Transfer{
		ID: a.offer.ID, Direction: In, Partner: a.from.Org, Kind: a.offer.kind(), Size: size, State: s,
		Created: now, Updated: now, Payload: a.in.file, SealedLength: a.offer.SealedLength, BodyNonce: a.offer.BodyNonce,
	}
	if a.offer.grows() {
		t.Reserved = int64(len(a.early))
	}
	return t
}
