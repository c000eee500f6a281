package badger

import (
	"slices"
	"strings"

	"dxd/blobstore"
	"dxd/record"
)

// write is what an update does to one key.
type write struct {
	value   []byte
	sealed  []byte // nil until the update has succeeded
	deleted bool
}

// perEntry is more than Badger adds to the size of key and value (16), and
// entrySlots what it keeps free of a transaction's entries for its own.
const (
	perEntry   = 16
	entrySlots = 2
)

// layer holds writes that are not in the database yet, in the order of keys.
type layer struct {
	keys   []blobstore.Key
	writes map[blobstore.Key]write
	size   int64 // of keys and sealed values
	sets   bool  // not only deletions
}

func newLayer() *layer { return &layer{writes: map[blobstore.Key]write{}} }

func (l *layer) put(key blobstore.Key, w write) {
	if _, ok := l.writes[key]; !ok {
		i, _ := slices.BinarySearch(l.keys, key)
		l.keys = slices.Insert(l.keys, i, key)
	}
	l.writes[key] = w
	l.sets = l.sets || !w.deleted
}

// sealAll seals each value, bound to its key, and takes the size.
func (l *layer) sealAll(seal blobstore.Sealer) {
	l.size = 0
	for _, key := range l.keys {
		w := l.writes[key]
		if !w.deleted {
			w.sealed = seal.Seal(w.value, []byte(key))
			l.writes[key] = w
		}
		l.size += int64(len(key)+len(w.sealed)) + perEntry
	}
}

// take adds the writes of a later layer. The size may count a key twice.
func (l *layer) take(later *layer) {
	for _, key := range later.keys {
		l.put(key, later.writes[key])
	}
	l.size += later.size
}

// touches tells whether a key with the prefix was written.
func (l *layer) touches(prefix blobstore.Key) bool {
	i, _ := slices.BinarySearch(l.keys, prefix)
	return i < len(l.keys) && strings.HasPrefix(string(l.keys[i]), string(prefix))
}

// bound is where a scan goes on: at the key or behind it, or beyond all keys.
type bound struct {
	key       blobstore.Key
	inclusive bool
	beyond    bool
}

// next is the first key from the bound on, or in reverse the last up to it.
func (l *layer) next(b bound, reverse bool) (blobstore.Key, bool) {
	i, found := slices.BinarySearch(l.keys, b.key)
	if b.beyond {
		i, found = len(l.keys), false
	}
	if found && b.inclusive == reverse {
		i++ // forward: pass the key; in reverse: have it
	}
	if reverse {
		i--
	}
	if i < 0 || i >= len(l.keys) {
		return "", false
	}
	return l.keys[i], true
}

// Limits of keys and values. A sealed value has to stay below valueThreshold.
const (
	maxKey   = 1024
	maxValue = valueThreshold - 1024
)

// reserved begins the keys of this package, and of Badger.
const reserved = "!"

func checkKey(key blobstore.Key) error {
	if key == "" || len(key) > maxKey || strings.HasPrefix(string(key), reserved) {
		return record.Errorf(record.Invalid, "not a key for the journal: %q", record.Printable(string(key), 80))
	}
	return nil
}

func checkValue(value []byte) error {
	if len(value) > maxValue {
		return record.Errorf(record.Invalid, "a value of %d bytes, the journal takes %d", len(value), maxValue)
	}
	return nil
}
