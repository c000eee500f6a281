package exchange

import (
	"slices"

	"dxd/blobstore"
	"dxd/record"
)

// signedByUs tells whether we signed a record, as it says itself.
func (x *Exchange) signedByUs(e record.Envelope) bool {
	org, _, err := record.SignerOf(e)
	return err == nil && org == x.Keys.Org()
}

// checkAnchorer tells whether the account stands on the card that the record
// names, on ours, or on one that stands in evidence beside the record: evidence
// takes no other. A card is anchored by an account on itself.
func (x *Exchange) checkAnchorer(tx blobstore.ReadTx, e record.Envelope, account record.Account) error {
	if e.Name() == "card" {
		return checkCardAnchorer(e, account)
	}
	card, err := x.signersCard(tx, e)
	if err != nil {
		return err
	}
	if slices.Contains(card.Body.Accounts, account) || slices.Contains(x.Book.Self().Body.Accounts, account) {
		return nil
	}
	t, err := transferOf(tx, e.ID())
	beside := false
	if err == nil {
		beside, err = x.isBeside(tx, t, account)
	}
	if err != nil && record.KindOf(err) != record.NotFound {
		return err
	}
	if !beside {
		return record.Errorf(record.Refused, "a proof by the account %s, which is on neither card", account)
	}
	return nil
}

// AccountsOf names the accounts that may anchor a record: those on the card
// that it names, if it is ours; if a partner signed it, those of ours that stand
// beside it. None for a record of which nothing more is known.
func (x *Exchange) AccountsOf(tx blobstore.ReadTx, id record.RecordID) ([]record.Account, error) {
	accounts, err := x.accountsOf(tx, id)
	switch record.KindOf(err) {
	case record.NotFound:
		return nil, nil
	case record.Damaged, record.Invalid:
		x.Log.Error("what a record names can't be read: any account may anchor it", "record", id, "error", err) // and it holds up no other
		return nil, nil
	}
	return accounts, err
}

func (x *Exchange) accountsOf(tx blobstore.ReadTx, id record.RecordID) ([]record.Account, error) {
	t, ok, err := x.ownerOf(tx, id)
	if err != nil {
		return nil, err
	}
	if !ok {
		return cardAccounts(tx, id)
	}
	e, err := x.anyRecordOf(tx, t, id)
	if err != nil {
		return nil, err
	}
	if !x.signedByUs(e) {
		return x.accountsBeside(tx, t, x.Keys.Org())
	}
	card, err := x.signersCard(tx, e)
	return card.Body.Accounts, err
}

// anyRecordOf is recordOf for what evidence does not show, too: the void that
// we signed, and what another record took the place of.
func (x *Exchange) anyRecordOf(tx blobstore.ReadTx, t Transfer, id record.RecordID) (record.Envelope, error) {
	e, err := x.recordOf(tx, t, id)
	if record.KindOf(err) != record.NotFound {
		return e, err
	}
	void, err := getRecord(tx, voidKey(t.ID))
	if err == nil && void.ID() == id {
		return void, nil
	}
	if err != nil && record.KindOf(err) != record.NotFound {
		return void, err
	}
	return getRecord(tx, formerKey(t.ID, id))
}
