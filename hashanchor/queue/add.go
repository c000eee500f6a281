package queue

import (
	"encoding/binary"

	"dxd/blobstore"
	"dxd/hashanchor"
	"dxd/record"
)

// Add queues a record's leaf in the update that makes the record. To add it
// twice is harmless.
func Add(tx blobstore.Tx, id record.RecordID, hash record.Hash) error {
	key := ofRecord(tx, prefixNumber, id)
	if _, err := tx.Get(key); record.KindOf(err) != record.NotFound {
		return err
	}
	t, err := getTally(tx)
	if err != nil {
		return err
	}
	if err := tx.Set(numbered(prefixLeaf, t.Leaves), leaf{id, hash}.bytes()); err != nil {
		return err
	}
	if err := tx.Set(key, binary.BigEndian.AppendUint64(nil, uint64(t.Leaves))); err != nil {
		return err
	}
	t.Leaves++
	return set(tx, keyTally, t)
}

// StateOf says how far a record's anchor has come. A partner's record is Final
// or it is Pending: how far the partner has come is not for us to know.
func StateOf(tx blobstore.ReadTx, id record.RecordID) (State, error) {
	_, err := tx.Get(ofRecord(tx, prefixProof, id))
	if err == nil {
		return Final, nil
	}
	if record.KindOf(err) != record.NotFound {
		return "", err
	}
	t, err := getTally(tx)
	if err != nil {
		return "", err
	}
	waiting := Unanchored
	if t.Chain {
		waiting = Pending
	}
	raw, err := tx.Get(ofRecord(tx, prefixNumber, id))
	if record.KindOf(err) == record.NotFound {
		return waiting, nil
	}
	if err != nil {
		return "", err
	}
	number := int64(binary.BigEndian.Uint64(raw))
	if number >= t.Closed {
		return waiting, nil
	}
	b, err := batchOf(tx, number)
	return b.State, err
}

// ProofOf is a record's proof, which the chain has confirmed; NotFound until
// then.
func ProofOf(tx blobstore.ReadTx, id record.RecordID) (p hashanchor.Proof, err error) {
	there, err := get(tx, ofRecord(tx, prefixProof, id), &p)
	if err == nil && !there {
		err = record.Errorf(record.NotFound, "no proof of record %s yet", id)
	}
	return p, err
}
