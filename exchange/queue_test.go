package exchange

import (
	"slices"
	"testing"

	"dxd/blobstore"
	"dxd/blobstore/badger"
	"dxd/crypto"
	"dxd/record"
)

func newStore(t *testing.T) *badger.Store {
	keys, err := crypto.Generate()
	if err != nil {
		t.Fatal(err)
	}
	store, err := badger.Open(t.TempDir(), keys.Sealer(), badger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// A key of the queue of news ends in random bytes, so each byte comes up.
func TestEachOrganisationThatWaitsIsListedOnce(t *testing.T) {
	store := newStore(t)
	var orgs []record.OrgID
	err := store.Update(t.Context(), func(tx blobstore.Tx) error {
		orgs = nil
		for range 3 {
			k, err := crypto.Generate()
			if err != nil {
				return err
			}
			orgs = append(orgs, k.Org())
			for _, first := range []string{"\x00", "a", "\xff", "\xff\xff\xff"} {
				if err := tx.Set(orgKey(tx, prefixPush, k.Org())+blobstore.Key(first), k.Org().Key()); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var listed []record.OrgID
	err = store.View(t.Context(), func(tx blobstore.ReadTx) error {
		listed, err = orgsWaiting(tx, prefixPush)
		return err
	})
	if err != nil || len(listed) != len(orgs) {
		t.Fatalf("%d organisations wait, %d are listed (%v)", len(orgs), len(listed), err)
	}
	for _, org := range orgs {
		if !slices.Contains(listed, org) {
			t.Errorf("%s is not listed", org)
		}
	}
}
