package badger

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"dxd/blobstore"
	"dxd/record"
)

// turning is a sealer that gets another key while the journal is open, as the
// keyring's does.
type turning struct {
	sealer            // finds by index, which does not turn
	old, fresh sealer // the one of before and the one to come
	turned     *atomic.Bool
}

func newTurning(t testing.TB) turning {
	return turning{newSealer(t, 1), newSealer(t, 1), newSealer(t, 2), &atomic.Bool{}}
}

func (s turning) Seal(plaintext, ad []byte) []byte {
	if s.turned.Load() {
		return s.fresh.Seal(plaintext, ad)
	}
	return s.old.Seal(plaintext, ad)
}

func (s turning) Open(sealed, ad []byte) ([]byte, error) {
	if plain, err := s.fresh.Open(sealed, ad); err == nil {
		return plain, nil
	}
	return s.old.Open(sealed, ad)
}

// resealing writes anew what is not under the new key.
func (s turning) resealing() Resealing {
	return Resealing{
		Due: func(key blobstore.Key, sealed []byte) bool {
			_, err := s.fresh.Open(sealed, []byte(key))
			return err != nil
		},
		Change: func(_ blobstore.Key, value []byte) ([]byte, error) { return value, nil },
		Tell:   func(int64, int64) {},
	}
}

func openTurning(t testing.TB, dir string, s turning) *Store {
	t.Helper()
	store, err := Open(dir, s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestAResealedJournalOpensUnderTheNewKeyAlone(t *testing.T) {
	dir, keys := t.TempDir(), newTurning(t)
	s := openTurning(t, dir, keys)
	setRows(t, s, 3000)
	large := bytes.Repeat([]byte("x"), maxValue)
	set(t, s, "large", large)
	set(t, s, "larger", large)
	set(t, s, "deleted", []byte("gone"))
	if err := s.Update(t.Context(), func(tx blobstore.Tx) error { return tx.Delete("deleted") }); err != nil {
		t.Fatal(err)
	}
	keys.turned.Store(true)
	// While it is resealed, others count, write and delete.
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var counted atomic.Uint64
	for range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				err := s.Update(context.Background(), func(tx blobstore.Tx) error {
					n, err := count(tx)
					if err != nil {
						return err
					}
					if err := tx.Delete(blobstore.Key(fmt.Sprintf("row/%016d", n%1000))); err != nil {
						return err
					}
					return tx.Set(blobstore.Key(fmt.Sprintf("new/%016d", n)), []byte("new"))
				})
				if err != nil {
					t.Error(err)
					return
				}
				counted.Add(1)
			}
		})
	}
	r := keys.resealing()
	var done, all int64
	r.Tell = func(d, a int64) { done, all = d, a }
	lost, err := s.Reseal(t.Context(), r)
	close(stop)
	wg.Wait()
	if err != nil || lost != 0 || done < 2000 || all < done {
		t.Fatalf("%d lost, %d of %d done: %v", lost, done, all, err)
	}
	closeStore(t, s)
	s, err = Open(dir, keys.fresh, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	rows := map[string]uint64{}
	err = s.View(t.Context(), func(tx blobstore.ReadTx) error {
		for e, err := range tx.Scan("", "", false) { // fails at a value that does not open
			if err != nil {
				return err
			}
			rows[string(e.Key[:min(4, len(e.Key))])]++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	n := counted.Load()
	if rows["new/"] != n || rows["larg"] != 2 || rows["row/"] != 3000-min(n, 1000) {
		t.Errorf("after %d updates there are %v", n, rows)
	}
	if _, err := get(s, "deleted"); record.KindOf(err) != record.NotFound {
		t.Errorf("what was deleted is back: %v", err)
	}
}

func TestAResealingThatBreaksOffGoesOn(t *testing.T) {
	dir, keys := t.TempDir(), newTurning(t)
	s := openTurning(t, dir, keys)
	setRows(t, s, 3000)
	keys.turned.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	r := keys.resealing()
	r.Tell = func(int64, int64) { cancel() }
	if _, err := s.Reseal(ctx, r); err == nil {
		t.Fatal("it did not break off")
	}
	closeStore(t, s)
	s = openTurning(t, dir, keys)
	var changed int
	r = keys.resealing()
	r.Change = func(_ blobstore.Key, value []byte) ([]byte, error) {
		changed++
		return value, nil
	}
	if lost, err := s.Reseal(t.Context(), r); err != nil || lost != 0 {
		t.Fatal(lost, err)
	}
	if changed == 0 || changed >= 3000 {
		t.Errorf("the second run wrote %d values anew", changed)
	}
	closeStore(t, s)
	s, err := Open(dir, keys.fresh, Options{})
	if err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
}

func TestAValueThatDoesNotOpenHoldsUpNoResealing(t *testing.T) {
	dir, keys := t.TempDir(), newTurning(t)
	s := openTurning(t, dir, keys)
	setRows(t, s, 10)
	l := newLayer()
	l.put("row/damaged", write{sealed: []byte("no key opens this, and it is long enough for a nonce")})
	if err := s.flush(l); err != nil {
		t.Fatal(err)
	}
	keys.turned.Store(true)
	lost, err := s.Reseal(t.Context(), keys.resealing())
	if err != nil || lost != 1 {
		t.Errorf("%d lost: %v", lost, err)
	}
	closeStore(t, s)
}
