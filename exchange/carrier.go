package exchange

import (
	"slices"

	"dxd/blobstore"
	"dxd/hashanchor/queue"
	"dxd/record"
)

// A carrier is a transfer with a payload: it has the number, the manifest and
// the first receipt, which is about all of its items. A document carries
// itself, and so does a message that is too large for a bundle.

// carrier finds the transfer that has the payload of this one, and the index
// of its item in the manifest. The error is of kind NotFound as long as a
// message waits for its bundle.
func (x *Exchange) carrier(tx blobstore.ReadTx, t Transfer) (c Transfer, index int64, err error) {
	switch {
	case t.Kind != record.Message || t.SealedLength != 0:
		return t, 0, nil
	case t.Direction == In:
		c, err = getTransfer(tx, t.Bundle)
		return c, t.Index, err
	}
	return bundleOf(tx, t)
}

// bundleOf finds our bundle that has the message. A bundle stands under the
// place of its last message, so it is the first one from the message's own on,
// unless the message left the queue before one took it.
func bundleOf(tx blobstore.ReadTx, t Transfer) (c Transfer, index int64, err error) {
	prefix := orgKey(tx, prefixBundled, t.Partner)
	for e, err := range tx.Scan(prefix, prefix+bigEndian(t.Ordinal), false) {
		if err != nil {
			return c, 0, err
		}
		id := record.TransferID(e.Value)
		members, err := membersOf(tx, id)
		if err != nil {
			return c, 0, err
		}
		if index := slices.Index(members, t.ID); index >= 0 {
			c, err = getTransfer(tx, id)
			return c, int64(index), err
		}
		break
	}
	return c, 0, record.Errorf(record.NotFound, "the message %s is in no bundle", t.ID)
}

// recent is what the next row of a list has in common with those before: often
// its bundle and record, and that nothing in the journal is on hold or asked
// about.
type recent struct {
	bundle      Transfer
	members     []record.TransferID // if it is ours
	record      record.RecordID
	anchor      queue.State
	held, asked bool // whether anything is
}

func newRecent(tx blobstore.ReadTx) (r recent, err error) {
	if r.held, err = anyUnder(tx, prefixHold); err != nil {
		return r, err
	}
	r.asked, err = anyUnder(tx, prefixAsking)
	return r, err
}

func anyUnder(tx blobstore.ReadTx, prefix blobstore.Key) (bool, error) {
	for _, err := range tx.Scan(prefix, "", false) {
		return err == nil, err
	}
	return false, nil
}

// carrier is Exchange.carrier.
func (r *recent) carrier(x *Exchange, tx blobstore.ReadTx, t Transfer) (Transfer, error) {
	if t.small() && !r.bundle.ID.IsZero() && (t.Bundle == r.bundle.ID || slices.Contains(r.members, t.ID)) {
		return r.bundle, nil
	}
	c, _, err := x.carrier(tx, t)
	if err != nil || c.Kind != bundleKind {
		return c, err
	}
	r.bundle, r.members = c, nil
	if c.Direction == Out {
		r.members, err = membersOf(tx, c.ID)
	}
	return c, err
}

// anchorOf is queue.StateOf.
func (r *recent) anchorOf(tx blobstore.ReadTx, id record.RecordID) (queue.State, error) {
	if r.record == id {
		return r.anchor, nil
	}
	state, err := queue.StateOf(tx, id)
	if err == nil {
		r.record, r.anchor = id, state
	}
	return state, err
}

// membersOf lists the messages of a bundle in their order.
func membersOf(tx blobstore.ReadTx, bundle record.TransferID) ([]record.TransferID, error) {
	packed, err := tx.Get(membersKey(bundle))
	if err != nil {
		return nil, err
	}
	var ids []record.TransferID
	for id := range slices.Chunk(packed, len(bundle)) {
		if len(id) != len(bundle) {
			return nil, record.Errorf(record.Damaged, "the list of a bundle's messages is cut off")
		}
		ids = append(ids, record.TransferID(id))
	}
	return ids, nil
}

func putMembers(tx blobstore.Tx, bundle record.TransferID, ids []record.TransferID) error {
	var packed []byte
	for _, id := range ids {
		packed = append(packed, id[:]...)
	}
	return tx.Set(membersKey(bundle), packed)
}

