package exchange_test

import (
	"slices"
	"testing"
	"time"

	"dxd/blobstore"
	"dxd/event"
	"dxd/hashanchor/queue"
	"dxd/record"
)

// told gives the types of the events about a transfer, in their order.
func (n *node) told(id record.TransferID) (types []event.Type) {
	n.t.Helper()
	for _, e := range n.events() {
		if e.ID == id {
			types = append(types, e.Type)
		}
	}
	return types
}

func wantTold(t *testing.T, who string, got []event.Type, want ...event.Type) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s was told %v, not %v", who, got, want)
	}
}

func TestBothSidesAreToldOfADelivery(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	v := a.delivered(a.send("bert", []byte("a document")).ID)
	wantTold(t, "the sender", a.told(v.ID), event.TransferDelivered)
	wantTold(t, "the recipient", b.told(v.ID), event.DocumentReceived)
	got := b.events()[0]
	if got.Partner != a.keys.Org() || got.Kind != record.Document || time.Since(time.UnixMilli(got.Time)) > time.Minute {
		t.Errorf("the event is %+v", got)
	}
}

func TestTheSenderIsToldWhyATransferFailed(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	b.halt()
	v := a.send("bert", []byte("never arrives"))
	_, err := a.book.SetState(t.Context(), "bert", "removed", a.Remove)
	check(t, err)
	a.ended(v.ID)
	wantTold(t, "the sender", a.told(v.ID), event.TransferFailed)
	if failed := a.events(event.TransferFailed); failed[0].Reason != "removed" {
		t.Errorf("the event is %+v", failed[0])
	}
}

func TestATransfersAnchorIsThatOfItsManifest(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	v := a.delivered(a.send("bert", []byte("a document")).ID)
	manifest, receipts := a.records(v.ID)
	states := []queue.State{queue.Included, queue.Submitted, queue.Included, queue.Final}
	check(t, a.store.Update(t.Context(), func(tx blobstore.Tx) error {
		for _, id := range []record.RecordID{manifest.ID(), receipts[0].ID(), {1}} {
			for _, s := range states {
				if err := a.Anchored(tx, id, s); err != nil {
					return err
				}
			}
		}
		return nil
	}))
	wantTold(t, "the sender", a.told(v.ID), event.TransferDelivered,
		event.AnchorIncluded, event.AnchorReorged, event.AnchorIncluded, event.AnchorFinal)
}

func TestABundlesAnchorIsToldOnceForAllItsMessages(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	b.halt()
	sent := map[record.TransferID]bool{}
	var last record.TransferID
	for range 30 {
		last = a.message("bert", []byte("a message")).ID
		sent[last] = true
	}
	b.start()
	a.delivered(last)
	manifest, _ := a.records(last)
	check(t, a.store.Update(t.Context(), func(tx blobstore.Tx) error { return a.Anchored(tx, manifest.ID(), queue.Final) }))
	final := a.events(event.AnchorFinal)
	if len(final) != 1 || !final[0].ID.IsZero() || final[0].Kind != record.Message {
		t.Fatalf("the events are %+v", final)
	}
	members, err := a.Members(t.Context(), final[0].Bundle)
	check(t, err)
	if !slices.Contains(members, last) || len(members) < 2 {
		t.Errorf("it is of %d messages", len(members))
	}
	for _, id := range members {
		if !sent[id] {
			t.Errorf("%s is none of them", id)
		}
	}
	none, err := a.Members(t.Context(), last)
	if check(t, err); none != nil {
		t.Errorf("the messages of what is no bundle are %v", none)
	}
}
