package queue

import (
	"context"
	"math/big"
	"slices"

	"dxd/blobstore"
	"dxd/hashanchor"
	"dxd/record"
)

// After a rotation there are two accounts for a while. Evidence takes a proof
// only by an account that stands on a card beside it, so a record that was
// signed under an older card is anchored by the older account, whenever its
// turn comes.

// AccountsOf names the accounts that may anchor a record: those on the card
// that it names. None named means that any may.
type AccountsOf func(tx blobstore.ReadTx, id record.RecordID) ([]record.Account, error)

// chains are those of all our accounts, the one in use first.
func (q *Queue) chains() []Chain { return append([]Chain{q.Chain}, q.Older...) }

// chainOf is the chain of a batch's account; that of the account in use if the
// batch was begun with one that is not ours any more.
func (q *Queue) chainOf(b *batch) Chain {
	for _, c := range q.Older {
		if c.Where().Account == b.Anchor.Account {
			return c
		}
	}
	return q.Chain
}

// headOf is the head with the next nonce of that chain's account.
func (q *Queue) headOf(ctx context.Context, c Chain, head hashanchor.Head) (hashanchor.Head, error) {
	if c.Where().Account == q.Chain.Where().Account {
		return head, nil
	}
	other, err := c.Head(ctx)
	head.Nonce = other.Nonce
	return head, err
}

// share cuts a run of leaves down to those that one account may anchor, and
// gives the chains of all accounts that may.
func (q *Queue) share(tx blobstore.ReadTx, run []leaf) ([]leaf, []Chain, error) {
	able := q.chains()
	if len(able) == 1 || q.AccountsOf == nil {
		return run, able[:1], nil
	}
	for i, l := range run {
		accounts, err := q.AccountsOf(tx, l.id)
		if err != nil {
			return nil, nil, err
		}
		rest := slices.DeleteFunc(slices.Clone(able), func(c Chain) bool { return !may(accounts, c.Where().Account) })
		switch {
		case len(rest) > 0:
			able = rest
		case i > 0:
			return run[:i], able, nil
		default: // its account is gone: a proof by another still says when it existed
			return run[:1], able[:1], nil
		}
	}
	return run, able, nil
}

func may(accounts []record.Account, account record.Account) bool {
	return len(accounts) == 0 || slices.Contains(accounts, account)
}

// payer is the first chain whose account holds anything: a new account has
// nothing at first, while the older one may still anchor for it.
func payer(ctx context.Context, able []Chain) (Chain, error) {
	if len(able) > 1 {
		for _, c := range able {
			balance, err := c.Balance(ctx)
			if err != nil || balance.Sign() > 0 {
				return c, err
			}
		}
	}
	return able[0], nil // if it holds nothing, it says so
}

// Needs tells whether an account still has something to anchor: a batch that
// is not final, or a waiting leaf that none of the accounts in its stead may.
func Needs(tx blobstore.ReadTx, account record.Account, instead []record.Account, of AccountsOf) (bool, error) {
	open, err := openBatches(tx)
	if err != nil {
		return false, err
	}
	for _, b := range open {
		if b.Anchor.Account == account {
			return true, nil
		}
	}
	t, err := getTally(tx)
	if err != nil {
		return false, err
	}
	for e, err := range tx.Scan(prefixLeaf, numbered(prefixLeaf, t.Closed), false) {
		if err != nil {
			return false, err
		}
		l, err := parseLeaf(e.Value)
		if err != nil {
			return false, err
		}
		accounts, err := of(tx, l.id)
		if err != nil {
			return false, err
		}
		if !slices.ContainsFunc(instead, func(a record.Account) bool { return may(accounts, a) }) {
			return true, nil
		}
	}
	return false, nil
}

// Purse is an account and what it holds, in wei; nil if that could not be asked.
type Purse struct {
	Account record.Account
	Balance *big.Int
}

// purses asks what the older accounts hold.
func (q *Queue) purses(ctx context.Context) (all []Purse, fault error) {
	for _, c := range q.Older {
		balance, err := c.Balance(ctx)
		if fault == nil {
			fault = err
		}
		all = append(all, Purse{c.Where().Account, balance})
	}
	return all, fault
}
