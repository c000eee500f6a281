package exchange

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"slices"

	"dxd/blobstore"
	"dxd/partner"
	"dxd/record"
)

// The numbers that we give (docs/spec/records.md, Manifest): for each partner
// and lane one count, in an epoch. An epoch is left for good when it turns out
// that another copy of our state went on counting in it, so that no number
// ever stands for two records on the wire.

// head is the last number that was given in a lane of a partner.
type head struct {
	record.Number
	Record  record.RecordID `json:"record,omitzero"`
	Ordinal int64           `json:"ordinal"`
	Base    record.Epoch    `json:"base,omitzero"` // the organisation's epoch when this one began; zero: it is this one
	Left    []record.Epoch  `json:"left,omitzero"` // that are never counted in again
	Held    bool            `json:"held,omitzero"` // the partner says that a number stands for two records
	Lost    span            `json:"lost,omitzero"` // that the partner had, and no longer has: as people were told
}

func headKey(tx blobstore.ReadTx, org record.OrgID, lane record.Lane) blobstore.Key {
	return orgKey(tx, prefixHead, org) + blobstore.Key(lane)
}

// headOf reads the head of a lane. If the organisation began an epoch since,
// or if there is none yet, its sequence is 0.
func headOf(tx blobstore.ReadTx, org record.OrgID, lane record.Lane) (head, error) {
	raw, err := tx.Get(keyEpoch)
	if err != nil {
		return head{}, err
	}
	base := record.Epoch(raw)
	h := head{Number: record.Number{Epoch: base, Lane: lane}}
	raw, err = tx.Get(headKey(tx, org, lane))
	if record.KindOf(err) == record.NotFound {
		return h, nil
	}
	if err != nil {
		return h, err
	}
	if err := record.Load(raw, &h); err != nil {
		return h, record.Errorf(record.Damaged, "the head of a lane: %w", err)
	}
	began := h.Base
	if began.IsZero() {
		began = h.Epoch
	}
	if began != base {
		h = h.leave(base, h.Record)
		h.Base = base
	}
	return h, nil
}

// leave ends the epoch and begins another one behind a manifest.
func (h head) leave(next record.Epoch, last record.RecordID) head {
	if h.Base.IsZero() {
		h.Base = h.Epoch
	}
	h.Left = append(slices.Clone(h.Left), h.Epoch)
	h.Number = record.Number{Epoch: next, Lane: h.Lane}
	h.Record, h.Held, h.Lost = last, false, span{}
	return h
}

// has tells whether the epoch is, or was, one of ours.
func (h head) has(e record.Epoch) bool { return h.Epoch == e || slices.Contains(h.Left, e) }

func (h head) put(tx blobstore.Tx, org record.OrgID) error {
	raw, err := record.Marshal(h)
	if err != nil {
		return err
	}
	return tx.Set(headKey(tx, org, h.Lane), raw)
}

// nextHead is the head that the next number makes, its record not yet known.
func (x *Exchange) nextHead(tx blobstore.ReadTx, org record.OrgID, lane record.Lane) (head, error) {
	h, err := headOf(tx, org, lane)
	h.Predecessor = h.Record
	h.Sequence++
	h.Ordinal++
	return h, err
}

// newEpoch begins another epoch in a lane, behind the manifest that is named.
// What waits is signed anew as its turn comes.
func newEpoch(tx blobstore.Tx, org record.OrgID, h head, last record.RecordID) (head, error) {
	var next record.Epoch
	rand.Read(next[:])
	h = h.leave(next, last)
	return h, h.put(tx, org)
}

// takeNumber signs the manifest with the next number in the transfer's lane.
// The number is open until a receipt or a void of it is in.
func (x *Exchange) takeNumber(tx blobstore.Tx, t *Transfer, to partner.Partner, m record.Manifest) (h head, signed record.Signed[record.Manifest], err error) {
	if h, err = x.nextHead(tx, to.Org, laneOf(t.Kind)); err != nil {
		return h, signed, err
	}
	m.Header = record.Header{Card: x.Book.Self().ID(), Created: x.Now().UnixMilli()}
	m.Recipient, m.RecipientCard, m.Number = to.Org, to.Card.ID(), h.Number
	if signed, err = x.Keys.SignManifest(m); err != nil {
		return h, signed, err
	}
	h.Record, t.Record = signed.ID(), signed.ID()
	if err := tx.Set(openKey(tx, to.Org, h.Number), h.Record[:]); err != nil {
		return h, signed, err
	}
	return h, signed, h.put(tx, to.Org)
}

// openKey says that a number of ours has not ended yet; the value is its
// manifest's id.
func openKey(tx blobstore.ReadTx, org record.OrgID, n record.Number) blobstore.Key {
	return epochKey(tx, prefixOpen, org, n) + bigEndian(n.Sequence)
}

// epochKey is what the keys of a lane's numbers in an epoch begin with.
func epochKey(tx blobstore.ReadTx, prefix blobstore.Key, org record.OrgID, n record.Number) blobstore.Key {
	return laneKey(tx, prefix, org, n.Lane) + blobstore.Key(n.Epoch[:])
}

// closeNumber ends the number of a manifest or a void of ours: the partner has
// acknowledged it.
func closeNumber(tx blobstore.Tx, org record.OrgID, e record.Envelope) error {
	n, err := record.NumberOf(e)
	if err != nil {
		return err
	}
	return tx.Delete(openKey(tx, org, n))
}

