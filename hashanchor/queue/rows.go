package queue

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"dxd/blobstore"
	"dxd/hashanchor"
	"dxd/record"
)

// KeyPrefix begins all keys of this package, for Journal.Watch.
const KeyPrefix blobstore.Key = "q/"

// The keys. Leaves are numbered as they come, and a batch is a run of them: so
// no row of a leaf changes while its batch moves on.
const (
	keyTally     = KeyPrefix + "t"  // the counts
	keyFinal     = KeyPrefix + "f"  // a final block to compare the chain with: the last one when a proof was journaled
	prefixLeaf   = KeyPrefix + "l/" // number → record id ‖ leaf
	prefixNumber = KeyPrefix + "r/" // record → number of its leaf
	prefixBatch  = KeyPrefix + "b/" // number of its first leaf → batch
	prefixOpen   = KeyPrefix + "o/" // likewise, of each batch that is not final
	prefixProof  = KeyPrefix + "p/" // record → proof that the chain confirmed
	prefixPushed = KeyPrefix + "u/" // record → proof that a partner pushed
)

func numbered(prefix blobstore.Key, n int64) blobstore.Key {
	return prefix + blobstore.Key(fmt.Sprintf("%016x", n))
}

// ofRecord hides the record's id: a partner, too, knows it.
func ofRecord(tx blobstore.ReadTx, prefix blobstore.Key, id record.RecordID) blobstore.Key {
	return prefix + tx.Index("queue", id[:])
}

// tally holds the counts that would else need a scan.
type tally struct {
	Leaves int64 `json:"leaves"` // ever added; also the next leaf's number
	Closed int64 `json:"closed"` // of them in batches
	Final  int64 `json:"final"`  // of them with a proof
	Chain  bool  `json:"chain"`  // a chain is configured
}

// batch is a run of leaves under one root.
type batch struct {
	First    int64                    `json:"first"`             // number of its first leaf
	Size     int64                    `json:"size"`              // without padding
	Seed     record.Nonce             `json:"seed"`              // of the padding and the order
	Shuffled bool                     `json:"shuffled,omitzero"` // its leaves are shuffled; those of older versions are not
	Blank    bool                     `json:"blank,omitzero"`    // it is of padding alone; the one leaf of its run is no record
	Anchor   hashanchor.Anchor        `json:"anchor"`
	State    State                    `json:"state"`         // Submitted, Included or Final
	Turn     State                    `json:"turn,omitzero"` // what it is turning to
	Told     int64                    `json:"told"`          // leaves that have turned
	Since    int64                    `json:"since"`         // ms since 1970 when the last transaction was made
	Sent     []hashanchor.Transaction `json:"sent"`          // every one that may be at a node, the last one last
}

// last is the transaction that is to be included, nil if none is.
func (b *batch) last() *hashanchor.Transaction {
	if len(b.Sent) == 0 {
		return nil
	}
	return &b.Sent[len(b.Sent)-1]
}

// get reads a value; there is false if there is none.
func get[T any](tx blobstore.ReadTx, key blobstore.Key, v *T) (there bool, err error) {
	data, err := tx.Get(key)
	if record.KindOf(err) == record.NotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, decode(key, data, v)
}

// decode reads a row. One that this version did not write is fatal.
func decode[T any](key blobstore.Key, data []byte, v *T) error {
	if err := record.Load(data, v); err != nil {
		return record.Errorf(record.Damaged, "couldn't read the anchoring queue's row %q: %w", key, err)
	}
	return nil
}

func set(tx blobstore.Tx, key blobstore.Key, v any) error {
	data, err := record.Marshal(v)
	if err != nil {
		return record.Errorf(record.Internal, "couldn't encode the row %q: %w", key, err)
	}
	return tx.Set(key, data)
}

func getTally(tx blobstore.ReadTx) (t tally, err error) {
	_, err = get(tx, keyTally, &t)
	return t, err
}

func getBatch(tx blobstore.ReadTx, first int64) (b batch, err error) {
	there, err := get(tx, numbered(prefixBatch, first), &b)
	if err == nil && !there {
		err = record.Errorf(record.Damaged, "the anchoring queue lacks batch %d", first)
	}
	return b, err
}

func (b *batch) put(tx blobstore.Tx) error { return set(tx, numbered(prefixBatch, b.First), b) }

// records counts the leaves that are of records.
func (b *batch) records() int64 {
	if b.Blank {
		return 0
	}
	return b.Size
}

// drop forgets a blank batch, of which nothing is to be proven.
func (b *batch) drop(tx blobstore.Tx) error {
	if err := tx.Delete(numbered(prefixLeaf, b.First)); err != nil {
		return err
	}
	return tx.Delete(numbered(prefixBatch, b.First))
}

// openBatches are those that are not final, the oldest first.
func openBatches(tx blobstore.ReadTx) (open []batch, err error) {
	for e, err := range tx.Scan(prefixOpen, "", false) {
		if err != nil {
			return nil, err
		}
		first := int64(binary.BigEndian.Uint64(e.Value))
		b, err := getBatch(tx, first)
		if err != nil {
			return nil, err
		}
		open = append(open, b)
	}
	return open, nil
}

// batchOf finds the batch that a leaf is in.
func batchOf(tx blobstore.ReadTx, number int64) (b batch, err error) {
	for e, err := range tx.Scan(prefixBatch, numbered(prefixBatch, number), true) {
		if err == nil {
			err = decode(e.Key, e.Value, &b)
		}
		return b, err
	}
	return b, record.Errorf(record.Damaged, "the anchoring queue lacks the batch of leaf %d", number)
}

// leaf is one queued record.
type leaf struct {
	id   record.RecordID
	hash record.Hash
}

func (l leaf) bytes() []byte { return append(bytes.Clone(l.id[:]), l.hash[:]...) }

func parseLeaf(data []byte) (l leaf, err error) {
	if len(data) != len(l.id)+len(l.hash) {
		return l, record.Errorf(record.Damaged, "a leaf of %d bytes", len(data))
	}
	copy(l.id[:], data)
	copy(l.hash[:], data[len(l.id):])
	return l, nil
}

// leaves reads a run of queued leaves.
func leaves(tx blobstore.ReadTx, first, n int64) ([]leaf, error) {
	run := make([]leaf, 0, n)
	for e, err := range tx.Scan(prefixLeaf, numbered(prefixLeaf, first), false) {
		if err != nil {
			return nil, err
		}
		if int64(len(run)) == n {
			break
		}
		l, err := parseLeaf(e.Value)
		if err != nil {
			return nil, err
		}
		if e.Key != numbered(prefixLeaf, first+int64(len(run))) {
			break
		}
		run = append(run, l)
	}
	if int64(len(run)) != n {
		return nil, record.Errorf(record.Damaged, "the anchoring queue lacks leaf %d", first+int64(len(run)))
	}
	return run, nil
}

// tree builds the batch's tree over its leaves and their padding, and tells
// where each stands in it.
func (b *batch) tree(run []leaf) (t *hashanchor.Batch, places []int) {
	hashes := make([]record.Hash, b.records())
	for i := range hashes {
		hashes[i] = run[i].hash
	}
	if b.Shuffled {
		hashes, places = hashanchor.Shuffle(hashes, b.Seed)
		return hashanchor.NewBatch(hashes), places
	}
	for i := range run {
		places = append(places, i)
	}
	return hashanchor.NewBatch(hashanchor.Pad(hashes, b.Seed)), places
}
