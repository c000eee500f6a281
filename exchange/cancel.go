package exchange

import (
	"context"

	"dxd/blobstore"
	"dxd/event"
	"dxd/hashanchor/queue"
	"dxd/record"
)

// Cancel stops a transfer that is not delivered yet, or no longer takes one
// that is on its way in. What is over already is a Conflict.
func (x *Exchange) Cancel(ctx context.Context, id record.TransferID) (View, error) {
	v, err := x.Get(ctx, id)
	if err != nil {
		return v, err
	}
	switch v.State {
	case Queued, Sending:
		err = x.cancelOutgoing(ctx, id)
	case Receiving:
		err = x.cancelIncoming(ctx, v)
	}
	if err != nil {
		return v, err
	}
	// It may have come to its end meanwhile.
	if v, err = x.Get(ctx, id); err == nil && v.State != Cancelled {
		err = record.Errorf(record.Conflict, "the transfer is %s and can't be cancelled any more", v.State)
	}
	return v, err
}

// cancelOutgoing gives up a transfer that is not delivered. A message that
// shares its bundle with others is on its way with them.
func (x *Exchange) cancelOutgoing(ctx context.Context, id record.TransferID) error {
	return x.giveUpWhat(ctx, Cancelled, "", func(tx blobstore.ReadTx) (Transfer, error) {
		t, err := getTransfer(tx, id)
		if err != nil {
			return t, err
		}
		c, _, err := x.carrier(tx, t)
		switch {
		case record.KindOf(err) == record.NotFound:
			return t, nil
		case err == nil && c.Items > 1:
			err = record.WithHint(record.Errorf(record.Conflict, "the message is on its way in a bundle with others and can't be cancelled any more"),
				"what waits for a partner that is away can be cancelled until it is there")
		}
		return c, err
	})
}

// giveUp ends an outgoing transfer that was not delivered: its number gets a
// signed void, of which the partner is told.
func (x *Exchange) giveUp(ctx context.Context, id record.TransferID, s State, reason string) error {
	return x.giveUpWhat(ctx, s, reason, func(tx blobstore.ReadTx) (Transfer, error) { return getTransfer(tx, id) })
}

// giveUpWhat is giveUp of what is found in the update.
func (x *Exchange) giveUpWhat(ctx context.Context, s State, reason string, what func(blobstore.ReadTx) (Transfer, error)) error {
	var given Transfer // zero: it was over
	err := x.Journal.Update(ctx, func(tx blobstore.Tx) error {
		given = Transfer{}
		t, err := what(tx)
		if err != nil {
			return err
		}
		if open, err := isOpen(tx, t); !open || err != nil {
			return err
		}
		given = t
		return x.void(tx, t, s, reason)
	})
	if err != nil {
		return err
	}
	// At this point the transfer is over; a crash after this sends nothing more.
	if !given.ID.IsZero() {
		x.flight.stop(given.ID)
		x.wake(given.Partner, pushWork)
	}
	return nil
}

// isOpen tells whether the transfer stands in its queue itself. For a message
// that a bundle took, the bundle does.
func isOpen(tx blobstore.ReadTx, t Transfer) (bool, error) {
	raw, err := tx.Get(queueKey(tx, t))
	if record.KindOf(err) == record.NotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	w, err := parseWaiting(raw)
	return w.id == t.ID, err
}

// void signs that the transfer's number will not be delivered and takes it out
// of its queue. A message that waits has no number yet.
func (x *Exchange) void(tx blobstore.Tx, t Transfer, s State, reason string) error {
	if t.Record.IsZero() {
		return x.leaveQueue(tx, t, s, reason)
	}
	manifest, err := x.ownManifest(tx, t)
	switch record.KindOf(err) {
	case record.NotFound, record.Damaged:
		// Its number can't be voided any more. It must not hold up the rest.
		x.Log.Error("a manifest of ours is damaged", "transfer", t.ID, "error", err)
		return x.leaveQueue(tx, t, s, reason)
	}
	if err != nil {
		return err
	}
	if manifest, err = x.underOwnEpoch(tx, &t, manifest); err != nil {
		return err
	}
	if err := x.putVoid(tx, t, manifest.Number, voidReason(s, reason)); err != nil {
		return err
	}
	return x.leaveQueue(tx, t, s, reason)
}

// putVoid signs the void of a number, which the partner is to be told, and
// takes. Until then the number is open.
func (x *Exchange) putVoid(tx blobstore.Tx, t Transfer, n record.Number, reason record.VoidReason) error {
	void, err := x.Keys.SignVoid(record.Void{
		Header:    record.Header{Card: x.Book.Self().ID(), Created: x.Now().UnixMilli()},
		Recipient: t.Partner, Manifest: t.Record, Number: n, Reason: reason,
	})
	if err != nil {
		return err
	}
	if err := tx.Set(voidKey(t.ID), void.Bytes()); err != nil {
		return err
	}
	if err := queue.Add(tx, void.ID(), void.Leaf()); err != nil {
		return err
	}
	if err := tx.Set(byRecordKey(tx, void.ID()), t.ID[:]); err != nil {
		return err
	}
	return pushVoid(tx, t)
}

