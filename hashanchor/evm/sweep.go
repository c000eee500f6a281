package evm

import (
	"cmp"
	"context"
	"fmt"
	"math/big"
	"slices"
	"time"

	"dxd/record"
)

// Rest says how much of what an account held is left.
type Rest int

// What Sweep finds.
const (
	Moved Rest = iota // something was sent just now
	Fresh             // nothing is left, but not yet in a final block that is new enough
	Kept              // something is left that is not worth sending at prices as they are, or not all endpoints show that nothing is
	Gone              // nothing is left, for good
)

// worth is how many transfers an account must be able to pay before it is
// worth one. It is far more than is left behind, so that a price that falls a
// little does not make that worth another.
const worth = 32

// dust is how much wei counts as nothing: a thousandth of the chain's coin. It
// does not follow prices, which an endpoint can make up.
const dust = 1e15

// Sweep sends what the account holds to another, and waits until that is in a
// block. What would pay for a few transfers stays.
//
// The key of an account is safe to drop when the answer is Gone: a block that
// is final for every endpoint shows no more than dust, and all say so. It is
// not below known, which was final before, and not older than since. So one
// honest endpoint is enough to keep the key, none is behind what the account
// was paid until then, and a reorg can't bring anything back.
func (c *Chain) Sweep(ctx context.Context, to record.Account, known record.Beacon, since time.Time) (Rest, error) {
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
	has, err := e.balance(ctx, c.account())
	if err != nil {
		return Moved, err
	}
	one := cost(transferGas, p)
	if has.Cmp(new(big.Int).Mul(one, big.NewInt(worth))) > 0 {
		// Twice the cost is kept back: a price that rises meanwhile is paid from it.
		_, err = c.transact(ctx, e, call{to: to, value: has.Sub(has, one.Mul(one, big.NewInt(2)))})
		return Moved, err
	}
	if has.Cmp(big.NewInt(dust)) > 0 {
		return Kept, nil
	}
	return c.atRest(ctx, known, since)
}

// atRest tells whether nothing is left in the newest block that is final for
// every endpoint.
func (c *Chain) atRest(ctx context.Context, known record.Beacon, since time.Time) (Rest, error) {
	finals, err := all(ctx, c, c.finalBeacon, describeBlock)
	if err != nil {
		return Kept, err
	}
	lowest := slices.MinFunc(finals, func(a, b answer[record.Beacon]) int { return cmp.Compare(a.value.Block, b.value.Block) })
	switch at := lowest.value; {
	case at.Hash.IsZero(), at.ChainID != known.ChainID:
		return Fresh, nil
	case at.Block < known.Block:
		return Kept, record.Errorf(record.Unavailable, "%s is behind: its last final block is %d, and block %d was final before", lowest.from, at.Block, known.Block)
	}
	held, err := c.heldAt(ctx, lowest.value.Block)
	if err != nil {
		return Kept, err
	}
	if held.wei.Cmp(big.NewInt(dust)) > 0 || time.Unix(held.at.Time, 0).Before(since) {
		return Fresh, nil
	}
	return Gone, nil
}

// holding is a block, and what an account held in its state.
type holding struct {
	at  record.Beacon
	wei *big.Int
}

// heldAt is what the account held in a block. All endpoints have to know the
// same block, and to say the same of it.
func (c *Chain) heldAt(ctx context.Context, number int64) (holding, error) {
	describe := func(h holding) string {
		return fmt.Sprintf("%s, and account %s held %s of the chain's coin then", describeBlock(h.at), c.account(), ether(h.wei))
	}
	answers, err := all(ctx, c, func(ctx context.Context, e *endpoint) (holding, error) {
		chainID, err := e.chain(ctx)
		if err != nil {
			return holding{}, err
		}
		b, err := e.blockAt(ctx, number)
		if err != nil {
			return holding{}, err
		}
		wei, err := e.balanceAt(ctx, c.account(), atBlock(b))
		return holding{b.beacon(chainID), wei}, err
	}, describe)
	if err != nil {
		return holding{}, err
	}
	said := answers[0]
	for _, a := range answers[1:] {
		if a.value.at != said.value.at || a.value.wei.Cmp(said.value.wei) != 0 {
			return holding{}, record.WithHint(record.Errorf(record.Conflict, "the endpoints disagree: %s says that %s; %s says that %s",
				said.from, describe(said.value), a.from, describe(a.value)), hintDisagree)
		}
	}
	return said.value, nil
}
