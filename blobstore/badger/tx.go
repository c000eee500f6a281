package badger

import (
	"bytes"
	"encoding/hex"
	"errors"
	"iter"
	"strings"

	"github.com/dgraph-io/badger/v4"

	"dxd/blobstore"
	"dxd/record"
)

// reader is a view of the journal: a snapshot of the database under layers of
// writes that it lacks.
type reader struct {
	seal   blobstore.Sealer
	snap   *badger.Txn
	layers []*layer // the newest first
	over   bool     // its function has returned
}

var errOver = errors.New("a view of the journal was used after its function had returned")

func (r *reader) Get(key blobstore.Key) ([]byte, error) {
	if r.over {
		return nil, errOver
	}
	if err := checkKey(key); err != nil {
		return nil, err
	}
	if w, ok := r.pending(key); ok {
		if w.deleted {
			return nil, notFound(key)
		}
		return bytes.Clone(w.value), nil
	}
	item, err := r.snap.Get([]byte(key))
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, notFound(key)
	}
	if err != nil {
		return nil, record.Errorf(record.Internal, "couldn't read the journal: %w", err)
	}
	return r.open(key, item)
}

// pending is the newest write to the key that is not in the snapshot.
func (r *reader) pending(key blobstore.Key) (write, bool) {
	for _, l := range r.layers {
		if w, ok := l.writes[key]; ok {
			return w, true
		}
	}
	return write{}, false
}

// open unseals a stored value.
func (r *reader) open(key blobstore.Key, item *badger.Item) (value []byte, err error) {
	err = item.Value(func(sealed []byte) error {
		value, err = r.seal.Open(sealed, []byte(key))
		return err
	})
	if err != nil {
		return nil, record.WithHint(record.Errorf(record.Damaged, "the journal's value under %q is damaged: %w", key, err),
			"restore the state directory from a backup")
	}
	return value, nil
}

func notFound(key blobstore.Key) error {
	return record.Errorf(record.NotFound, "nothing in the journal under %q", key)
}

func (r *reader) Index(label string, value []byte) blobstore.Key {
	h := r.seal.Index(label, value)
	return blobstore.Key(hex.EncodeToString(h[:]))
}

func (r *reader) Scan(prefix, from blobstore.Key, reverse bool) iter.Seq2[blobstore.Entry, error] {
	return func(yield func(blobstore.Entry, error) bool) {
		if r.over {
			yield(blobstore.Entry{}, errOver)
			return
		}
		at := begin(prefix, from, reverse)
		stored := newCursor(r.snap, prefix, at, reverse)
		defer stored.Close()
		for {
			key, ok := r.next(stored, at, reverse)
			if !ok || !strings.HasPrefix(string(key), string(prefix)) {
				return
			}
			at = bound{key: key}
			value, err := r.valueAt(stored, key)
			if record.KindOf(err) == record.NotFound {
				continue // deleted in a layer
			}
			if !yield(blobstore.Entry{Key: key, Value: value}, err) {
				return
			}
		}
	}
}

// next is the nearest key of snapshot and layers from the bound on. Layers are
// searched anew each time, since the scan's user may write meanwhile.
func (r *reader) next(stored *cursor, at bound, reverse bool) (blobstore.Key, bool) {
	nearest, ok := stored.key()
	for _, l := range r.layers {
		key, has := l.next(at, reverse)
		if has && (!ok || key != nearest && (key < nearest) != reverse) {
			nearest, ok = key, true
		}
	}
	return nearest, ok
}

// valueAt is the value of the key that next found; it moves the cursor on if
// that stands there.
func (r *reader) valueAt(stored *cursor, key blobstore.Key) (value []byte, err error) {
	w, pending := r.pending(key)
	if at, ok := stored.key(); ok && at == key {
		if !pending {
			value, err = r.open(key, stored.Item())
		}
		stored.advance()
	}
	switch {
	case !pending:
		return value, err
	case w.deleted:
		return nil, notFound(key)
	}
	return bytes.Clone(w.value), nil
}

// begin is where a scan starts.
func begin(prefix, from blobstore.Key, reverse bool) bound {
	if !reverse {
		return bound{key: max(prefix, from), inclusive: true}
	}
	end, ok := successor(prefix)
	switch {
	case from != "" && (!ok || from < end):
		return bound{key: from, inclusive: true}
	case !ok:
		return bound{beyond: true}
	}
	return bound{key: end}
}

// successor is the least key that is greater than all with the prefix.
func successor(prefix blobstore.Key) (blobstore.Key, bool) {
	b := bytes.TrimRight([]byte(prefix), "\xff")
	if len(b) == 0 {
		return "", false
	}
	b[len(b)-1]++
	return blobstore.Key(b), true
}

// cursor is an iterator over the snapshot that passes over reserved keys.
type cursor struct{ *badger.Iterator }

func newCursor(snap *badger.Txn, prefix blobstore.Key, at bound, reverse bool) *cursor {
	// The prefix spares Badger all tables that have no such key.
	c := &cursor{snap.NewIterator(badger.IteratorOptions{Reverse: reverse, Prefix: []byte(prefix)})}
	from := []byte(at.key) // with no key: at the first, in reverse the last
	if reverse && prefix != "" && (at.beyond || at.key > prefix && !strings.HasPrefix(string(at.key), string(prefix))) {
		// Badger would take a key behind the prefix for the end: this is the
		// last that there can be with it.
		from = append([]byte(prefix), bytes.Repeat([]byte{0xff}, maxKey)...)
	}
	c.Seek(from)
	if key, ok := c.key(); ok && key == at.key && !at.inclusive && !at.beyond {
		c.Next()
	}
	c.skip()
	return c
}

func (c *cursor) key() (blobstore.Key, bool) {
	if !c.Valid() {
		return "", false
	}
	return blobstore.Key(c.Item().Key()), true
}

func (c *cursor) advance() {
	c.Next()
	c.skip()
}

func (c *cursor) skip() {
	for c.Valid() && bytes.HasPrefix(c.Item().Key(), []byte(reserved)) {
		c.Next()
	}
}

// tx is a view that can be written: its own writes are its first layer.
type tx struct {
	reader
	own *layer
}

func (t *tx) Set(key blobstore.Key, value []byte) error {
	if t.over {
		return errOver
	}
	if err := checkKey(key); err != nil {
		return err
	}
	if err := checkValue(value); err != nil {
		return err
	}
	t.own.put(key, write{value: bytes.Clone(value)})
	return nil
}

func (t *tx) Delete(key blobstore.Key) error {
	if t.over {
		return errOver
	}
	if err := checkKey(key); err != nil {
		return err
	}
	t.own.put(key, write{deleted: true})
	return nil
}
