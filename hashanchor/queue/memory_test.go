package queue_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"dxd/blobstore"
	"dxd/record"
)

// memory is a journal that is quick to open, for tables of many rows. What was
// updated outlives its users, as on a disk.
type memory struct {
	mu       sync.Mutex // guards what follows
	rows     map[blobstore.Key][]byte
	watchers []watcher
}

type watcher struct {
	ctx    context.Context
	prefix blobstore.Key
	tokens chan struct{}
}

func (m *memory) Update(ctx context.Context, fn func(tx blobstore.Tx) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	tx := &memoryTx{rows: maps.Clone(m.rows)}
	if err := fn(tx); err != nil {
		return err
	}
	m.rows = tx.rows
	for _, w := range m.watchers {
		touched := func(k blobstore.Key) bool { return strings.HasPrefix(string(k), string(w.prefix)) }
		if w.ctx.Err() == nil && slices.ContainsFunc(tx.touched, touched) {
			select {
			case w.tokens <- struct{}{}:
			default:
			}
		}
	}
	return nil
}

func (m *memory) View(ctx context.Context, fn func(tx blobstore.ReadTx) error) error {
	m.mu.Lock()
	rows := m.rows // never changed in place
	m.mu.Unlock()
	return fn(&memoryTx{rows: rows})
}

func (m *memory) Watch(ctx context.Context, prefix blobstore.Key) <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := watcher{ctx, prefix, make(chan struct{}, 1)}
	m.watchers = append(m.watchers, w)
	return w.tokens
}

type memoryTx struct {
	rows    map[blobstore.Key][]byte
	touched []blobstore.Key
}

func (tx *memoryTx) Get(key blobstore.Key) ([]byte, error) {
	value, ok := tx.rows[key]
	if !ok {
		return nil, record.Errorf(record.NotFound, "nothing under %q", key)
	}
	return value, nil
}

func (tx *memoryTx) Scan(prefix, from blobstore.Key, reverse bool) iter.Seq2[blobstore.Entry, error] {
	var keys []blobstore.Key
	for k := range tx.rows {
		before := from != "" && (!reverse && k < from || reverse && k > from)
		if strings.HasPrefix(string(k), string(prefix)) && !before {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	if reverse {
		slices.Reverse(keys)
	}
	return func(yield func(blobstore.Entry, error) bool) {
		for _, k := range keys {
			if !yield(blobstore.Entry{Key: k, Value: tx.rows[k]}, nil) {
				return
			}
		}
	}
}

func (tx *memoryTx) Index(label string, value []byte) blobstore.Key {
	return blobstore.Key(fmt.Sprintf("%x", sha256.Sum256(append([]byte(label), value...))))
}

func (tx *memoryTx) Set(key blobstore.Key, value []byte) error {
	tx.rows[key] = slices.Clone(value)
	tx.touched = append(tx.touched, key)
	return nil
}

func (tx *memoryTx) Delete(key blobstore.Key) error {
	delete(tx.rows, key)
	tx.touched = append(tx.touched, key)
	return nil
}