// endNumber closes the number of a transfer that was delivered. One whose
// manifest is damaged stays open.
func (x *Exchange) endNumber(tx blobstore.Tx, t Transfer) error {
	e, err := getRecord(tx, recordKey(t.ID))
	switch record.KindOf(err) {
	case record.NotFound, record.Damaged, record.Invalid:
		return nil
	}
	if err != nil {
		return err
	}
	return closeNumber(tx, t.Partner, e)
}

// acknowledged says how far the partner has acknowledged the numbers of the
// head's epoch: the highest one, and up to which one all.
func acknowledged(tx blobstore.ReadTx, org record.OrgID, h head) (highest, all int64, err error) {
	prefix := epochKey(tx, prefixOpen, org, h.Number)
	highest, all = h.Sequence, h.Sequence
	for e, err := range tx.Scan(prefix, "", false) {
		if err != nil {
			return 0, 0, err
		}
		all = sequenceOf(e.Key) - 1
		break
	}
	for e, err := range tx.Scan(prefix, "", true) {
		if err != nil {
			return 0, 0, err
		}
		if sequenceOf(e.Key) != highest {
			break
		}
		highest--
	}
	return highest, all, nil
}

// sequenceOf reads the sequence at the end of a number's key.
func sequenceOf(key blobstore.Key) int64 {
	return int64(binary.BigEndian.Uint64([]byte(key[len(key)-8:])))
}

// renew is for what is about to be sent: if its number is of an epoch that was
// left, it is signed anew under the one that is used now. Nobody has seen the
// old number for sure, and if somebody has, the receipt will say so.
func (x *Exchange) renew(ctx context.Context, to partner.Partner, t Transfer) (Transfer, error) {
	var stale bool
	err := x.Journal.View(ctx, func(tx blobstore.ReadTx) (err error) {
		stale, err = isStale(tx, t)
		return err
	})
	if !stale || err != nil {
		return t, err
	}
	x.at(BeforeRenewed)
	err = x.Journal.Update(ctx, func(tx blobstore.Tx) (err error) {
		if t, err = getTransfer(tx, t.ID); err != nil || t.State != Queued {
			return err
		}
		if _, err = x.signAnew(tx, &t, to); err != nil {
			return err
		}
		return t.put(tx)
	})
	if err != nil {
		return t, err
	}
	// At this point the transfer has another number; a crash after this offers
	// it under that one.
	x.at(AfterRenewed)
	return t, nil
}

// isStale tells whether the transfer's number is of an epoch that was left.
func isStale(tx blobstore.ReadTx, t Transfer) (bool, error) {
	e, err := getRecord(tx, recordKey(t.ID))
	if err != nil {
		return false, err
	}
	n, err := record.NumberOf(e)
	if err != nil {
		return false, err
	}
	h, err := headOf(tx, t.Partner, n.Lane)
	return n.Epoch != h.Epoch, err
}

// signAnew gives the transfer a number in the epoch that is used now. The old
// manifest is kept: another copy of our state may have shown it.
func (x *Exchange) signAnew(tx blobstore.Tx, t *Transfer, to partner.Partner) (record.Manifest, error) {
	old, err := getRecord(tx, recordKey(t.ID))
	if err != nil {
		return record.Manifest{}, err
	}
	m, err := x.ownManifest(tx, *t)
	if err != nil {
		return m, err
	}
	if err := putFormer(tx, t.ID, old); err != nil {
		return m, err
	}
	if err := closeNumber(tx, t.Partner, old); err != nil {
		return m, err
	}
	m.Beacon = x.Beacon()
	_, signed, err := x.takeNumber(tx, t, to, m)
	if err != nil {
		return m, err
	}
	return signed.Body, x.putRecord(tx, *t, signed.Envelope)
}

// putFormer keeps a record of a transfer that another took the place of.
func putFormer(tx blobstore.Tx, id record.TransferID, e record.Envelope) error {
	return tx.Set(formerKey(id, e.ID()), e.Bytes())
}

func formerKey(id record.TransferID, former record.RecordID) blobstore.Key {
	return prefixFormer + blobstore.Key(id[:]) + "/" + blobstore.Key(former[:])
}

// withFormer is the transfer as a receipt knows it: another copy of our state
// may have delivered it under the manifest that it had before.
func (x *Exchange) withFormer(ctx context.Context, t Transfer, receipt record.Envelope) (Transfer, error) {
	id, err := record.ManifestOf(receipt)
	if err != nil || id == t.Record {
		return t, err
	}
	err = x.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		_, err := tx.Get(formerKey(t.ID, id))
		return err
	})
	if record.KindOf(err) == record.NotFound {
		return t, nil // and the receipt will not hold
	}
	t.Record = id
	return t, err
}

// takeFormer makes a former manifest of the transfer its own again, since the
// receipt is about that one. The number that it has now gets a void.
func (x *Exchange) takeFormer(tx blobstore.Tx, t *Transfer, former record.RecordID) error {
	now, err := getRecord(tx, recordKey(t.ID))
	if err != nil {
		return err
	}
	if err := putFormer(tx, t.ID, now); err != nil {
		return err
	}
	if t.State == Queued { // else the void has been signed already
		n, err := record.NumberOf(now)
		if err != nil {
			return err
		}
		if err := x.putVoid(tx, *t, n, record.VoidCancelled); err != nil {
			return err
		}
	}
	raw, err := tx.Get(formerKey(t.ID, former))
	if err != nil {
		return err
	}
	t.Record = former
	return tx.Set(recordKey(t.ID), raw)
}
