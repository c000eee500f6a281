package exchange

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"

	"dxd/blobstore"
	"dxd/crypto"
	"dxd/event"
	"dxd/partner"
	"dxd/record"
)

// unbundled is a bundle that holds in every respect.
type unbundled struct {
	manifest record.Signed[record.Manifest]
	packed   []byte // the openings
	openings []record.Opening
	bodies   [][]byte
}

// takeBundle receives a bundle and answers with the receipt. It is so small
// that it waits in memory, without a row: it becomes durable as a whole.
func (x *Exchange) takeBundle(ctx context.Context, a *arrival) error {
	if err := a.send(frameAnswer, answer{Offset: int64(len(a.early))}); err != nil {
		return err
	}
	sealed := a.early
	err := a.readBody(int64(len(sealed)), func(content []byte) error {
		sealed = append(sealed, content...)
		return nil
	})
	if err != nil {
		return err
	}
	x.flight.add(a.prog, a.offer.SealedLength, a.offer.SealedLength)
	var c closing
	if err := a.expect(frameClosing, &c); err != nil {
		return err
	}
	b, err := x.unbundle(ctx, a, sealed, c)
	if err != nil {
		return err
	}
	receipt, _, err := x.acknowledge(ctx, b.manifest, func(tx blobstore.Tx, receipt record.Envelope) error {
		return x.putUnbundled(tx, a, b, receipt)
	})
	if err != nil {
		return err
	}
	x.guests.count(a.from.Org, int64(len(b.openings))-1, x.Now())
	return a.send(frameReceipt, receiptFrame{receipt})
}

// unbundle checks manifest, openings and bodies against each other and against
// the parties.
func (x *Exchange) unbundle(ctx context.Context, a *arrival, sealed []byte, c closing) (b unbundled, err error) {
	plain, err := openInMemory(a.key, sealed)
	if err != nil {
		return b, err
	}
	if b.manifest, err = x.openManifest(ctx, a.from.Org, c.Manifest); err != nil {
		return b, err
	}
	list, packed, err := openOpenings(a.key, c)
	if err != nil {
		return b, err
	}
	if len(plain)+len(packed) > maxBundle {
		return b, record.Errorf(record.Invalid, "a bundle of %d bytes", len(plain)+len(packed))
	}
	if err := checkManifest(b.manifest.Body, a.offer, list); err != nil {
		return b, err
	}
	b.packed = packed
	b.openings, b.bodies, err = split(a.offer.ID, list, plain)
	return b, err
}

// openInMemory opens a sealed body whole.
func openInMemory(key crypto.FileKey, sealed []byte) ([]byte, error) {
	r, err := crypto.OpenBody(key, bytes.NewReader(sealed))
	if err != nil {
		return nil, err
	}
	var plain bytes.Buffer
	plain.Grow(len(sealed))
	_, err = io.Copy(&plain, r)
	return plain.Bytes(), err
}

// split cuts the plaintext of a bundle into the bodies of its messages, in
// their order, and compares each with its opening.
func split(bundle record.TransferID, list [][]byte, plain []byte) (openings []record.Opening, bodies [][]byte, err error) {
	seen := map[record.TransferID]bool{bundle: true}
	for i, raw := range list {
		o, err := record.ParseOpening(raw)
		if err != nil {
			return nil, nil, err
		}
		switch {
		case o.Kind != record.Message || o.Index != int64(i):
			return nil, nil, record.Errorf(record.Invalid, "the opening in place %d is not of its message", i)
		case seen[o.Transfer]:
			return nil, nil, record.Errorf(record.Invalid, "one id stands twice in a bundle")
		case o.Length > int64(len(plain)):
			return nil, nil, record.Errorf(record.Invalid, "the bundle is shorter than its messages")
		case o.Digest != record.Digest(sha256.Sum256(plain[:o.Length])):
			return nil, nil, record.Errorf(record.Invalid, "a message is not the one that was signed")
		}
		seen[o.Transfer] = true
		openings, bodies = append(openings, o), append(bodies, plain[:o.Length])
		plain = plain[o.Length:]
	}
	if len(plain) > 0 {
		return nil, nil, record.Errorf(record.Invalid, "the bundle is longer than its messages")
	}
	return openings, bodies, nil
}

// putUnbundled writes all of C1': the bundle with its manifest, openings and
// receipt, and each message with its body and event.
func (x *Exchange) putUnbundled(tx blobstore.Tx, a *arrival, b unbundled, receipt record.Envelope) error {
	if err := x.mayReceive(tx, b.manifest); err != nil {
		return err
	}
	now := x.Now().UnixMilli()
	t := Transfer{
		ID: a.offer.ID, Direction: In, Partner: a.from.Org, Kind: bundleKind, State: Received, Created: now, Updated: now, WireBytes: a.prog.wire,
		SealedLength: a.offer.SealedLength, BodyNonce: a.offer.BodyNonce, Record: b.manifest.ID(), Items: int64(len(b.openings)),
	}
	if err := t.settle(tx); err != nil {
		return err
	}
	var kept partner.Usage
	ids := make([]record.TransferID, len(b.openings))
	for i, o := range b.openings {
		ids[i] = o.Transfer
		t.Size += o.Length
		fresh, err := x.putMessage(tx, t, o, b.bodies[i])
		if err != nil {
			return err
		}
		if fresh {
			kept.Stored += o.Length
		}
	}
	if err := partner.Charge(tx, t.Partner, kept); err != nil {
		return err
	}
	if err := tx.Set(openingKey(t.ID), b.packed); err != nil {
		return err
	}
	if err := x.hasRoom(tx, t); err != nil {
		return err
	}
	if err := putMembers(tx, t.ID, ids); err != nil {
		return err
	}
	if err := x.putAcknowledged(tx, t.ID, b.manifest, receipt); err != nil {
		return err
	}
	return t.create(tx)
}

// putMessage makes the row of a message in a bundle, unless the message is
// here already, from another bundle that was lost by a sender with an old
// backup: then it is not fresh.
func (x *Exchange) putMessage(tx blobstore.Tx, bundle Transfer, o record.Opening, body []byte) (fresh bool, err error) {
	known, err := getTransfer(tx, o.Transfer)
	if err == nil {
		return false, sameAsKnown(known, bundle.Partner, o)
	}
	if record.KindOf(err) != record.NotFound {
		return false, err
	}
	if err := x.relays.isReserved(o.Transfer); err != nil {
		return false, err
	}
	t := Transfer{
		ID: o.Transfer, Direction: In, Partner: bundle.Partner, Kind: record.Message, MediaType: o.MediaType, Size: o.Length, Digest: o.Digest,
		State: Received, Created: bundle.Created, Updated: bundle.Updated, Bundle: bundle.ID, Index: o.Index,
	}
	if err := tx.Set(contentKey(t.ID), body); err != nil {
		return false, err
	}
	if err := x.tell(tx, event.MessageReceived, t); err != nil {
		return false, err
	}
	return true, t.create(tx)
}

// sameAsKnown refuses a message whose id stands for something else here.
func sameAsKnown(t Transfer, from record.OrgID, o record.Opening) error {
	switch {
	case t.Direction != In || t.Partner != from:
		return errOthersID()
	case t.bare() && t.Kind == record.Message && t.Size == o.Length:
		return nil // its digest is not known here any more
	case t.Kind != record.Message || t.State == Receiving || t.Digest != o.Digest || t.Size != o.Length || t.MediaType != o.MediaType:
		return contradiction(t.ID, "a partner sent other content under an id that it used")
	}
	return nil
}
