package badger

import (
	"context"
	"testing"
	"time"

	"dxd/blobstore"
)

// TestTheMemoryOfTablesIsGivenUp fails, too, if the pool is no longer where
// buildersOf looks for it.
func TestTheMemoryOfTablesIsGivenUp(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	defer closeStore(t, s)
	all := s.builders
	if all.pool == nil {
		t.Fatal("Badger's pool was not found")
	}
	// The writer looks at builders within an update only.
	s.builders = builders{}
	writeUntil(t, s, 500<<10, "no table of a memtable was built", func() bool { return all.largest() > memTableSize })
	s.builders = all
	writeUntil(t, s, 10, "a large piece stays", func() bool { return all.largest() <= mostPiece })
}

func writeUntil(t *testing.T, s *Store, size int, otherwise string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !done(); {
		if time.Now().After(end) {
			t.Fatal(otherwise)
		}
		err := s.Update(context.Background(), func(tx blobstore.Tx) error { return tx.Set("row", make([]byte, size)) })
		if err != nil {
			t.Fatal(err)
		}
	}
}

// largest is how many bytes the largest piece in the pool has.
func (b builders) largest() (most uint64) {
	for {
		piece := b.pool.Get(0, "")
		if piece.Allocated() < leastPiece { // the pool is empty
			return most
		}
		most = max(most, piece.Allocated())
		defer b.pool.Return(piece)
	}
}
