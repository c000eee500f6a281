package exchange

import (
	"dxd/blobstore"
	"dxd/record"
)

// A carrier is a transfer with a payload: it has the number, the manifest and
// the first receipt, which is about all of its items. A document carries
// itself.

// carrier finds the transfer that has the payload of this one, and the index
// of its item in the manifest.
func (x *Exchange) carrier(_ blobstore.ReadTx, t Transfer) (c Transfer, index int64, err error) {
	return t, 0, nil
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
