package exchange

import (
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"

	"dxd/blobstore"
	"dxd/blobstore/badger"
	"dxd/crypto"
	"dxd/record"
)

// More messages fall due at once than the journal takes keys in one update.
func TestManyBundlesAreErasedInUpdatesThatTheJournalTakes(t *testing.T) {
	keys, err := crypto.Generate()
	if err != nil {
		t.Fatal(err)
	}
	store, err := badger.Open(t.TempDir(), keys.Sealer(), badger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	x := Open(Config{Journal: store, Files: store, Now: time.Now, Log: slog.New(slog.DiscardHandler), Retain: Retention{Sent: time.Hour}})
	var bundles []record.TransferID
	for range 20 {
		id := record.TransferID(uuid.Must(uuid.NewV7()))
		bundles = append(bundles, id)
		err := store.Update(t.Context(), func(tx blobstore.Tx) error { return putEnded(tx, id) })
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range x.rules() {
		if _, err := x.clearShelf(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	err = store.View(t.Context(), func(tx blobstore.ReadTx) error {
		for _, prefix := range []blobstore.Key{prefixContent, prefixKey, prefixShelf} {
			for e, err := range tx.Scan(prefix, "", false) {
				if err != nil {
					return err
				}
				t.Errorf("%q is left", e.Key)
			}
		}
		for _, id := range bundles {
			row, err := getTransfer(tx, id)
			if err != nil || row.Erased == 0 {
				t.Errorf("the row is %+v (%v)", row, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// putEnded writes a bundle of ours that was delivered long ago.
func putEnded(tx blobstore.Tx, id record.TransferID) error {
	b := Transfer{ID: id, Direction: Out, Kind: bundleKind, State: Delivered, Items: record.MaxItems, Updated: 1}
	var members []record.TransferID
	for range record.MaxItems {
		id := record.TransferID(uuid.Must(uuid.NewV7()))
		members = append(members, id)
		if err := tx.Set(contentKey(id), []byte("a message")); err != nil {
			return err
		}
	}
	if err := putMembers(tx, b.ID, members); err != nil {
		return err
	}
	if err := b.settle(tx); err != nil {
		return err
	}
	return b.create(tx)
}
