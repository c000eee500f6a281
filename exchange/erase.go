package exchange

import (
	"context"
	"errors"

	"dxd/blobstore"
	"dxd/record"
)

// erase destroys what the transfer carried, here: its file key, and with that
// all that anyone could make of the payload, and the payload file, unless
// another transfer needs it. The row says since when, and what asked for it.
// Row, opening, records, receipts and proofs stay, so that evidence is the same
// as before. garbage is the file to be removed behind the update, if there is
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
	if garbage, err = t.unmark(tx); err != nil {
		return garbage, err
	}
	t.Erased, t.ErasedBy = x.Now().UnixMilli(), by
	return garbage, t.put(tx)
}

// eraseBodies destroys what lies in the journal itself: the body of a message
// that never came into a bundle, or those of all messages in one.
func eraseBodies(tx blobstore.Tx, t Transfer) error {
	ids := []record.TransferID{t.ID}
	if t.Kind == bundleKind {
		members, err := membersOf(tx, t.ID)
		if err != nil {
			return err
		}
		ids = append(ids, members...)
	}
	for _, id := range ids {
		if err := tx.Delete(contentKey(id)); err != nil {
			return err
		}
	}
	return nil
}

// eraseAll erases what lies in these places of a shelf: in the journal first,
// and then on the disk.
func (x *Exchange) eraseAll(ctx context.Context, due []place, by string) error {
	var garbage []blobstore.FileID
	x.at(BeforeErased)
	err := x.Journal.Update(ctx, func(tx blobstore.Tx) error {
		garbage = nil
		for _, p := range due {
			file, err := x.erasePlace(tx, p, by)
			if err != nil {
				return err
			}
			if !file.IsZero() {
				garbage = append(garbage, file)
			}
		}
		return nil
	})
	if err != nil {
		return err // the sweep looks for files, should it have been written all the same
	}
	// At this point nobody can open them any more; a crash after this leaves the
	// files to the sweep of the next start.
	x.at(AfterErased)
	var errs []error
	for _, file := range garbage {
		errs = append(errs, x.Files.Remove(file))
	}
	x.Log.Info("erased payloads whose time was over", "rule", by, "transfers", len(due), "files", len(garbage))
	return errors.Join(errs...)
}

// erasePlace erases one transfer. One that can't be read keeps its place, and
// holds up no other; so does one whose way has not ended, which no shelf that
// is erased from should hold.
func (x *Exchange) erasePlace(tx blobstore.Tx, p place, by string) (garbage blobstore.FileID, err error) {
	t, err := getTransfer(tx, p.id)
	switch record.KindOf(err) {
	case record.NotFound, record.Damaged:
		x.Log.Error("couldn't erase a payload", "transfer", p.id, "error", err)
		return garbage, nil
	}
	if err != nil || t.Ended == 0 {
		return garbage, err
	}
	return x.erase(tx, &t, by)
}
