package exchange

import (
	"slices"

	"dxd/blobstore"
	"dxd/hashanchor/queue"
	"dxd/record"
)

// A partner without a chain says so in its hello. What it signs, and we have,
// is then anchored by us, so that evidence dates it, too; the proof goes to the
// partner like any other.

// anchorFor queues the leaf of a partner's manifest or receipt, in the update
// that keeps it, if we anchor and the partner does not.
func (x *Exchange) anchorFor(tx blobstore.Tx, from record.OrgID, e record.Envelope) error {
	if !x.Anchors() || !x.wards.has(from) {
		return nil
	}
	return queue.Add(tx, e.ID(), e.Leaf())
}

// accountsBeside lists the accounts on the cards that stand in evidence beside
// a record of the transfer: those that may anchor it. If org is not zero, only
// that organisation's.
func (x *Exchange) accountsBeside(tx blobstore.ReadTx, t Transfer, org record.OrgID) (accounts []record.Account, err error) {
	records, err := x.recordsOf(tx, t)
	if err != nil {
		return nil, err
	}
	ids, err := cardsNamedBy(records, t.Direction != None)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		card, err := x.cardOf(tx, id)
		if err != nil {
			return nil, err
		}
		if org.IsZero() || card.Body.Org == org {
			accounts = append(accounts, card.Body.Accounts...)
		}
	}
	return accounts, nil
}

// isBeside tells whether the account stands on a card beside a record of the
// transfer.
func (x *Exchange) isBeside(tx blobstore.ReadTx, t Transfer, account record.Account) (bool, error) {
	accounts, err := x.accountsBeside(tx, t, record.OrgID{})
	return slices.Contains(accounts, account), err
}
