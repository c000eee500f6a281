package exchange

import (
	"context"
	"io"
	"slices"

	"dxd/blobstore"
	"dxd/hashanchor/queue"
	"dxd/partner"
	"dxd/record"
)

// Notarize reads a document and signs a commitment to it, which is anchored.
// The document is not kept.
func (x *Exchange) Notarize(ctx context.Context, name, mediaType string, size int64, body io.Reader) (View, error) {
	if err := checkItem(record.Notarized, name, &mediaType, ""); err != nil {
		return View{}, err
	}
	n, digest, err := digestInto(ctx, io.Discard, body, size)
	if err != nil {
		return View{}, err
	}
	var t Transfer
	err = x.Journal.Update(ctx, func(tx blobstore.Tx) error {
		now := x.Now().UnixMilli()
		t = Transfer{
			ID: newTransferID(), Direction: None, Kind: record.Notarized, Name: name, MediaType: mediaType,
			Size: n, Digest: digest, State: Recorded, Created: now, Updated: now,
		}
		opening, err := putOpening(tx, t)
		if err != nil {
			return err
		}
		signed, err := x.Keys.SignNotarization(record.Notarization{
			Header: record.Header{Card: x.Book.Self().ID(), Created: now},
			Root:   record.TreeRoot([]record.Hash{record.LeafHash(opening)}),
			Beacon: x.Beacon(),
		})
		if err != nil {
			return err
		}
		t.Record = signed.ID()
		if err := x.putRecord(tx, t, signed.Envelope); err != nil {
			return err
		}
		return t.create(tx)
	})
	if err != nil {
		return View{}, err
	}
	return x.Get(ctx, t.ID)
}

// Evidence puts together all that a stranger needs to verify a transfer or a
// notarisation, with the proofs that are there by now.
func (x *Exchange) Evidence(ctx context.Context, id record.TransferID) (file []byte, err error) {
	err = x.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		t, err := getItem(tx, id)
		if err != nil {
			return err
		}
		t, _, err = x.settled(tx, t)
		if err != nil {
			return err
		}
		if t.bare() {
			return errBare(t)
		}
		if t.Record.IsZero() {
			return record.Errorf(record.Conflict, "there is no evidence yet: the transfer is %s", t.State)
		}
		parts, err := x.parts(tx, t)
		if err != nil {
			return err
		}
		file, err = queue.Evidence(tx, parts)
		return err
	})
	return file, err
}

// parts gathers records, the cards that they name, and the opening.
func (x *Exchange) parts(tx blobstore.ReadTx, t Transfer) (p queue.Parts, err error) {
	if p.Records, err = x.recordsOf(tx, t); err != nil {
		return p, err
	}
	if p.Opening, p.Path, err = x.openingOf(tx, t); err != nil {
		return p, err
	}
	ids, err := cardsNamedBy(p.Records, t.Direction != None)
	if err != nil {
		return p, err
	}
	for _, id := range ids {
		card, err := x.cardOf(tx, id)
		if err != nil {
			return p, err
		}
		p.Cards = append(p.Cards, card.Envelope)
	}
	return p, nil
}

// cardsNamedBy lists the cards that the records name, each once, in the order
// that evidence has them in: the manifest's, the recipient's that it names, and
// those of receipts. A notarisation has no recipient.
func cardsNamedBy(records []record.Envelope, hasRecipient bool) (ids []record.RecordID, err error) {
	add := func(id record.RecordID) {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	for i, e := range records {
		_, card, err := record.SignerOf(e)
		if err != nil {
			return nil, err
		}
		add(card)
		if i == 0 && hasRecipient {
			m, err := record.RecipientCardOf(e)
			if err != nil {
				return nil, err
			}
			add(m)
		}
	}
	return ids, nil
}

// openingOf reads the opening of the transfer's item, and makes the path from
// it to the root of its payload.
func (x *Exchange) openingOf(tx blobstore.ReadTx, t Transfer) (opening []byte, path []record.Hash, err error) {
	c, index, err := x.carrier(tx, t)
	if err != nil {
		return nil, nil, err
	}
	if c.Kind != bundleKind {
		opening, err = tx.Get(openingKey(c.ID))
		return opening, nil, err
	}
	list, err := keptOpenings(tx, c.ID)
	if err != nil {
		return nil, nil, err
	}
	if index >= int64(len(list)) {
		return nil, nil, errDamagedOpenings()
	}
	return list[index], record.TreePath(int(index), keptLeaves(list)), nil
}

// leavesOf are the leaves of a payload's items.
func leavesOf(openings [][]byte) []record.Hash {
	leaves := make([]record.Hash, len(openings))
	for i, o := range openings {
		leaves[i] = record.LeafHash(o)
	}
	return leaves
}

// signersCard finds the card that a record of ours or of a partner names for
// its signer.
func (x *Exchange) signersCard(tx blobstore.ReadTx, e record.Envelope) (record.Signed[record.Card], error) {
	_, id, err := record.SignerOf(e)
	if err != nil {
		return record.Signed[record.Card]{}, err
	}
	return x.cardOf(tx, id)
}

// cardOf finds a card that a record of ours or of a partner names.
func (x *Exchange) cardOf(tx blobstore.ReadTx, id record.RecordID) (record.Signed[record.Card], error) {
	if self := x.Book.Self(); self.ID() == id {
		return self, nil
	}
	return partner.CardByID(tx, id)
}
