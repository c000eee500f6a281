package evm

import (
	"context"
	"math/big"

	"dxd/record"
)

// Rest says how much of what an account held is left.
type Rest int

// What Sweep finds.
const (
	Moved Rest = iota // something was sent just now
	Fresh             // nothing worth sending, but not yet in a final block
	Gone              // nothing worth sending, for good
)

// worth is how many transfers an account must be able to pay before it is
// worth one. It is far more than is left behind, so that a price that falls
// does not make that worth another.
const worth = 32

// Sweep sends what the account holds to another, and waits until that is in a
// block. What would pay for a few transfers stays and counts as nothing. The key of an account is safe to drop when the answer is Gone: a
// reorg can't bring anything back.
func (c *Chain) Sweep(ctx context.Context, to record.Account) (Rest, error) {
	e, err := first(ctx, c, func(ctx context.Context, e *endpoint) (*endpoint, error) { return e, nil })
	if err != nil {
		return Moved, err
	}
	head, err := e.latest(ctx)
	if err != nil {
		return Moved, err
	}
	p, err := c.price(ctx, e, head)
	if err != nil {
		return Moved, err
	}
	one := cost(transferGas, p)
	least := new(big.Int).Mul(one, big.NewInt(worth))
	has, err := e.balance(ctx, c.account())
	if err != nil {
		return Moved, err
	}
	if has.Cmp(least) <= 0 {
		return c.atRest(ctx, e, least)
	}
	// Twice the cost is kept back: a price that rises meanwhile is paid from it.
	_, err = c.transact(ctx, e, call{to: to, value: has.Sub(has, one.Mul(one, big.NewInt(2)))})
	return Moved, err
}

// atRest tells whether the last final block says, too, that the account has
// no more than this.
func (c *Chain) atRest(ctx context.Context, e *endpoint, least *big.Int) (Rest, error) {
	final, err := c.final(ctx, e)
	if err != nil || final.Hash.IsZero() {
		return Fresh, err
	}
	has, err := e.balanceAt(ctx, c.account(), atBlock(final))
	if err != nil || has.Cmp(least) > 0 {
		return Fresh, err
	}
	return Gone, nil
}
