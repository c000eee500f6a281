package exchange

import (
	"context"

	"dxd/blobstore"
	"dxd/partner"
	"dxd/record"
)

// recount compares what partners use by the count with what is here, once at
// each start, and puts the count right: a journal of an older version has
// none. Meanwhile payloads come and go; they change the count by themselves,
// and the difference stays what it was.
func (x *Exchange) recount(ctx context.Context) error {
	off, err := x.Miscounted(ctx)
	if err != nil || len(off) == 0 {
		return err
	}
	err = x.Journal.Update(ctx, func(tx blobstore.Tx) error {
		for org, u := range off {
			if err := partner.Charge(tx, org, u); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		x.Log.Info("counted what partners use", "partners", len(off))
	}
	return err
}

// Miscounted looks at everything that is here, and gives what the count of each
// partner lacks; nothing if it is right.
func (x *Exchange) Miscounted(ctx context.Context) (off map[record.OrgID]partner.Usage, err error) {
	err = x.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		counted, err := partner.Usages(tx)
		if err != nil {
			return err
		}
		if off, err = x.used(ctx, tx); err != nil {
			return err
		}
		for org, u := range counted {
			off[org] = off[org].Minus(u)
		}
		for org, u := range off {
			if u.IsZero() {
				delete(off, org)
			}
		}
		return nil
	})
	return off, err
}

// used adds up what each partner's payloads use. A row that can't be read
// counts nothing.
func (x *Exchange) used(ctx context.Context, tx blobstore.ReadTx) (map[record.OrgID]partner.Usage, error) {
	all := map[record.OrgID]partner.Usage{}
	var bundle Transfer // of the message before
	for e, err := range tx.Scan(prefixTime, "", false) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		t, err := getTransfer(tx, idIn(e.Key))
		switch record.KindOf(err) {
		case record.NotFound, record.Damaged:
			continue // which whoever reads it is told
		}
		if err != nil {
			return nil, err
		}
		u := t.uses()
		if t.Direction == In && t.small() {
			if bundle.ID != t.Bundle {
				bundle, err = getTransfer(tx, t.Bundle)
				if err != nil && record.KindOf(err) != record.NotFound && record.KindOf(err) != record.Damaged {
					return nil, err
				}
			}
			if u, err = t.usesJournal(tx, bundle); err != nil {
				return nil, err
			}
		}
		if !u.IsZero() {
			all[t.Partner] = all[t.Partner].Plus(u)
		}
	}
	return all, nil
}

// usesJournal is what the body of a message from a partner uses, which lies in
// the journal until the message, or its bundle, is erased. What was on hold then
// stays, and may have been released since: see endHold.
func (t Transfer) usesJournal(tx blobstore.ReadTx, bundle Transfer) (u partner.Usage, err error) {
	here := t.Erased == 0
	if here && bundle.Erased != 0 && t.Ended == 0 {
		here, err = isHeld(tx, t.ID)
	}
	if here {
		u.Stored = t.Size
	}
	return u, err
}
