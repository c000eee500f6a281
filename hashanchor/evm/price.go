package evm

import (
	"context"
	"math/big"
	"slices"
	"sync"

	"github.com/ethereum/go-ethereum/common/hexutil"

	"dxd/hashanchor"
	"dxd/record"
)

// What an endpoint says of prices decides what we pay, so nothing of it is
// believed beyond bounds: MaxFee for all that a unit of gas costs, a quarter
// of it for the tip at first, and maxGas for the units.

// minGas is the least gas limit of an anchor. One needs 46,300 under the rules
// of today, and what is not used is not paid: so an answer that is too low
// does not make transactions that fail and cost.
const minGas = 60_000

// maxGas bounds what an anchor may need, since the account must hold as much
// as its gas limit costs.
const maxGas = 500_000

// price is what a transaction pays, in wei per gas.
type price struct {
	fee int64 // at most, the tip included
	tip int64
}

// quote is what one endpoint asks for an anchor.
type quote struct {
	price
	gas      int64
	endpoint *endpoint
}

// quote asks one endpoint for the price of a call.
func (c *Chain) quote(ctx context.Context, e *endpoint, do call) (quote, error) {
	head, err := e.latest(ctx)
	if err != nil {
		return quote{}, err
	}
	// A call of an address without code succeeds and does nothing.
	if err := c.demandContract(ctx, e, head); err != nil {
		return quote{}, err
	}
	p, err := c.price(ctx, e, head)
	if err != nil {
		return quote{}, err
	}
	gas, err := c.estimate(ctx, e, do)
	if err != nil {
		return quote{}, err
	}
	if gas > maxGas {
		return quote{}, record.Errorf(record.Unavailable, "%s says that an anchor needs %d gas, which can't be", e.name, gas)
	}
	return quote{p, max(gas, minGas), e}, nil
}

// bargain asks the endpoints and takes the least that one of them asks for, so
// that one that asks for too much neither costs nor holds anything up. If it
// is too little, that is mended as the transaction is priced anew. It is not
// so with gas, where too little fails and costs: there, the most counts.
func (c *Chain) bargain(ctx context.Context, do call) (quote, error) {
	ask := func(ctx context.Context, e *endpoint) (quote, error) { return c.quote(ctx, e, do) }
	var quotes []quote
	var errs []error
	for _, some := range c.byHealth() {
		if len(quotes) > 0 {
			break // those that failed a short while ago may take their time
		}
		found, failures := each(ctx, some, ask)
		quotes, errs = append(quotes, found...), append(errs, failures...)
	}
	if len(quotes) == 0 {
		for _, err := range errs {
			if record.KindOf(err) == record.Quota {
				return quote{}, err // an answer
			}
		}
		return quote{}, merge(errs)
	}
	best := slices.MinFunc(quotes, func(a, b quote) int { return int(min(1, max(-1, a.fee-b.fee))) })
	for _, q := range quotes {
		best.tip, best.gas = min(best.tip, q.tip), max(best.gas, q.gas)
	}
	return best, nil
}

// byHealth are the endpoints in two groups: those that failed a short while
// ago come last.
func (c *Chain) byHealth() [][]*endpoint {
	order := c.inOrder()
	well := slices.IndexFunc(order, (*endpoint).ailing)
	if well <= 0 {
		return [][]*endpoint{order}
	}
	return [][]*endpoint{order[:well], order[well:]}
}

// each asks some endpoints at once.
func each[T any](ctx context.Context, some []*endpoint, ask func(ctx context.Context, e *endpoint) (T, error)) (answers []T, errs []error) {
	all, failures := make([]T, len(some)), make([]error, len(some))
	var asking sync.WaitGroup
	for i, e := range some {
		asking.Go(func() { all[i], failures[i] = consult(ctx, e, ask) })
	}
	asking.Wait()
	for i, err := range failures {
		if err == nil {
			answers = append(answers, all[i])
		} else {
			errs = append(errs, err)
		}
	}
	return answers, errs
}

// price suggests twice the newest block's base fee, so that the transaction
// survives six full blocks, and the tip that the node suggests; less if the
// ceiling demands it. The tip is what the validators get, whatever others pay,
// so no answer makes it more than a quarter of the ceiling. Where they want
// more, it grows as the transaction is priced anew.
func (c *Chain) price(ctx context.Context, e *endpoint, head block) (price, error) {
	if head.BaseFee == nil {
		return price{}, record.WithHint(
			record.Errorf(record.Invalid, "the chain at %s knows no transactions of EIP-1559: its blocks have no base fee", e.name),
			"networks from before the London rules are not supported; on Besu, set londonBlock and zeroBaseFee")
	}
	suggested, err := e.tip(ctx)
	if err != nil {
		return price{}, err
	}
	ceiling := big.NewInt(c.cfg.MaxFee)
	tip := least(suggested, big.NewInt(c.cfg.MaxFee/4))
	base := (*big.Int)(head.BaseFee)
	fee := new(big.Int).Add(base, tip)
	if fee.Cmp(ceiling) > 0 {
		return price{}, c.tooDear(fee)
	}
	return price{least(fee.Add(fee, base), ceiling).Int64(), tip.Int64()}, nil
}

func least(a, b *big.Int) *big.Int {
	if a.Cmp(b) < 0 {
		return a
	}
	return b
}

// tip asks what validators want. Nodes that don't know the question are not
// such whose validators want one.
func (e *endpoint) tip(ctx context.Context) (*big.Int, error) {
	var tip *hexutil.Big
	err := e.call(ctx, &tip, "eth_maxPriorityFeePerGas")
	if err != nil && !saidNo(err) {
		return nil, err
	}
	if err != nil || tip == nil {
		return new(big.Int), nil
	}
	return (*big.Int)(tip), nil
}

// replace raises p to what nodes ask of a replacement of old, at least an
// eighth more, and to twice the fee where the ceiling allows it: that is only
// paid as far as blocks ask for it, and a first price that was far too low
// comes up to theirs soon. An eighth of the fee is for the validators then: a
// tip of nothing must not stay so while the fee comes up to the ceiling.
func (c *Chain) replace(p price, old hashanchor.Transaction) (price, error) {
	if old == (hashanchor.Transaction{}) {
		return p, nil
	}
	asked := old.Fee + old.Fee/8 + 1
	if asked > c.cfg.MaxFee {
		return price{}, c.tooDear(big.NewInt(asked))
	}
	twice := old.Fee + min(old.Fee, c.cfg.MaxFee-old.Fee)
	p.fee = max(p.fee, asked, twice)
	p.tip = min(max(p.tip, old.Tip+old.Tip/8+1, p.fee/8), p.fee)
	return p, nil
}

func (c *Chain) tooDear(wei *big.Int) error {
	return record.WithHint(
		record.Errorf(record.Quota, "the chain asks for %s gwei per gas, above the ceiling of %s", gwei(wei), gwei(big.NewInt(c.cfg.MaxFee))),
		"wait until the chain is cheaper, or raise anchor.max_fee")
}

// Cost is what an anchor costs at most as prices are now, in wei: the account
// must hold so much.
func (c *Chain) Cost(ctx context.Context) (*big.Int, error) {
	// The contract does not know this root, so it is priced as a new one.
	q, err := c.bargain(ctx, call{to: c.contract.address, data: packAnchor(record.Hash{0: 1, 31: 1})})
	if err != nil {
		return nil, err
	}
	return cost(q.gas, q.price), nil
}
