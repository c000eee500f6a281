package queue_test

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dgraph-io/ristretto/v2/z"
	"github.com/dustin/go-humanize"

	"dxd/blobstore"
	"dxd/blobstore/badger"
	"dxd/crypto"
	"dxd/hashanchor/queue"
)

// backlogged is how a backlog was anchored.
type backlogged struct {
	transactions int
	heap         []uint64 // in use at each commit point, once the journal has come to rest
	keys         *crypto.Keyring
	dir          string
}

// pieces is how many bytes the journal holds to build tables in, which it keeps
// for the next ones (docs/decisions/0146). All pieces of the process count.
func pieces(t *testing.T) (sum uint64) {
	for _, tag := range strings.Split(z.Allocators(), " . ") {
		if _, size, ok := strings.Cut(tag, "Size: "); ok {
			n, err := humanize.ParseBytes(size)
			must(t, err)
			sum += n
		}
	}
	return sum
}

// backlog anchors n records that wait when the queue starts.
func backlog(t *testing.T, n int) (b backlogged) {
	in(t, func(w *world) {
		w.cfg.Passed = func(string) {
			synctest.Wait() // for the journal, which in virtual time has none to write its tables
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			b.heap = append(b.heap, m.HeapAlloc-pieces(t))
		}
		for i := 0; i < n; i += 1000 {
			w.add(i, min(1000, n-i))
		}
		stop := w.chain.run()
		w.start(nil)
		w.await(n-1, queue.Final)
		w.await(0, queue.Final)
		stop()
		w.check(n)
		b.transactions, b.keys, b.dir = len(w.chain.prepare), w.keys, w.dir
		if batches := len(w.batches(n)); batches != b.transactions {
			t.Errorf("%d batches and %d transactions", batches, b.transactions)
		}
		w.stop()
	})
	return b
}

func TestABacklogIsAnchoredInAsFewTransactionsAsCanBeAndInFlatMemory(t *testing.T) {
	const small, large, most = 10_000, 100_000, 4096
	few, many := backlog(t, small), backlog(t, large)
	half := len(many.heap) / 2
	// The least, since at any moment the journal may be making tables.
	begin, end := slices.Min(many.heap[:half]), slices.Min(many.heap[half:])
	t.Logf("%d records in %d transactions, and %d in %d", small, few.transactions, large, many.transactions)
	t.Logf("heap, the journal's buffers included: at least %.0f MB with %d records; with %d, %.0f MB in the first half and %.0f MB in the second: ratio %.2f",
		float64(slices.Min(few.heap))/1e6, small, large, float64(begin)/1e6, float64(end)/1e6, float64(end)/float64(begin))
	if few.transactions != (small+most-1)/most || many.transactions != (large+most-1)/most {
		t.Error("that is more than it takes")
	}
	if end > begin/2*3 {
		t.Error("the heap grows with what was anchored")
	}
	askForPaths(t, many, large)
}

// askForPaths asks for the proof of one record and another, in real time.
func askForPaths(t *testing.T, b backlogged, n int) {
	store, err := badger.Open(b.dir, b.keys.Sealer(), badger.Options{})
	must(t, err)
	defer func() { must(t, store.Close()) }()
	const asked = 100
	var took []time.Duration
	for i := range asked {
		id, leaf := rec(i * n / asked)
		begun := time.Now()
		must(t, store.View(context.Background(), func(tx blobstore.ReadTx) error {
			p, err := queue.ProofOf(tx, id)
			if err == nil {
				err = p.Check(leaf)
			}
			return err
		}))
		took = append(took, time.Since(begun))
	}
	slices.Sort(took)
	t.Logf("a path of one of %d records comes back in %v, the slowest of %d in %v", n, took[asked/2], asked, took[asked-1])
	if took[asked/2] > 5*time.Millisecond {
		t.Error("that is too slow")
	}
}
