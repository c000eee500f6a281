package exchange_test

import (
	"testing"

	"dxd/exchange"
	"dxd/partner"
	"dxd/record"
)

func TestAPartnerWithALongQueueCanBeRemoved(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	b.halt()
	var sent []record.TransferID
	for range 450 { // their voids are more than the journal takes in one update
		sent = append(sent, a.send("bert", []byte("a document")).ID)
	}
	_, err := a.book.SetState(t.Context(), "bert", partner.Removed, a.Remove)
	check(t, err)
	for _, id := range sent {
		if v := a.ended(id); v.State != exchange.Failed || v.Reason != "removed" {
			t.Fatalf("a transfer is %s (%s)", v.State, v.Reason)
		}
	}
	waiting, err := a.Waiting(t.Context())
	check(t, err)
	if len(waiting) != 0 {
		t.Errorf("the queue holds %v", waiting)
	}
}
