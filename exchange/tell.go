package exchange

import (
	"context"

	"dxd/blobstore"
	"dxd/event"
	"dxd/hashanchor/queue"
	"dxd/record"
)

// tellBy appends what somebody here did with a transfer.
func (x *Exchange) tellBy(tx blobstore.Tx, what event.Type, t Transfer, who string) error {
	return event.Append(tx, event.Event{Type: what, Time: x.Now().UnixMilli(), ID: t.ID, Partner: t.Partner, Kind: t.Kind, By: who})
}

// tell appends what happened to a transfer. It belongs into the update in
// which it happens.
//
// What happens to a bundle happens to its messages, and each has an event of
// its own. But that its manifest came to another state on the chain is one
// that names the bundle: many bundles do so in one update.
func (x *Exchange) tell(tx blobstore.Tx, what event.Type, t Transfer) error {
	e := event.Event{Type: what, Time: x.Now().UnixMilli(), ID: t.ID, Partner: t.Partner, Kind: t.Kind, Reason: t.Reason}
	if t.Kind != bundleKind {
		return event.Append(tx, e)
	}
	e.Kind = record.Message
	switch what {
	case event.AnchorIncluded, event.AnchorFinal, event.AnchorReorged:
		e.ID, e.Bundle = record.TransferID{}, t.ID
		return event.Append(tx, e)
	}
	ids, err := membersOf(tx, t.ID)
	switch record.KindOf(err) {
	case record.NotFound, record.Damaged:
		// What happens to it happens all the same, or its lane would wait for ever.
		x.Log.Error("nobody can be told of a bundle's messages: their list is damaged", "bundle", t.ID, "what", string(what), "error", err)
		return nil
	}
	if err != nil {
		return err
	}
	for _, e.ID = range ids {
		if err := event.Append(tx, e); err != nil {
			return err
		}
	}
	return nil
}

// Members lists the messages of a bundle that an event names; none if their
// list is lost or damaged, which must not end the events behind it.
func (x *Exchange) Members(ctx context.Context, bundle record.TransferID) (ids []record.TransferID, err error) {
	err = x.Journal.View(ctx, func(tx blobstore.ReadTx) (err error) {
		ids, err = membersOf(tx, bundle)
		return err
	})
	switch record.KindOf(err) {
	case record.NotFound, record.Damaged:
		return nil, nil
	}
	return ids, err
}

// Anchored is to be called in the update that brings a record to another state
// on the chain. A transfer's anchor is that of its manifest: what becomes of
// receipts, voids and cards is not told.
func (x *Exchange) Anchored(tx blobstore.Tx, id record.RecordID, s queue.State) error {
	t, ok, err := x.ownerOf(tx, id)
	if !ok || err != nil || t.Record != id {
		return err
	}
	switch s {
	case queue.Included:
		return x.tell(tx, event.AnchorIncluded, t)
	case queue.Final:
		return x.tell(tx, event.AnchorFinal, t)
	}
	return x.tell(tx, event.AnchorReorged, t)
}
