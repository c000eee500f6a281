package queue_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dxd/blobstore"
	"dxd/blobstore/badger"
	"dxd/crypto"
	"dxd/hashanchor"
	"dxd/hashanchor/queue"
	"dxd/record"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is a queue over a real journal, on a chain of the test.
type world struct {
	t     testing.TB
	dir   string // of the journal; "": it is a memory
	keys  *crypto.Keyring
	chain *fakeChain
	cfg   queue.Config

	store  blobstore.Journal
	queue  *queue.Queue
	end    context.CancelFunc
	owned  sync.WaitGroup
	runErr error
}

// in runs a test in virtual time, with a journal that is closed in the end.
func in(t *testing.T, test func(w *world)) {
	keys, err := crypto.Generate()
	must(t, err)
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, dir: dir, keys: keys, chain: newChain(t)}
		w.open()
		defer func() { w.close() }() // which may be another by then
		test(w)
	})
}

// inMemory is in with a journal that is quick to open.
func inMemory(t *testing.T, test func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, chain: newChain(t), store: &memory{rows: map[blobstore.Key][]byte{}}}
		w.open()
		test(w)
	})
}

func (w *world) open() {
	w.chain.journaled = w.journaled
	if w.dir == "" {
		return
	}
	store, err := badger.Open(w.dir, w.keys.Sealer(), badger.Options{})
	must(w.t, err)
	w.store = store
}

func (w *world) close() {
	if store, ok := w.store.(*badger.Store); ok {
		must(w.t, store.Close())
	}
}

// journaled looks for a transaction's hash in the queue's rows.
func (w *world) journaled(hash record.Hash) (found bool) {
	must(w.t, w.store.View(context.Background(), func(tx blobstore.ReadTx) error {
		for e, err := range tx.Scan("q/b/", "", false) {
			if err != nil {
				return err
			}
			found = found || bytes.Contains(e.Value, []byte(hash.String()))
		}
		return nil
	}))
	return found
}

// start runs a queue over journal, or over the store if that is nil.
func (w *world) start(journal blobstore.Journal) {
	cfg := w.cfg
	if cfg.Journal = journal; journal == nil {
		cfg.Journal = w.store
	}
	if cfg.Chain == nil {
		cfg.Chain = w.chain
	}
	cfg.OnProof = func(tx blobstore.Tx, p hashanchor.Proof, own bool) error {
		return tx.Set(blobstore.Key("test/"+p.Record.String()), []byte("proven"))
	}
	cfg.OnAlarm = func(tx blobstore.Tx, text string) error {
		n := 0
		for range tx.Scan("test/alarm/", "", false) {
			n++
		}
		return tx.Set(blobstore.Key(fmt.Sprintf("test/alarm/%04d", n)), []byte(text))
	}
	w.queue = queue.Open(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	w.end = cancel
	w.owned.Go(func() { w.runErr = w.queue.Run(ctx) })
}

func (w *world) stop() {
	w.end()
	w.owned.Wait()
	must(w.t, w.runErr)
}

// restart is what a crash and a new start do to the queue.
func (w *world) restart() {
	w.stop()
	w.close()
	w.open()
	w.start(nil)
}

func (w *world) add(from, n int) {
	must(w.t, w.store.Update(context.Background(), func(tx blobstore.Tx) error {
		for i := from; i < from+n; i++ {
			if err := queue.Add(tx, first(rec(i)), second(rec(i))); err != nil {
				return err
			}
		}
		return nil
	}))
}

func first(id record.RecordID, _ record.Hash) record.RecordID { return id }
func second(_ record.RecordID, leaf record.Hash) record.Hash  { return leaf }

func (w *world) state(i int) (s queue.State) {
	must(w.t, w.store.View(context.Background(), func(tx blobstore.ReadTx) (err error) {
		s, err = queue.StateOf(tx, first(rec(i)))
		return err
	}))
	return s
}

const patience = 3 * time.Hour

// await waits until a record has the state. Virtual time makes it short.
func (w *world) await(i int, want queue.State) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	changed := w.store.Watch(ctx, queue.KeyPrefix)
	for w.state(i) != want {
		select {
		case <-changed:
		case <-ctx.Done():
			w.t.Fatalf("record %d is %s after %v, not %s", i, w.state(i), patience, want)
		}
	}
}

// alarms lists what people were told of.
func (w *world) alarms() (all []string) {
	must(w.t, w.store.View(context.Background(), func(tx blobstore.ReadTx) error {
		for e, err := range tx.Scan("test/alarm/", "", false) {
			if err != nil {
				return err
			}
			all = append(all, string(e.Value))
		}
		return nil
	}))
	return all
}

// batches holds that each leaf is in one batch and each record has one proof,
// and lists the sizes of the batches.
func (w *world) batches(n int) (sizes []int64) {
	w.t.Helper()
	must(w.t, w.store.View(context.Background(), func(tx blobstore.ReadTx) error {
		var next, leaves int64
		for e, err := range tx.Scan("q/b/", "", false) {
			if err != nil {
				return err
			}
			var b struct {
				First, Size int64
				Blank       bool
			}
			if err := json.Unmarshal(e.Value, &b); err != nil {
				return err
			}
			if b.First < next {
				w.t.Errorf("a batch begins with leaf %d, and that before ends with %d", b.First, next-1)
			}
			next = b.First + b.Size
			if b.Blank {
				continue
			}
			leaves += b.Size
			sizes = append(sizes, b.Size)
		}
		proofs := 0
		for _, err := range tx.Scan("q/p/", "", false) {
			if err != nil {
				return err
			}
			proofs++
		}
		if leaves != int64(n) || proofs != n {
			w.t.Errorf("%d leaves in batches and %d proofs of %d records", leaves, proofs, n)
		}
		return nil
	}))
	return sizes
}

// check holds that all records are final, proven, told of, and counted.
func (w *world) check(n int) {
	w.t.Helper()
	must(w.t, w.store.View(context.Background(), func(tx blobstore.ReadTx) error {
		for i := range n {
			id, leaf := rec(i)
			p, err := queue.ProofOf(tx, id)
			if err != nil {
				return err
			}
			if err := p.Check(leaf); err != nil {
				return err
			}
			if f, err := w.chain.Lookup(context.Background(), p.Anchor); err != nil || f.Block != p.Anchor.Block || f.Time != p.Anchor.Time {
				w.t.Errorf("record %d stands in block %d, not in %d: %v", i, f.Block, p.Anchor.Block, err)
			}
			if _, err := tx.Get(blobstore.Key("test/" + id.String())); err != nil {
				w.t.Errorf("nobody was told of the proof of record %d: %v", i, err)
			}
		}
		return nil
	}))
	s, err := w.queue.Status(context.Background())
	must(w.t, err)
	if s.Final != int64(n) || s.Pending+s.Submitted+s.Included+s.Unanchored != 0 {
		w.t.Errorf("the status counts %+v", s)
	}
}
