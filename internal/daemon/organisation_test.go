package daemon

import (
	"log/slog"
	"path/filepath"
	"slices"
	"testing"

	"dxd/blobstore"
	"dxd/internal/config"
	"dxd/record"
)

// leaves lists the records whose leaves are queued.
func (o *Organisation) leaves(t *testing.T) (ids []record.RecordID) {
	t.Helper()
	check(t, o.Store.View(t.Context(), func(tx blobstore.ReadTx) error {
		ids = nil
		for e, err := range tx.Scan("q/l/", "", false) {
			if err != nil {
				return err
			}
			ids = append(ids, record.RecordID(e.Value[:len(record.RecordID{})]))
		}
		return nil
	}))
	return ids
}

func TestEachCardOfOursIsQueuedToBeAnchored(t *testing.T) {
	dir, keys, err := Create(t.Context(), filepath.Join(t.TempDir(), "state"), "Acme", nil, nil)
	check(t, err)
	open := func() *Organisation {
		t.Helper()
		o, err := Open(t.Context(), dir, config.Default(), keys, slog.New(slog.DiscardHandler), Watcher{})
		check(t, err)
		return o
	}
	o := open()
	first := o.Book.Self().ID()
	if got := o.leaves(t); !slices.Equal(got, []record.RecordID{first}) {
		t.Errorf("of a new organisation %v are queued", got)
	}
	check(t, o.Book.Renew(t.Context()))
	second := o.Book.Self().ID()
	if got := o.leaves(t); !slices.Equal(got, []record.RecordID{first, second}) {
		t.Errorf("after a renewal %v are queued", got)
	}
	// As a version left it that queued no cards.
	check(t, o.Store.Update(t.Context(), func(tx blobstore.Tx) error {
		var keys []blobstore.Key
		for e, err := range tx.Scan("q/", "", false) {
			if err != nil {
				return err
			}
			keys = append(keys, e.Key)
		}
		for _, k := range keys {
			if err := tx.Delete(k); err != nil {
				return err
			}
		}
		return nil
	}))
	for range 2 {
		check(t, o.Close())
		o = open()
		if got := o.leaves(t); !slices.Equal(got, []record.RecordID{second}) {
			t.Errorf("after the start of a newer version %v are queued", got)
		}
	}
	check(t, o.Close())
}
