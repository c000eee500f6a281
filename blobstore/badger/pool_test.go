package badger

import (
	"context"
	"encoding/binary"
	"log/slog"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"github.com/dgraph-io/ristretto/v2/z"

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
	for end := time.Now().Add(time.Minute); !done(); {
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

// TestATableIsBuiltInOnePiece builds a table as a compaction does: were a value
// larger than a block, its copies would make the piece grow.
func TestATableIsBuiltInOnePiece(t *testing.T) {
	opt := tuned(t.TempDir(), &logger{slog.New(slog.DiscardHandler)})
	for _, size := range []int{200, 3 << 10, 50 << 10, 120 << 10} { // the last: messages of many callers
		all := builders{z.NewAllocatorPool(1)}
		b := table.NewTableBuilder(table.Options{
			TableSize: uint64(opt.BaseTableSize), BlockSize: opt.BlockSize, BloomFalsePositive: opt.BloomFalsePositive, AllocPool: all.pool,
		})
		for i := uint32(0); !b.ReachedCapacity(); i++ {
			key := binary.BigEndian.AppendUint32([]byte("row/"), i)
			b.Add(y.KeyWithTs(key, 1), y.ValueStruct{Value: make([]byte, size)}, 0)
		}
		b.Close()
		if n := all.largest(); n > 2*uint64(opt.BaseTableSize) {
			t.Errorf("a table of values of %d bytes was built in %d KiB", size, n>>10)
		}
		all.pool.Release()
	}
}
