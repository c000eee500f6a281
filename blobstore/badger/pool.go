package badger

import (
	"reflect"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/ristretto/v2/z"
)

// builders is the memory in which Badger builds its tables. It keeps up to
// eight pieces for the next ones, which take any of them: each has built a
// memtable's table after a while, and is some 31 MiB large then, for as long as
// there is work. Nothing in Badger's options bounds that, and the pool isn't
// exported (docs/decisions/0146).
type builders struct{ pool *z.AllocatorPool }

// Pieces between these sizes, in bytes, are what compactions ask for. Smaller
// ones were made for us by an empty pool.
const (
	leastPiece = 1 << 20
	mostPiece  = 4 << 20
)

// buildersOf finds an open database's. There are none if this is another
// Badger than the one which go.mod names.
func buildersOf(db *badger.DB) builders {
	field := reflect.ValueOf(db).Elem().FieldByName("allocPool")
	if !field.IsValid() || field.Type() != reflect.TypeFor[*z.AllocatorPool]() {
		return builders{}
	}
	return builders{(*z.AllocatorPool)(field.UnsafePointer())}
}

// trim looks at one piece that lies there, and gives it up if it is large.
// The next call looks at the next one.
func (b builders) trim() {
	if b.pool == nil {
		return
	}
	piece := b.pool.Get(0, "")
	n := piece.Allocated()
	if n < leastPiece {
		piece.Release()
		return
	}
	if n > mostPiece {
		piece.Release()
		piece = z.NewAllocator(leastPiece, "") // for an empty pool Badger makes up to 256 MiB at once
	}
	b.pool.Return(piece)
}
