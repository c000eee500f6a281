package exchange

import (
	"context"

	"dxd/blobstore"
	"dxd/partner"
	"dxd/record"
)

// voided notes the number that its sender gave up, and ends what is not here
// whole, now and if it is offered once more; if it is here, its receipt is the
// answer. The answer is given when all of it is durable.
func (x *Exchange) voided(ctx context.Context, from record.OrgID, id record.TransferID, v record.Signed[record.Void]) (receipt record.Envelope, err error) {
	if err := x.mayVoid(ctx, from, id); err != nil {
		return receipt, err
	}
	var file blobstore.FileID
	err = x.Journal.Update(ctx, func(tx blobstore.Tx) error {
		receipt, file = record.Envelope{}, blobstore.FileID{}
		t, err := getTransfer(tx, id)
		if err != nil && record.KindOf(err) != record.NotFound {
			return err
		}
		here := err == nil
		if here && (t.Direction != In || t.Partner != from) {
			return record.Errorf(record.Refused, "a void of another's transfer")
		}
		if err := x.note(tx, from, v.Body.Number, v.Body.Manifest); err != nil {
			return err
		}
		switch {
		case !here:
			// Its offer may be under way, in a stream that is behind this one.
			if err := tx.Set(givenUpKey(tx, from, id), nil); err != nil {
				return err
			}
		case here && t.State == Receiving:
			if file, err = x.cancelRow(tx, t); err != nil {
				return err
			}
		case here && t.State.across():
			// Perhaps under a manifest of another number: the receipt says which.
			if receipt, err = getReceipt(tx, id, receiptFirst); err != nil || t.Record == v.Body.Manifest {
				return err
			}
		}
		return putVoided(tx, from, v)
	})
	if err == nil {
		err = x.dropIncoming(ctx, arriving{from, id}, file)
	}
	return receipt, err
}

// mayVoid counts a void like a transfer that begins: what is kept of it is kept
// for ever, too, and its sender can make up as many as it likes. One that ends
// what is on its way here counted when that began.
func (x *Exchange) mayVoid(ctx context.Context, from record.OrgID, id record.TransferID) error {
	counted := false
	var q partner.Quota
	err := x.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		t, err := getTransfer(tx, id)
		if err != nil && record.KindOf(err) != record.NotFound {
			return err
		}
		counted = err == nil && t.State == Receiving
		q, err = partner.QuotaOf(tx, from, x.Quota)
		return err
	})
	if err == nil && !counted && !x.guests.within(from, q.Transfers, x.Now()) {
		err = over(quotaTransfers, false)
	}
	return err
}

// isGivenUp refuses what its sender gave up before anything of it was here: a
// row of it would wait for bytes that never come.
func isGivenUp(tx blobstore.ReadTx, from record.OrgID, id record.TransferID) error {
	_, err := tx.Get(givenUpKey(tx, from, id))
	switch {
	case err == nil:
		return refuse(reasonCancelled)
	case record.KindOf(err) == record.NotFound:
		return nil
	}
	return err
}

// putVoided keeps a partner's void. Of several of one manifest, the first is
// kept.
func putVoided(tx blobstore.Tx, from record.OrgID, v record.Signed[record.Void]) error {
	key := voidedKey(tx, from, v.Body.Manifest)
	if _, err := tx.Get(key); record.KindOf(err) != record.NotFound {
		return err
	}
	if err := tx.Set(key, v.Bytes()); err != nil {
		return err
	}
	return tx.Set(voidIDKey(tx, from, v.ID()), v.Body.Manifest[:])
}

// voidByID finds a partner's void by its own id.
func voidByID(tx blobstore.ReadTx, from record.OrgID, id record.RecordID) (record.Envelope, error) {
	manifest, err := tx.Get(voidIDKey(tx, from, id))
	if err != nil {
		return record.Envelope{}, err
	}
	return getRecord(tx, voidedKey(tx, from, record.RecordID(manifest)))
}

// renewVoid is renew for a void that waits to be told. What is damaged is left
// as it is: newsOf tells of it.
func (x *Exchange) renewVoid(ctx context.Context, e blobstore.Entry) error {
	var p push
	if err := record.Load(e.Value[32:], &p); err != nil || !p.Void {
		return nil
	}
	var stale bool
	err := x.Journal.View(ctx, func(tx blobstore.ReadTx) (err error) {
		_, stale, err = staleVoid(tx, p.Transfer)
		return err
	})
	switch {
	case record.KindOf(err) == record.NotFound, record.KindOf(err) == record.Damaged:
		return nil
	case !stale || err != nil:
		return err
	}
	return x.Journal.Update(ctx, func(tx blobstore.Tx) error { return x.voidAnew(tx, p.Transfer) })
}

// staleVoid tells whether a void is of an epoch that was left. That of a
// transfer which was delivered all the same is of a number that was not needed.
func staleVoid(tx blobstore.ReadTx, id record.TransferID) (t Transfer, stale bool, err error) {
	if t, err = getTransfer(tx, id); err != nil || t.State.across() {
		return t, false, err
	}
	stale, err = isStale(tx, t)
	return t, stale, err
}

// voidAnew signs manifest and void of what was given up anew, if that is still
// to be done.
func (x *Exchange) voidAnew(tx blobstore.Tx, id record.TransferID) error {
	t, stale, err := staleVoid(tx, id)
	if !stale || err != nil {
		return err
	}
	old, err := getRecord(tx, voidKey(id))
	if err != nil {
		return err
	}
	if err := putFormer(tx, id, old); err != nil {
		return err
	}
	m, err := x.ownManifest(tx, t)
	if err != nil {
		return err
	}
	if m, err = x.underOwnEpoch(tx, &t, m); err != nil {
		return err
	}
	if err := x.putVoid(tx, t, m.Number, voidReason(t.State, t.Reason)); err != nil {
		return err
	}
	return t.put(tx)
}

// underOwnEpoch signs the manifest of what is given up anew, if its number is
// of an epoch that was left: a void of that one might be a second record with
// its number.
func (x *Exchange) underOwnEpoch(tx blobstore.Tx, t *Transfer, m record.Manifest) (record.Manifest, error) {
	h, err := headOf(tx, t.Partner, m.Lane)
	if err != nil || m.Epoch == h.Epoch {
		return m, err
	}
	var to partner.Partner
	if to, err = x.Book.ByOrg(t.Partner); err != nil {
		return m, err
	}
	return x.signAnew(tx, t, to)
}

// takeVoid gives up what the sender says that it will not send. What was
// received before is answered with its receipt.
func (x *Exchange) takeVoid(ctx context.Context, from record.OrgID, n news) (receipt record.Envelope, err error) {
	_, cardID, err := record.SignerOf(n.Void)
	if err != nil {
		return receipt, err
	}
	card, err := x.Book.Card(ctx, cardID)
	if err != nil {
		return receipt, err
	}
	v, err := record.OpenVoid(n.Void, card)
	if err != nil {
		return receipt, err
	}
	if v.Body.Org != from || v.Body.Recipient != x.Keys.Org() {
		return receipt, record.Errorf(record.Refused, "a void that is not from this partner to us")
	}
	return x.voided(ctx, from, n.Transfer, v)
}
