package exchange_test

import (
	"testing"

	"dxd/blobstore"
	"dxd/hashanchor/queue"
	"dxd/record"
)

func TestADamagedRowHoldsUpNoOtherLeaf(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	v := a.delivered(a.send("bert", []byte("a document")).ID)
	check(t, a.store.Update(t.Context(), func(tx blobstore.Tx) error {
		return tx.Set("x/t/"+blobstore.Key(v.ID[:]), []byte("{"))
	}))
	check(t, a.store.Update(t.Context(), func(tx blobstore.Tx) error {
		if err := a.Anchored(tx, v.Record, queue.Included); err != nil {
			return err
		}
		if err := a.Anchored(tx, v.Record, queue.Final); err != nil {
			return err
		}
		if err := a.Proven(tx, v.Record, true); err != nil {
			return err
		}
		_, err := a.AccountsOf(tx, v.Record)
		return err
	}))
}

func TestADamagedRecordOrCardHoldsUpNoOtherLeaf(t *testing.T) {
	for _, rows := range []blobstore.Key{"x/m/", "x/r/", "p/c/"} {
		a, b := newNode(t, "anna"), newNode(t, "bert")
		b.alone.Store(true)
		pair(t, a, b)
		_, records := a.exchanged(b, "to bert")
		for _, value := range [][]byte{[]byte("{"), nil} {
			check(t, a.store.Update(t.Context(), func(tx blobstore.Tx) error {
				changed := 0
				for e, err := range tx.Scan(rows, "", false) {
					if err != nil {
						return err
					}
					if changed++; value == nil {
						err = tx.Delete(e.Key)
					} else {
						err = tx.Set(e.Key, value)
					}
					if err != nil {
						return err
					}
				}
				if changed == 0 {
					t.Errorf("there are no rows %q", rows)
				}
				return nil
			}))
			for _, e := range records {
				check(t, a.store.View(t.Context(), func(tx blobstore.ReadTx) error {
					_, err := a.AccountsOf(tx, e.ID())
					return err
				}))
			}
		}
	}
}

func TestALostListOfMessagesHoldsUpNoOther(t *testing.T) {
	for _, what := range []string{"gone", "damaged"} {
		t.Run(what, func(t *testing.T) {
			a, b := newNode(t, "anna"), newNode(t, "bert")
			pair(t, a, b)
			opened, release := a.holding()
			a.message("bert", []byte("first"))
			<-opened
			var bundle record.TransferID
			check(t, a.store.Update(t.Context(), func(tx blobstore.Tx) error {
				for e, err := range tx.Scan("x/g/", "", false) {
					if err != nil {
						return err
					}
					bundle = record.TransferID([]byte(e.Key[len("x/g/"):]))
					if what == "damaged" {
						return tx.Set(e.Key, e.Value[:5])
					}
					return tx.Delete(e.Key)
				}
				return nil
			}))
			release()
			second := a.message("bert", []byte("second"))
			a.delivered(second.ID)
			if got := len(b.messagesReceived()); got != 2 {
				t.Errorf("%d messages arrived", got)
			}
			if _, err := a.Members(t.Context(), bundle); err != nil {
				t.Errorf("whoever reads events fails at the bundle: %v", err)
			}
			a.retain.Sent = day
			a.awake(2 * day)
			a.erased(second.ID)
		})
	}
}

func TestADamagedRowKeepsNoPartnerFromBeingRemoved(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	b.halt()
	damaged, whole := a.send("bert", []byte("damaged")), a.send("bert", []byte("whole"))
	check(t, a.store.Update(t.Context(), func(tx blobstore.Tx) error {
		return tx.Set("x/t/"+blobstore.Key(damaged.ID[:]), []byte("{"))
	}))
	_, err := a.book.SetState(t.Context(), "bert", "removed", a.Remove)
	check(t, err)
	if v := a.ended(whole.ID); v.Reason != "removed" {
		t.Errorf("what waited is %s (%s)", v.State, v.Reason)
	}
}
