package exchange

import (
	"context"
	"errors"

	"dxd/blobstore"
	"dxd/partner"
	"dxd/record"
)

// erase destroys what the transfer carried, here: its file key, and with that
// all that anyone could make of the payload, and the payload file, unless
// another transfer needs it. The row says since when, and what asked for it.
// Row, opening, records, receipts and proofs stay, so that evidence is the same
// as before; see forget for what goes further. garbage is the file to be removed behind the update, if there is
// one.
func (x *Exchange) erase(tx blobstore.Tx, t *Transfer, by string) (garbage blobstore.FileID, err error) {
	if t.Erased != 0 {
		return garbage, nil
	}
	if err := t.unshelve(tx); err != nil {
		return garbage, err
	}
	if err := tx.Delete(keyKey(t.ID)); err != nil {
		return garbage, err
	}
	if err := eraseBodies(tx, *t); err != nil {
		return garbage, err
	}
	before := *t
	if garbage, err = t.unmark(tx); err != nil {
		return garbage, err
	}
	if err := recharge(tx, before, *t); err != nil {
		return garbage, err
	}
	t.Erased, t.ErasedBy = x.Now().UnixMilli(), by
	return garbage, t.put(tx)
}

// eraseBodies destroys what lies in the journal itself: the body of a message,
// or those of all messages in a bundle but for those that are held.
func eraseBodies(tx blobstore.Tx, t Transfer) error {
	ids, err := bodiesOf(tx, t)
	if err != nil {
		return err
	}
	var back partner.Usage
	for _, id := range ids {
		held, err := isHeld(tx, id)
		if err != nil {
			return err
		}
		if held {
			continue
		}
		if t.Direction == In {
			n, err := bodySize(tx, id)
			if err != nil {
				return err
			}
			back.Stored -= n
		}
		if err := tx.Delete(contentKey(id)); err != nil {
			return err
		}
		if err := tx.Delete(prefixBroken + blobstore.Key(id[:])); err != nil { // what is not here is not damaged
			return err
		}
	}
	return partner.Charge(tx, t.Partner, back)
}

// bodySize is what the body of a message in the journal counts; 0 if it is not
// here. One that the disk damaged counts as the row says, and is erased all the
// same.
func bodySize(tx blobstore.ReadTx, id record.TransferID) (int64, error) {
	body, err := tx.Get(contentKey(id))
	switch record.KindOf(err) {
	case record.NotFound:
		return 0, nil
	case record.Damaged:
		t, err := getTransfer(tx, id)
		if kind := record.KindOf(err); kind == record.NotFound || kind == record.Damaged {
			return 0, nil // and the next start counts anew
		}
		return t.Size, err
	}
	return int64(len(body)), err
}

// bodiesOf lists whose bodies these are.
func bodiesOf(tx blobstore.ReadTx, t Transfer) ([]record.TransferID, error) {
	if t.Kind != bundleKind {
		return []record.TransferID{t.ID}, nil
	}
	members, err := membersOf(tx, t.ID)
	return append(members, t.ID), err
}

// maxErased is how many documents and messages are erased in one update before
// the next bundle waits for another: each is a key, of which the journal takes
// so many at once.
const maxErased = 1000

// eraseAll erases what lies in these places of a shelf.
func (x *Exchange) eraseAll(ctx context.Context, due []place, by string) error {
	for len(due) > 0 {
		n, err := x.eraseSome(ctx, due, by)
		if err != nil {
			return err
		}
		due = due[n:]
	}
	return nil
}

// eraseSome erases what lies in the first n of these places: in the journal,
// and then on the disk.
func (x *Exchange) eraseSome(ctx context.Context, due []place, by string) (n int, err error) {
	var garbage []blobstore.FileID
	x.at(BeforeErased)
	err = x.Journal.Update(ctx, func(tx blobstore.Tx) error {
		n, garbage = 0, nil
		for items := int64(0); n < len(due) && items < maxErased; n++ {
			t, file, err := x.erasePlace(tx, due[n], by)
			if err != nil {
				return err
			}
			items += max(t.Items, 1)
			if !file.IsZero() {
				garbage = append(garbage, file)
			}
		}
		return nil
	})
	if err != nil {
		return 0, err // the sweep looks for files, should it have been written all the same
	}
	// At this point nobody can open them any more; a crash after this leaves the
	// files to the sweep of the next start.
	x.at(AfterErased)
	var errs []error
	for _, file := range garbage {
		errs = append(errs, x.Files.Remove(file))
	}
	x.Log.Info("erased payloads whose time was over", "rule", by, "payloads", n, "files", len(garbage))
	return n, errors.Join(errs...)
}

// erasePlace erases one transfer. One that can't be read keeps its place, and
// holds up no other; so does one whose way has not ended, which no shelf that
// is erased from should hold.
func (x *Exchange) erasePlace(tx blobstore.Tx, p place, by string) (t Transfer, garbage blobstore.FileID, err error) {
	t, err = getTransfer(tx, p.id)
	if err == nil {
		_, err = bodiesOf(tx, t)
	}
	switch record.KindOf(err) {
	case record.NotFound, record.Damaged:
		x.Log.Error("couldn't erase a payload", "transfer", p.id, "error", err)
		return t, garbage, nil
	}
	if err != nil || t.Ended == 0 {
		return t, garbage, err
	}
	if held, err := isHeld(tx, t.ID); held || err != nil {
		return t, garbage, err
	}
	garbage, err = x.erase(tx, &t, by)
	return t, garbage, err
}