// settled gives a message's row what follows from its carrier, which is zero
// as long as there is none.
func (x *Exchange) settled(tx blobstore.ReadTx, t Transfer) (_, c Transfer, err error) {
	c, _, err = x.carrier(tx, t)
	return settledBy(tx, t, c, err)
}

// settledBy is settled with what was found of the carrier.
func settledBy(tx blobstore.ReadTx, t, c Transfer, err error) (_, _ Transfer, _ error) {
	switch {
	case record.KindOf(err) == record.NotFound:
		if t.State == "" {
			t.State = Queued
		}
		return t, Transfer{}, nil
	case err != nil || c.ID == t.ID:
		return t, c, err
	}
	t.Record, t.WireBytes = c.Record, c.WireBytes
	if c.Erased != 0 && t.Erased == 0 && t.Ended == 0 { // else it was on hold when its bundle was erased
		held, err := isHeld(tx, t.ID)
		if err != nil {
			return t, c, err
		}
		if !held {
			t.Erased, t.ErasedBy = c.Erased, c.ErasedBy
		}
	}
	if t.State == "" {
		t.State, t.Reason, t.Updated = c.State, c.Reason, max(t.Updated, c.Updated)
	}
	return t, c, nil
}

// The receipts about an item: the first one stands under its carrier, the
// application's word under the item's own transfer.
const (
	receiptFirst = 0
	receiptWord  = 1
)

func receiptKey(id record.TransferID, n int64) blobstore.Key {
	return prefixReceipt + blobstore.Key(id[:]) + "/" + bigEndian(n)
}

// putReceipt keeps a receipt where recordsOf finds it.
func putReceipt(tx blobstore.Tx, id record.TransferID, n int64, e record.Envelope) error {
	if err := tx.Set(receiptKey(id, n), e.Bytes()); err != nil {
		return err
	}
	return tx.Set(byRecordKey(tx, e.ID()), id[:])
}

func getReceipt(tx blobstore.ReadTx, id record.TransferID, n int64) (record.Envelope, error) {
	return getRecord(tx, receiptKey(id, n))
}

func getRecord(tx blobstore.ReadTx, key blobstore.Key) (record.Envelope, error) {
	raw, err := tx.Get(key)
	if err != nil {
		return record.Envelope{}, err
	}
	return record.ParseEnvelope(raw)
}

// lastReceipt names the receipt that was signed last about the carrier's
// manifest, which the next one has to name.
func lastReceipt(tx blobstore.ReadTx, carrier record.TransferID) (record.RecordID, error) {
	raw, err := tx.Get(lastKey(carrier))
	if err == nil {
		return record.RecordID(raw), nil
	}
	if record.KindOf(err) != record.NotFound {
		return record.RecordID{}, err
	}
	first, err := getReceipt(tx, carrier, receiptFirst)
	return first.ID(), err
}

// recordsOf reads the manifest (or notarisation), and then the receipts about
// the transfer's item.
func (x *Exchange) recordsOf(tx blobstore.ReadTx, t Transfer) ([]record.Envelope, error) {
	c, _, err := x.carrier(tx, t)
	if err != nil {
		return nil, err
	}
	e, err := getRecord(tx, recordKey(c.ID))
	if err != nil {
		return nil, err
	}
	records := []record.Envelope{e}
	for _, key := range []blobstore.Key{receiptKey(c.ID, receiptFirst), receiptKey(t.ID, receiptWord)} {
		e, err := getRecord(tx, key)
		if record.KindOf(err) == record.NotFound {
			break
		}
		if err != nil {
			return nil, err
		}
		records = append(records, e)
	}
	return records, nil
}

// recordOf finds a record of the transfer by its id.
func (x *Exchange) recordOf(tx blobstore.ReadTx, t Transfer, id record.RecordID) (record.Envelope, error) {
	records, err := x.recordsOf(tx, t)
	if err != nil {
		return record.Envelope{}, err
	}
	for _, e := range records {
		if e.ID() == id {
			return e, nil
		}
	}
	return record.Envelope{}, record.Errorf(record.NotFound, "no such record")
}