// leaveQueue ends an outgoing transfer.
func (x *Exchange) leaveQueue(tx blobstore.Tx, t Transfer, s State, reason string) error {
	x.end(&t, s, reason)
	if err := t.settle(tx); err != nil {
		return err
	}
	if err := tx.Delete(queueKey(tx, t)); err != nil {
		return err
	}
	if err := dropPayload(tx, t); err != nil {
		return err
	}
	if err := x.tell(tx, ending(s), t); err != nil {
		return err
	}
	return t.put(tx)
}

// ending is the event of a transfer that ends without delivery.
func ending(s State) event.Type {
	if s == Cancelled {
		return event.TransferCancelled
	}
	return event.TransferFailed
}

func voidReason(s State, reason string) record.VoidReason {
	switch {
	case s == Cancelled:
		return record.VoidCancelled
	case reason == reasonExpired:
		return record.VoidExpired
	case reason == reasonRemoved:
		return record.VoidRemoved
	}
	return record.VoidRefused
}

// ownManifest reads back a manifest that we signed.
func (x *Exchange) ownManifest(tx blobstore.ReadTx, t Transfer) (record.Manifest, error) {
	e, err := getRecord(tx, recordKey(t.ID))
	if err != nil {
		return record.Manifest{}, err
	}
	card, err := x.signersCard(tx, e)
	if err != nil {
		return record.Manifest{}, err
	}
	m, err := record.OpenManifest(e, card)
	return m.Body, err
}

// isOver tells whether an outgoing transfer needs no delivery any more.
func (x *Exchange) isOver(ctx context.Context, id record.TransferID) (bool, error) {
	t, err := x.row(ctx, id)
	return err == nil && t.State != Queued, err
}

// cancelIncoming gives up a payload that is not whole yet.
func (x *Exchange) cancelIncoming(ctx context.Context, v View) error {
	var file blobstore.FileID
	id := v.ID
	err := x.Journal.Update(ctx, func(tx blobstore.Tx) error {
		file = blobstore.FileID{}
		t, err := getTransfer(tx, id)
		if err != nil || t.State != Receiving {
			return err
		}
		file, err = x.cancelRow(tx, t)
		return err
	})
	if err != nil {
		return err
	}
	return x.dropIncoming(ctx, arriving{v.Partner, id}, file)
}

// cancelRow ends a transfer that is on its way in, and gives its file up.
func (x *Exchange) cancelRow(tx blobstore.Tx, t Transfer) (blobstore.FileID, error) {
	if err := t.unshelve(tx); err != nil {
		return blobstore.FileID{}, err
	}
	before := t
	file, err := t.unmark(tx)
	if err != nil {
		return file, err
	}
	if err := recharge(tx, before, t); err != nil {
		return file, err
	}
	x.end(&t, Cancelled, "")
	if err := x.tell(tx, ending(t.State), t); err != nil {
		return file, err
	}
	return file, t.put(tx)
}

// dropIncoming ends the stream of a payload that was given up, and removes
// its file; none is no work. A crash before it leaves the file to the sweep.
func (x *Exchange) dropIncoming(ctx context.Context, id arriving, file blobstore.FileID) error {
	if file.IsZero() {
		return nil
	}
	if err := x.inbox.drop(ctx, id); err != nil {
		return err
	}
	return x.Files.Remove(file)
}

// maxRemoved is how many transfers end in the update that removes a partner: a
// void each, so that a long queue is more than the journal takes at once.
const maxRemoved = 100

// Remove ends what is queued for a partner as failed; it belongs into the
// update that removes the partner. What a long queue has beyond it is ended by
// Run. The partner's streams end with its connections.
func (x *Exchange) Remove(tx blobstore.Tx, org record.OrgID) error {
	var ids []record.TransferID
	for e, err := range tx.Scan(orgKey(tx, prefixQueue, org), "", false) {
		var w waiting
		if err == nil {
			w, err = parseWaiting(e.Value)
		}
		if record.KindOf(err) == record.Damaged {
			continue // which Run mends
		}
		if err != nil {
			return err
		}
		if ids = append(ids, w.id); len(ids) == maxRemoved {
			break
		}
	}
	for _, id := range ids {
		t, err := getTransfer(tx, id)
		switch record.KindOf(err) {
		case record.NotFound, record.Damaged:
			x.Log.Error("a row is damaged", "transfer", id, "error", err) // and the partner goes all the same
			continue
		}
		if err != nil {
			return err
		}
		if err := x.void(tx, t, Failed, reasonRemoved); err != nil {
			return err
		}
	}
	return nil
}

// endRemoved ends all that is still queued in a lane of a partner that was
// removed.
func (x *Exchange) endRemoved(ctx context.Context, org record.OrgID, w work) error {
	for from := blobstore.Key(""); ; {
		t, key, err := x.nextWaiting(ctx, org, w.lane(), from, none)
		if key == "" {
			return err
		}
		if err == nil {
			err = x.giveUp(ctx, t.ID, Failed, reasonRemoved)
		}
		switch record.KindOf(err) {
		case record.NotFound, record.Damaged:
			x.logFailure(org, w, err) // and the others end all the same
			err = nil
		}
		if err != nil {
			return err
		}
		from = behind(key)
	}
}
