package badger

import (
	"context"

	"github.com/dgraph-io/badger/v4"

	"dxd/blobstore"
	"dxd/record"
)

// Resealing says what is to be done with the values that the journal holds
// when the sealer has another key.
type Resealing struct {
	// Due tells whether a value, as it is stored, is to be written anew.
	Due func(key blobstore.Key, sealed []byte) bool
	// Change gives what is to be written in its place; it may be run again.
	Change func(key blobstore.Key, value []byte) ([]byte, error)
	// Tell hears how many of all values have been looked at.
	Tell func(done, all int64)
}

// Bounds of the update in which some values are written anew: so much holds
// nobody up for long.
const (
	resealedKeys  = 500
	resealedBytes = 256 << 10
)

// Reseal writes anew every value that is due, while others use the journal.
// The sealer must seal under its new key already, and open what is under the
// older one. When Reseal returns nil, nothing that the journal still holds is
// under the older key, except for lost values: those do not open at all. It may
// be broken off at any point, and run again.
func (s *Store) Reseal(ctx context.Context, r Resealing) (lost int64, err error) {
	// Updates that have sealed under the older key are durable behind this
	// one, and what comes later is under the new key.
	if err := s.Update(ctx, func(blobstore.Tx) error { return nil }); err != nil {
		return 0, err
	}
	all, err := s.countKeys(ctx)
	if err != nil {
		return 0, err
	}
	if err := s.resealCheck(ctx); err != nil {
		return 0, err
	}
	for from, done := blobstore.Key(""), int64(0); ; {
		due, seen, next, err := s.dueFrom(from, r.Due)
		if err != nil {
			return lost, err
		}
		failed, err := s.rewrite(ctx, due, r.Change)
		if lost += failed; err != nil {
			return lost, err
		}
		done += seen
		r.Tell(done, max(all, done))
		if next == "" {
			return lost, nil
		}
		from = next
	}
}

// snapshot runs fn on the stored values as of now.
func (s *Store) snapshot(fn func(snap *badger.Txn) error) error {
	at, ok := s.readers.enter()
	if !ok {
		return errClosed()
	}
	defer s.readers.leave(at)
	snap := s.db.NewTransactionAt(at, false)
	defer snap.Discard()
	return fn(snap)
}

func (s *Store) countKeys(ctx context.Context) (n int64, err error) {
	err = s.snapshot(func(snap *badger.Txn) error {
		c := newCursor(snap, "", bound{inclusive: true}, false)
		defer c.Close()
		for ; c.Valid(); c.advance() {
			if n++; n%10000 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
		}
		return nil
	})
	return n, err
}

// resealCheck seals the journal's own check of the keyring anew.
func (s *Store) resealCheck(ctx context.Context) error {
	return s.Update(ctx, func(t blobstore.Tx) error {
		t.(*tx).own.put(sealKey, write{value: []byte(checkText)})
		return nil
	})
}

// dueFrom finds some values that are due, from a key on. next is where to go
// on, "" at the end; seen is how many values lie before it.
func (s *Store) dueFrom(from blobstore.Key, isDue func(blobstore.Key, []byte) bool) (due []blobstore.Key, seen int64, next blobstore.Key, err error) {
	err = s.snapshot(func(snap *badger.Txn) error {
		c := newCursor(snap, "", bound{key: from, inclusive: true}, false)
		defer c.Close()
		for size := int64(0); ; c.advance() {
			key, ok := c.key()
			if !ok {
				return nil
			}
			if len(due) == resealedKeys || size > resealedBytes || seen == 20*resealedKeys {
				next = key
				return nil
			}
			seen++
			err := c.Item().Value(func(sealed []byte) error {
				if isDue(key, sealed) {
					due = append(due, key)
					size += int64(len(sealed))
				}
				return nil
			})
			if err != nil {
				return record.Errorf(record.Internal, "couldn't read the journal: %w", err)
			}
		}
	})
	return due, seen, next, err
}

// rewrite writes the values under these keys anew, as they are by then.
func (s *Store) rewrite(ctx context.Context, due []blobstore.Key, change func(blobstore.Key, []byte) ([]byte, error)) (lost int64, err error) {
	if len(due) == 0 {
		return 0, ctx.Err()
	}
	err = s.Update(ctx, func(tx blobstore.Tx) error {
		lost = 0
		for _, key := range due {
			value, err := tx.Get(key)
			if err == nil {
				value, err = change(key, value)
			}
			switch record.KindOf(err) {
			case record.NotFound:
				continue // deleted meanwhile
			case record.Damaged:
				lost++ // it was before, too
				continue
			}
			if err != nil {
				return err
			}
			if err := tx.Set(key, value); err != nil {
				return err
			}
		}
		return nil
	})
	return lost, err
}
