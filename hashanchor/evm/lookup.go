package evm

import (
	"context"
	"fmt"

	"github.com/ethereum/go-ethereum/common/hexutil"

	"dxd/hashanchor"
	"dxd/record"
)

// Lookup asks what the contract says of a.Account and a.Root. That the root is
// missing is an answer and no error. a.Block and a.Time are not compared. The
// error is of kind Invalid if a.ChainID is not the endpoint's, or a.Contract
// is not the genuine contract.
//
// With Config.Agree all endpoints are asked, and their answers must not
// contradict each other. The least that one says is reported then: one may be
// behind, as long as it follows the same chain.
func (c *Chain) Lookup(ctx context.Context, a hashanchor.Anchor) (hashanchor.Found, error) {
	if err := c.contract.check(a.Contract); err != nil {
		return hashanchor.Found{}, err
	}
	ask := func(ctx context.Context, e *endpoint) (hashanchor.Found, error) { return c.lookup(ctx, e, a) }
	if !c.cfg.Agree {
		return first(ctx, c, ask)
	}
	answers, err := all(ctx, c, ask, describe)
	if err != nil {
		return hashanchor.Found{}, err
	}
	found, err := agree(answers)
	if err != nil {
		return hashanchor.Found{}, err
	}
	return found, c.sameChain(ctx, answers)
}

// sameChain has the endpoints compare a block where one has not come to what
// another calls final: the newest of the one is final for the other, too, unless
// they follow two chains.
func (c *Chain) sameChain(ctx context.Context, answers []answer[hashanchor.Found]) error {
	behind, final := int64(-1), false
	for _, a := range answers {
		final = final || a.value.Standing == hashanchor.Final
		if a.value.Standing == hashanchor.Missing && (behind < 0 || a.value.Head < behind) {
			behind = a.value.Head
		}
	}
	if behind < 0 || !final {
		return nil
	}
	_, err := c.Block(ctx, behind)
	return err
}

// lookup decides in an order that no reorg between the questions can turn
// into a wrong "final": the final block is asked for first, so the newest
// block descends from it; the entry is read in the newest block's state; an
// entry made in the final block or before it is therefore in the final
// block's state, too. So nodes that keep only recent states can answer.
func (c *Chain) lookup(ctx context.Context, e *endpoint, a hashanchor.Anchor) (hashanchor.Found, error) {
	chainID, err := e.chain(ctx)
	if err != nil {
		return hashanchor.Found{}, err
	}
	if chainID != a.ChainID {
		return hashanchor.Found{}, record.Errorf(record.Invalid, "the anchor is on chain %d, and %s answers for chain %d", a.ChainID, e.name, chainID)
	}
	final, err := c.final(ctx, e)
	if err != nil {
		return hashanchor.Found{}, err
	}
	head, err := e.latest(ctx)
	if err != nil {
		return hashanchor.Found{}, err
	}
	found := hashanchor.Found{Standing: hashanchor.Missing, Head: int64(*head.Number)}
	entry, err := c.entryOf(ctx, e, a, head)
	if err != nil || entry.block == 0 {
		return found, err
	}
	at, err := e.blockOf(ctx, entry, head)
	if err != nil {
		return hashanchor.Found{}, err
	}
	found.Standing, found.Block, found.Time, found.BlockHash = hashanchor.Included, entry.block, entry.time, at.Hash
	if !final.Hash.IsZero() && entry.block <= int64(*final.Number) {
		found.Standing = hashanchor.Final
	}
	return found, nil
}

// entryOf reads the contract's entry in the state of a block; the zero entry
// if there is none, or no contract yet.
func (c *Chain) entryOf(ctx context.Context, e *endpoint, a hashanchor.Anchor, at block) (entry, error) {
	deployed, err := c.deployed(ctx, e, at)
	if err != nil || !deployed {
		return entry{}, err
	}
	var out hexutil.Bytes
	call := map[string]any{"to": c.contract.address, "data": hexutil.Bytes(packAnchorOf(a.Account, a.Root))}
	if err := e.call(ctx, &out, "eth_call", call, atBlock(at)); err != nil {
		return entry{}, err
	}
	found, err := unpackAnchorOf(out)
	if err != nil {
		return entry{}, err
	}
	if found != (entry{}) && found.chainID != a.ChainID {
		// The chain forked from another and took its state along.
		return entry{}, record.Errorf(record.Invalid, "the root was anchored when the chain had the id %d, not %d", found.chainID, a.ChainID)
	}
	return found, nil
}

// blockOf asks for the block of an entry, which must bear the entry's time.
func (e *endpoint) blockOf(ctx context.Context, found entry, head block) (block, error) {
	if found.block > int64(*head.Number) {
		return block{}, record.Errorf(record.Unavailable, "%s shows an entry of block %d at block %d", e.name, found.block, *head.Number)
	}
	at, err := e.blockAt(ctx, found.block)
	if record.KindOf(err) == record.NotFound || err == nil && int64(at.Time) != found.time {
		// A reorg between two questions, or a lie.
		return block{}, record.Errorf(record.Unavailable, "%s contradicts itself about block %d", e.name, found.block)
	}
	return at, err
}

// agree merges what several endpoints said of one root. Each is compared with
// each: what is behind can go along with two that contradict each other.
func agree(answers []answer[hashanchor.Found]) (hashanchor.Found, error) {
	least := answers[0]
	for i, a := range answers {
		for _, b := range answers[:i] {
			if !compatible(b.value, a.value) {
				return hashanchor.Found{}, record.WithHint(record.Errorf(record.Conflict, "the endpoints disagree: %s says that %s; %s says that %s",
					b.from, describe(b.value), a.from, describe(a.value)), hintDisagree)
			}
		}
		if weight(a.value) < weight(least.value) {
			least = a
		}
	}
	return least.value, nil
}

// compatible tells whether two honest nodes of one chain can say a and b: the
// same entry, or none at a node that has not come to the entry's block.
func compatible(a, b hashanchor.Found) bool {
	if a.Standing == hashanchor.Missing {
		a, b = b, a
	}
	if b.Standing == hashanchor.Missing {
		return a.Standing == hashanchor.Missing || b.Head < a.Block
	}
	return a.Block == b.Block && a.Time == b.Time && a.BlockHash == b.BlockHash
}

func weight(f hashanchor.Found) int {
	switch f.Standing {
	case hashanchor.Final:
		return 2
	case hashanchor.Included:
		return 1
	default:
		return 0
	}
}

// describe says how a root stands.
func describe(f hashanchor.Found) string {
	switch f.Standing {
	case hashanchor.Missing:
		return fmt.Sprintf("the root stands nowhere up to its block %d", f.Head)
	case hashanchor.Included:
		return fmt.Sprintf("the root stands in block %d, not final yet, with the hash %s", f.Block, f.BlockHash)
	default:
		return fmt.Sprintf("the root stands in block %d, final, with the hash %s", f.Block, f.BlockHash)
	}
}

// hintDisagree is what a person can do about endpoints that disagree: which of
// them is right can't be told here.
const hintDisagree = "one of them lies, is broken, or follows another chain: there is no verdict until those asked agree; ask another one that neither side runs"
