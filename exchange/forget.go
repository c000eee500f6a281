package exchange

import (
	"context"
	"time"

	"dxd/blobstore"
	"dxd/event"
	"dxd/record"
)

// ByErase stands in ErasedBy of a transfer that somebody had erased, here and
// by its id. Retention destroys the payload alone; this destroys the opening
// along with it, so that nothing here says any more what the transfer carried.
const ByErase = "erase"

// bare tells whether the opening is gone as well.
func (t Transfer) bare() bool { return t.ErasedBy == ByErase }

// Erase destroys what a transfer or a notarisation carried, for who asks: file
// key, payload, and opening, and what the row took from it. Records, receipts
// and proofs stay; without the opening they say that something was sent, and
// when, but not what. One that is erased already stays as it is.
//
// The error is of kind Conflict as long as the transfer is under way or on
// hold.
func (x *Exchange) Erase(ctx context.Context, id record.TransferID, who string) (View, error) {
	return x.eraseOne(ctx, id, who, false)
}

// EraseAndAsk is Erase that asks the partner to erase it, too: see Asking. The
// answer comes when the partner is there, and has decided.
func (x *Exchange) EraseAndAsk(ctx context.Context, id record.TransferID, who string) (View, error) {
	return x.eraseOne(ctx, id, who, true)
}

func (x *Exchange) eraseOne(ctx context.Context, id record.TransferID, who string, ask bool) (View, error) {
	var garbage blobstore.FileID
	x.at(BeforeErased)
	err := x.Journal.Update(ctx, func(tx blobstore.Tx) error {
		garbage = blobstore.FileID{}
		t, err := getItem(tx, id)
		if err == nil && !t.bare() {
			if err = x.mayErase(tx, t); err == nil {
				garbage, err = x.forget(tx, t, who)
			}
		}
		if err != nil || !ask {
			return err
		}
		return x.ask(tx, t)
	})
	if err != nil {
		return View{}, err
	}
	// At this point nobody can open it any more; a crash after this leaves the
	// file to the sweep of the next start.
	x.at(AfterErased)
	if !garbage.IsZero() {
		if err := x.Files.Remove(garbage); err != nil {
			return View{}, err
		}
	}
	return x.Get(ctx, id)
}

// mayErase refuses what is under way, and what is held.
func (x *Exchange) mayErase(tx blobstore.ReadTx, t Transfer) error {
	hold, err := holdOf(tx, t.ID)
	if err != nil {
		return err
	}
	if hold.Since != 0 {
		return record.WithHint(record.Errorf(record.Conflict, "the transfer is on hold since %s, by %s, and is not erased",
			time.UnixMilli(hold.Since).UTC().Format(time.DateOnly), hold.By),
			"`dxd release "+t.ID.String()+"` ends the hold")
	}
	now, _, err := x.settled(tx, t)
	if err != nil {
		return err
	}
	if now.State == Queued || now.State == Receiving {
		return record.WithHint(record.Errorf(record.Conflict, "the transfer is %s and can't be erased yet", now.State),
			"`dxd cancel "+t.ID.String()+"` ends it; what is over can be erased")
	}
	return nil
}

// forget erases payload and opening, and clears the row of what came from the
// opening. The length stays: the manifest shows it, but for a few bytes.
func (x *Exchange) forget(tx blobstore.Tx, t Transfer, who string) (garbage blobstore.FileID, err error) {
	if garbage, err = x.erase(tx, &t, ByErase); err != nil {
		return garbage, err
	}
	if err := x.forgetOpening(tx, t); err != nil {
		return garbage, err
	}
	t.Erased, t.ErasedBy = x.Now().UnixMilli(), ByErase
	t.Name, t.MediaType, t.Digest = "", "", record.Digest{}
	if err := t.put(tx); err != nil {
		return garbage, err
	}
	if err := x.tellBy(tx, event.TransferErased, t, who); err != nil {
		return garbage, err
	}
	a, err := askingOf(tx, t.ID)
	if err == nil && a.Requested != 0 {
		err = x.answerRequest(tx, t, record.AnswerErased, "")
	}
	return garbage, err
}

// forgetOpening destroys the opening of the transfer's item. In a bundle its
// leaf takes its place: from there the others have their paths to the root, and
// the leaf says nothing to one who lacks the salt.
func (x *Exchange) forgetOpening(tx blobstore.Tx, t Transfer) error {
	c, index, err := x.carrier(tx, t)
	if record.KindOf(err) == record.NotFound {
		return nil // a message that never came into a bundle has none
	}
	if err != nil {
		return err
	}
	if c.Kind != bundleKind {
		return tx.Delete(openingKey(c.ID))
	}
	list, err := keptOpenings(tx, c.ID)
	if err != nil {
		return err
	}
	if index >= int64(len(list)) {
		return errDamagedOpenings()
	}
	if len(list[index]) == len(record.Hash{}) {
		return nil
	}
	leaf := record.LeafHash(list[index])
	list[index] = leaf[:]
	return tx.Set(openingKey(c.ID), packOpenings(list...))
}

// keptOpenings reads the openings that are kept of a bundle. What has the
// length of a hash is the leaf of one that was erased: no opening is so short.
func keptOpenings(tx blobstore.ReadTx, bundle record.TransferID) ([][]byte, error) {
	raw, err := tx.Get(openingKey(bundle))
	if err != nil {
		return nil, err
	}
	list, err := unpackOpenings(raw)
	if err != nil {
		return nil, errDamagedOpenings()
	}
	return list, nil
}

// keptLeaves are the leaves of what keptOpenings gave.
func keptLeaves(list [][]byte) []record.Hash {
	leaves := make([]record.Hash, len(list))
	for i, o := range list {
		if len(o) == len(leaves[i]) {
			leaves[i] = record.Hash(o)
		} else {
			leaves[i] = record.LeafHash(o)
		}
	}
	return leaves
}

func errDamagedOpenings() error {
	return record.Errorf(record.Damaged, "the openings of a bundle are damaged")
}

// errBare says that evidence can't be made any more.
func errBare(t Transfer) error {
	return record.WithHint(record.Errorf(record.Gone, "no evidence can be made any more: the opening was erased on %s, and without it nothing shows what the records are about",
		time.UnixMilli(t.Erased).UTC().Format(time.DateOnly)),
		"an evidence file that was made before still verifies, and the other side can make one as long as it has its opening")
}
