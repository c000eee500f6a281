package exchange_test

import (
	"testing"

	"dxd/blobstore"
	"dxd/record"
)

// leaves lists the records whose leaves the node has queued.
func (n *node) leaves() (ids []record.RecordID) {
	n.t.Helper()
	check(n.t, n.store.View(n.t.Context(), func(tx blobstore.ReadTx) error {
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

func TestEachLeafCanBeAskedForItsAccounts(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	a.delivered(a.send("bert", []byte("delivered")).ID)
	b.halt()
	v := a.send("bert", []byte("never arrives"))
	_, err := a.Cancel(t.Context(), v.ID)
	check(t, err)
	ids := a.leaves()
	if len(ids) < 3 {
		t.Fatalf("only %d leaves were found: two manifests and a void should have one each", len(ids))
	}
	for _, id := range ids {
		check(t, a.store.View(t.Context(), func(tx blobstore.ReadTx) error {
			_, err := a.AccountsOf(tx, id)
			return err
		}))
	}
}
