package event_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"dxd/blobstore"
	"dxd/blobstore/badger"
	"dxd/crypto"
	"dxd/event"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// house is a real journal that can be closed and opened again.
type house struct {
	t    testing.TB
	dir  string
	keys *crypto.Keyring
	*badger.Store
}

func newHouse(t testing.TB) *house {
	t.Helper()
	keys, err := crypto.Generate()
	check(t, err)
	h := &house{t: t, dir: t.TempDir(), keys: keys}
	h.open()
	t.Cleanup(func() { check(t, h.Close()) })
	return h
}

func (h *house) open() {
	h.t.Helper()
	var err error
	h.Store, err = badger.Open(h.dir, h.keys.Sealer(), badger.Options{})
	check(h.t, err)
}

func (h *house) restart() {
	h.t.Helper()
	check(h.t, h.Close())
	h.open()
}

func (h *house) append(n int) {
	h.t.Helper()
	for range n {
		check(h.t, h.Update(h.t.Context(), appendOne))
	}
}

func appendOne(tx blobstore.Tx) error {
	return event.Append(tx, event.Event{Type: event.DocumentReceived, Time: time.Now().UnixMilli()})
}

// numbers gives the numbers of all events behind one.
func (h *house) numbers(after int64) (all []int64) {
	h.t.Helper()
	check(h.t, h.View(h.t.Context(), func(tx blobstore.ReadTx) error {
		page, err := event.After(tx, after, 1000)
		all = nil
		for _, e := range page {
			all = append(all, e.Seq)
		}
		return err
	}))
	return all
}

func upTo(n int64) (all []int64) {
	for i := range n {
		all = append(all, i+1)
	}
	return all
}

func TestEventsAreNumberedWithoutGaps(t *testing.T) {
	h := newHouse(t)
	var group sync.WaitGroup
	failed := errors.New("the update fails")
	for i := range 20 {
		group.Go(func() {
			err := h.Update(context.Background(), func(tx blobstore.Tx) error {
				if err := errors.Join(appendOne(tx), appendOne(tx)); err != nil || i%4 != 0 {
					return err
				}
				return failed
			})
			if err != nil && err != failed {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if got := h.numbers(0); !slices.Equal(got, upTo(30)) {
		t.Errorf("the numbers are %v", got)
	}
	h.restart()
	h.append(1)
	if got := h.numbers(29); !slices.Equal(got, []int64{30, 31}) {
		t.Errorf("after a restart, the numbers behind 29 are %v", got)
	}
}
