package evm

import (
	"context"
	"errors"
	"math/big"
	"strings"

	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"

	"dxd/hashanchor"
	"dxd/record"
)

// Send hands a transaction to every endpoint: one that takes it and forgets it
// then does no harm. Sending again is harmless: the outcome is nil when one of
// them has it already. Otherwise the error is of kind
//
//   - Conflict: its nonce is used up, or another transaction with that nonce
//     waits. The caller has to look what became of the root.
//   - Refused: the price is too low for the node. A dearer one has to replace it.
//   - Unavailable: it may or may not have been taken, or the account can't pay
//     for now. The same bytes are to be sent later.
//   - Invalid: the endpoints are on another chain.
func (c *Chain) Send(ctx context.Context, tx hashanchor.Transaction) error {
	taken, errs := each(ctx, c.endpoints, func(ctx context.Context, e *endpoint) (struct{}, error) {
		return struct{}{}, c.submit(ctx, e, tx)
	})
	if len(taken) > 0 {
		return nil
	}
	worst := errs[0]
	for _, err := range errs {
		if certainty(err) > certainty(worst) {
			worst = err
		}
	}
	return c.explain(ctx, tx, worst)
}

// explain says so if an account can't pay for the transaction that a node did
// not take. What nodes say of it differs; what the account holds does not.
func (c *Chain) explain(ctx context.Context, tx hashanchor.Transaction, err error) error {
	var said nodeError
	if record.KindOf(err) != record.Unavailable || !errors.As(err, &said) {
		return err
	}
	var sent types.Transaction
	raw, decoded := hexutil.Decode(tx.Raw)
	if decoded != nil || sent.UnmarshalBinary(raw) != nil {
		return err
	}
	holds, unknown := c.Balance(ctx)
	if unknown != nil || holds.Cmp(sent.Cost()) >= 0 {
		return err
	}
	return c.tooPoor(holds, sent.Cost())
}

func (c *Chain) tooPoor(holds, needs *big.Int) error {
	lacks := new(big.Int).Sub(needs, holds)
	return record.WithHint(
		record.Errorf(record.Unavailable, "%w", &hashanchor.ShortError{Account: c.account(), Holds: holds, Needs: needs}),
		"send at least "+ether(lacks)+" of it to that account")
}

// certainty ranks what an endpoint says of a transaction by how much follows
// from it.
func certainty(err error) int {
	switch record.KindOf(err) {
	case record.Conflict:
		return 3
	case record.Refused:
		return 2
	case record.Unavailable:
		return 1
	default:
		return 0
	}
}

func (c *Chain) sendTo(ctx context.Context, e *endpoint, tx hashanchor.Transaction) error {
	_, err := consult(ctx, e, func(ctx context.Context, e *endpoint) (struct{}, error) {
		return struct{}{}, c.submit(ctx, e, tx)
	})
	return err
}

func (c *Chain) submit(ctx context.Context, e *endpoint, tx hashanchor.Transaction) error {
	var hash record.Hash
	if err := e.call(ctx, &hash, "eth_sendRawTransaction", tx.Raw); err != nil {
		return c.judge(err)
	}
	if hash != tx.Hash {
		return record.Errorf(record.Unavailable, "%s says that it took another transaction", e.name)
	}
	return nil
}

// verdict is what a node means by an error about a transaction.
type verdict uint8

const (
	unclear    verdict = iota
	known              // the node has the transaction
	nonceTaken         // by another, in a block or waiting
	priceLow
	noCoin // the sender can't pay
)

// wordings lists how nodes say it: there are no common codes. Lower case, from
// go-ethereum, Besu, Nethermind, Erigon, Reth and Anvil. The first that is
// contained decides.
var wordings = [...]struct {
	text string
	verdict
}{
	{"unknown", unclear}, // "unknown transaction type" is no "known transaction"
	{"already known", known},
	{"known transaction", known},
	{"alreadyknown", known},
	{"already imported", known},
	{"nonce too low", nonceTaken},
	{"nonce_too_low", nonceTaken},
	{"oldnonce", nonceTaken},
	{"replacement", nonceTaken},
	{"could not replace", nonceTaken},
	{"underpriced", priceLow},
	{"less than block base fee", priceLow},
	{"price below", priceLow},
	{"price too low", priceLow},
	{"fee too low", priceLow},
	{"feetoolow", priceLow},
	{"fee cap", priceLow},
	{"insufficient funds", noCoin},
	{"insufficientfunds", noCoin},
	{"upfront cost exceeds", noCoin},
}

func verdictOf(err error) verdict {
	var n nodeError
	if !errors.As(err, &n) {
		return unclear
	}
	text := strings.ToLower(n.text)
	for _, w := range wordings {
		if strings.Contains(text, w.text) {
			return w.verdict
		}
	}
	return unclear
}

// judge gives a node's error about our transaction the kind that Send promises.
func (c *Chain) judge(err error) error {
	switch verdictOf(err) {
	case known:
		return nil
	case nonceTaken:
		return record.Errorf(record.Conflict, "%w", err)
	case priceLow:
		return record.Errorf(record.Refused, "%w", err)
	case noCoin:
		return record.WithHint(err, "send the account "+c.account().String()+" some of the chain's coin")
	default:
		return err
	}
}
