package exchange

import (
	"context"
	"time"

	"dxd/blobstore"
	"dxd/event"
	"dxd/record"
)

// A state that was restored from a backup does not know what was erased since.
// Partners know some of it: what they asked us to erase, with the answer that
// we signed, and what we asked them. They are told that we were restored, and
// tell us that again (docs/spec/backup.md).

// restored is what a journal that was restored says of that.
type restored struct {
	Epoch record.Epoch `json:"epoch"` // that began then
	Made  int64        `json:"made"`  // when the backup was made, in ms since 1970
}

// Restored goes on after a restore from a backup that was made then: in another
// epoch, and partners are asked to remind us of what was erased since.
func Restored(tx blobstore.Tx, epoch record.Epoch, made time.Time) error {
	raw, err := record.Marshal(restored{epoch, made.UnixMilli()})
	if err != nil {
		return err
	}
	if err := tx.Set(keyRestored, raw); err != nil {
		return err
	}
	return Init(tx, epoch)
}

// restoredOf is zero for a state that never was.
func restoredOf(tx blobstore.ReadTx) (r restored, err error) {
	raw, err := tx.Get(keyRestored)
	if record.KindOf(err) == record.NotFound {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	if err := record.Unmarshal(raw, &r); err != nil {
		return r, record.Errorf(record.Damaged, "what is noted of a restore: %w", err)
	}
	return r, nil
}

// restoredIn is the epoch that began with the last restore; zero if there was
// none.
func (x *Exchange) restoredIn(ctx context.Context) (record.Epoch, error) {
	var r restored
	err := x.Journal.View(ctx, func(tx blobstore.ReadTx) (err error) {
		r, err = restoredOf(tx)
		return err
	})
	return r.Epoch, err
}

// reminded is up to which restore a partner was reminded. Another one within
// remindPause is not served: hellos are cheap for whoever sends them, and this
// is not.
type reminded struct {
	Epoch record.Epoch `json:"epoch"`
	Time  int64        `json:"time"` // ms since 1970
}

const (
	remindPause = 10 * time.Minute
	remindStep  = 500 // told in one update
)

func remindedKey(tx blobstore.ReadTx, org record.OrgID) blobstore.Key {
	return orgKey(tx, prefixReminded, org)
}

// remind queues, for a partner that says it was restored, what the two sides
// asked each other to erase, once for each restore. A crash before all of it is
// queued begins again with the next hello.
func (x *Exchange) remind(ctx context.Context, org record.OrgID, epoch record.Epoch) error {
	if epoch.IsZero() {
		return nil
	}
	var due []push
	var served bool
	err := x.Journal.View(ctx, func(tx blobstore.ReadTx) (err error) {
		if served, err = x.wasReminded(tx, org, epoch); served || err != nil {
			return err
		}
		due, err = x.reminders(tx, org)
		return err
	})
	if served || err != nil {
		return err
	}
	for {
		n := min(len(due), remindStep)
		err := x.Journal.Update(ctx, func(tx blobstore.Tx) error {
			for _, p := range due[:n] {
				if err := p.put(tx, org); err != nil {
					return err
				}
			}
			if n < len(due) {
				return nil
			}
			raw, err := record.Marshal(reminded{epoch, x.Now().UnixMilli()})
			if err != nil {
				return err
			}
			return tx.Set(remindedKey(tx, org), raw)
		})
		if due = due[n:]; err != nil || len(due) == 0 {
			return err
		}
	}
}

func (x *Exchange) wasReminded(tx blobstore.ReadTx, org record.OrgID, epoch record.Epoch) (bool, error) {
	raw, err := tx.Get(remindedKey(tx, org))
	if kind := record.KindOf(err); kind == record.NotFound || kind == record.Damaged {
		return false, nil // once more does no harm
	}
	if err != nil {
		return false, err
	}
	var r reminded
	if err := record.Unmarshal(raw, &r); err != nil {
		return false, nil
	}
	return r.Epoch == epoch || x.Now().Sub(time.UnixMilli(r.Time)).Abs() < remindPause, nil
}

// reminders lists what the partner is told again. One transfer that is damaged
// holds up no other.
func (x *Exchange) reminders(tx blobstore.ReadTx, org record.OrgID) (due []push, err error) {
	for e, err := range tx.Scan(prefixAsking, "", false) {
		if err != nil {
			return nil, err
		}
		id := idIn(e.Key)
		t, err := getItem(tx, id)
		var a Asking
		if err == nil {
			a, err = askingOf(tx, id)
		}
		switch record.KindOf(err) {
		case record.NotFound, record.Damaged:
			x.Log.Error("couldn't remind a partner of what was to be erased", "transfer", id, "error", err)
			continue
		}
		if err != nil {
			return nil, err
		}
		if t.Partner == org {
			due = append(due, a.reminders(id, x.Now())...)
		}
	}
	return due, nil
}

func (a Asking) reminders(id record.TransferID, now time.Time) (due []push) {
	at := now.UnixNano()
	switch {
	case a.Answer == record.AnswerErased:
		due = append(due, push{Transfer: id, Reminder: true, At: at})
	case a.Asked != 0 && a.Answer == "":
		due = append(due, push{Transfer: id, Ask: true, At: at})
	}
	if a.Said != "" {
		due = append(due, push{Transfer: id, Erasure: true, At: at})
	}
	return due
}

// remindSlack is by how much an erasure may be older than the backup by its
// time: clocks are set, and a snapshot is older than the file that is made of it.
const remindSlack = 24 * time.Hour

// takeReminder erases what we had erased before we were restored: our own
// signature says so. What is on hold is not, but people are told. It counts for
// a state that was restored alone, and for what was signed since the backup: so
// a signing key that somebody stole, now or long ago, destroys nothing by it.
func (x *Exchange) takeReminder(ctx context.Context, from record.OrgID, n news) error {
	var garbage blobstore.FileID
	x.at(BeforeErased)
	err := x.Journal.Update(ctx, func(tx blobstore.Tx) (err error) {
		garbage, err = x.reminder(tx, from, n)
		return err
	})
	if err != nil {
		return err
	}
	x.at(AfterErased)
	if garbage.IsZero() {
		return nil
	}
	return x.Files.Remove(garbage)
}

func (x *Exchange) reminder(tx blobstore.Tx, from record.OrgID, n news) (garbage blobstore.FileID, err error) {
	said, err := x.ownErasure(tx, from, n.Erasure)
	if err != nil {
		return garbage, err
	}
	t, err := getItem(tx, n.Transfer)
	if record.KindOf(err) == record.NotFound {
		return garbage, nil // it came after the backup: there is nothing of it here
	}
	if err == nil && t.Partner != from {
		err = record.Errorf(record.Refused, "a reminder about what is not of this partner")
	}
	if err != nil || t.bare() {
		return garbage, err
	}
	now, _, err := x.settled(tx, t)
	if err != nil {
		return garbage, err
	}
	if now.State == Queued || now.State == Receiving {
		return garbage, record.Errorf(record.Unavailable, "a reminder of what is %s here", now.State)
	}
	c, index, err := x.carrier(tx, t)
	if record.KindOf(err) == record.NotFound {
		return garbage, contradiction(t.ID, "a partner shows that we erased a message, of which no record is here: `dxd erase "+t.ID.String()+"` erases it again")
	}
	if err != nil {
		return garbage, err
	}
	if said.Body.Item != index {
		return garbage, record.Errorf(record.Invalid, "the reminder is about another item")
	}
	if err := isManifestOf(tx, c, said.Body.Manifest); err != nil {
		return garbage, err
	}
	held, err := isHeld(tx, t.ID)
	if err != nil {
		return garbage, err
	}
	if held {
		return garbage, x.remindOfHeld(tx, t)
	}
	if garbage, err = x.forget(tx, t, byPartner); err != nil {
		return garbage, err
	}
	a, err := askingOf(tx, t.ID)
	if err != nil || a.Said == record.AnswerErased {
		return garbage, err
	}
	a.Requested, a.Said = x.Now().UnixMilli(), record.AnswerErased
	if err := a.put(tx, t.ID); err != nil {
		return garbage, err
	}
	return garbage, tx.Set(ownErasureKey(t.ID), said.Bytes())
}

// remindOfHeld tells people, as of a request: what is on hold they release or
// keep.
func (x *Exchange) remindOfHeld(tx blobstore.Tx, t Transfer) error {
	a, err := askingOf(tx, t.ID)
	if err != nil || a.Requested != 0 {
		return err
	}
	a.Requested = x.Now().UnixMilli()
	if err := a.put(tx, t.ID); err != nil {
		return err
	}
	return x.tellBy(tx, event.EraseRequested, t, byPartner)
}

// ownErasure verifies that we signed, since the backup that this state was
// restored from, that we had erased something for the partner.
func (x *Exchange) ownErasure(tx blobstore.ReadTx, from record.OrgID, e record.Envelope) (said record.Signed[record.Erasure], err error) {
	r, err := restoredOf(tx)
	if err != nil {
		return said, err
	}
	if r.Epoch.IsZero() {
		return said, record.Errorf(record.Invalid, "a reminder to a state that was never restored")
	}
	_, cardID, err := record.SignerOf(e)
	if err != nil {
		return said, err
	}
	card, err := x.cardOf(tx, cardID)
	if record.KindOf(err) == record.NotFound {
		return said, contradiction(record.TransferID{}, "a partner shows that we erased something, signed under a card of ours that was lost with our state: it is not erased here")
	}
	if err != nil {
		return said, err
	}
	if said, err = record.OpenErasure(e, card); err != nil {
		return said, err
	}
	if said.Body.Org != x.Keys.Org() || said.Body.Asker != from || said.Body.Answer != record.AnswerErased {
		return said, record.Errorf(record.Invalid, "a reminder of something else than that we erased it for this partner")
	}
	if said.Body.Created < time.UnixMilli(r.Made).Add(-remindSlack).UnixMilli() {
		return said, record.Errorf(record.Invalid, "a reminder of what was signed before the backup")
	}
	return said, nil
}

// unasked is the error of an answer to what nobody here asked. Where the state
// was restored, somebody may have asked since the backup, and have erased it
// here, too; that is the partner's word alone, so people decide.
func unasked(tx blobstore.ReadTx, t Transfer) error {
	r, err := restoredOf(tx)
	if err != nil {
		return err
	}
	if !r.Epoch.IsZero() && !t.bare() {
		return contradiction(t.ID, "a partner was asked to erase a transfer, which is not erased here: this state was restored from a backup; `dxd erase "+t.ID.String()+"` erases it again")
	}
	return record.Errorf(record.Refused, "an answer to what nobody asked")
}
