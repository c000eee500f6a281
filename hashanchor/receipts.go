package hashanchor

import (
	"cmp"

	"dxd/record"
)

// openReceipts verifies the receipts: first that the item was received, then
// what was said of it. Receipts about other items of the same payload are not
// shown, so in a bundle the second need not name the first.
func (v *verifier) openReceipts() error {
	if v.Recipient == nil && len(v.e.Receipts) > 0 {
		return record.Errorf(record.Invalid, "a notarisation has no receipts")
	}
	used := 2 // the cards that the manifest names
	for i, e := range v.e.Receipts {
		card, err := v.receiptCard(e, &used)
		if err != nil {
			return err
		}
		r, err := record.OpenReceipt(e, card)
		if err != nil {
			return err
		}
		if err := v.checkReceipt(i, r); err != nil {
			return err
		}
		v.receipts = append(v.receipts, r)
	}
	if v.Recipient != nil && used != len(v.cards) {
		return record.Errorf(record.Invalid, "no record of the file names its card %s", v.cards[used].ID())
	}
	return nil
}

// receiptCard finds the card that a receipt names: the recipient's, or the
// next one that nothing has named so far.
func (v *verifier) receiptCard(e record.Envelope, used *int) (none record.Signed[record.Card], err error) {
	_, id, err := record.SignerOf(e)
	if err != nil {
		return none, err
	}
	for i, card := range v.cards[1:] {
		if card.ID() != id || i+1 > *used || card.Body.Org != v.Recipient.Org {
			continue
		}
		if i+1 == *used {
			*used++
		}
		return card, nil
	}
	return none, record.Errorf(record.Invalid, "the file holds no card of the recipient in the place where a receipt needs %s", id)
}

// checkReceipt compares receipt i with the manifest and with the one before.
func (v *verifier) checkReceipt(i int, r record.Signed[record.Receipt]) error {
	b := r.Body
	if b.Sender != v.statement.Org || b.Manifest != v.statement.id {
		return record.Errorf(record.Invalid, "a receipt is about the manifest %s of %s; this file is about %s of %s", b.Manifest, b.Sender, v.statement.id, v.statement.Org)
	}
	if last := b.Entries[len(b.Entries)-1].Last; last >= v.statement.items {
		return record.Errorf(record.Invalid, "a receipt speaks of item %d; the manifest has the items 0 to %d", last, v.statement.items-1)
	}
	status := statusOf(b, v.e.Opening.Index)
	switch {
	case i == 0 && status != record.StatusReceived:
		return record.Errorf(record.Invalid, "the first receipt says of item %d that it is %q, not that it was received", v.e.Opening.Index, cmp.Or(status, "not mentioned"))
	case i == 1 && status != record.StatusAccepted && status != record.StatusRefused:
		return record.Errorf(record.Invalid, "the second receipt says of item %d that it is %q, neither that it is accepted nor that it is refused", v.e.Opening.Index, cmp.Or(status, "not mentioned"))
	case i == 1 && v.statement.items == 1 && b.Previous != v.receipts[0].ID():
		return record.Errorf(record.Invalid, "the second receipt names %s before it; the first of the file is %s", b.Previous, v.receipts[0].ID())
	}
	v.Receipt = string(status)
	return nil
}

// statusOf is what a receipt says of an item, "" if nothing.
func statusOf(r record.Receipt, item int64) record.ReceiptStatus {
	for _, e := range r.Entries {
		if e.First <= item && item <= e.Last {
			return e.Status
		}
	}
	return ""
}
