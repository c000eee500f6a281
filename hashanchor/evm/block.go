package evm

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/ethereum/go-ethereum/common/hexutil"

	"dxd/hashanchor"
	"dxd/record"
)

// defaultDepth is when a block is final on a chain without a finalized tag.
const defaultDepth = 64

// quantity is a JSON-RPC integer that a record can hold.
type quantity int64

func (q *quantity) UnmarshalText(text []byte) error {
	n, err := hexutil.DecodeUint64(string(text))
	if err != nil || n >= 1<<53 {
		return errors.New("the answer holds an impossible number")
	}
	*q = quantity(n)
	return nil
}

// block is what is read of a block. Its hash is taken as the node says it:
// networks with other consensus (QBFT) do not hash headers as Ethereum does.
type block struct {
	Number     *quantity    `json:"number"` // nil when pending, which is never asked for
	Hash       record.Hash  `json:"hash"`
	Time       quantity     `json:"timestamp"`
	BaseFee    *hexutil.Big `json:"baseFeePerGas"` // nil before EIP-1559
	Difficulty *hexutil.Big `json:"difficulty"`
}

func (b block) beacon(chainID int64) record.Beacon {
	return record.Beacon{ChainID: chainID, Block: int64(*b.Number), Hash: b.Hash, Time: int64(b.Time)}
}

// staked tells that validators with stakes made the block, so that the chain
// has a finalized tag (EIP-3675: the difficulty is zero).
func (b block) staked() bool { return b.Difficulty != nil && (*big.Int)(b.Difficulty).Sign() == 0 }

// block asks for a block by its number or tag; NotFound if there is none.
func (e *endpoint) block(ctx context.Context, tag string) (block, error) {
	var b *block
	if err := e.call(ctx, &b, "eth_getBlockByNumber", tag, false); err != nil {
		return block{}, err
	}
	if b == nil {
		return block{}, record.Errorf(record.NotFound, "%s knows no block %s", e.name, tag)
	}
	if b.Number == nil || b.Hash.IsZero() {
		return block{}, record.Errorf(record.Unavailable, "%s answers with a block without number or hash", e.name)
	}
	return *b, nil
}

func (e *endpoint) blockAt(ctx context.Context, number int64) (block, error) {
	b, err := e.block(ctx, hexutil.EncodeUint64(uint64(number)))
	if err == nil && int64(*b.Number) != number {
		return block{}, record.Errorf(record.Unavailable, "%s answers with block %d for block %d", e.name, *b.Number, number)
	}
	return b, err
}

func (e *endpoint) latest(ctx context.Context) (block, error) {
	b, err := e.block(ctx, "latest")
	if record.KindOf(err) == record.NotFound {
		return block{}, record.Errorf(record.Unavailable, "%s has no blocks yet", e.name)
	}
	return b, err
}

// final asks for the last final block, and reports the zero block if there is
// none yet.
func (c *Chain) final(ctx context.Context, e *endpoint) (block, error) {
	depth := c.cfg.Finality
	if depth == 0 {
		b, err := e.block(ctx, "finalized")
		if err == nil || !saidNo(err) {
			return b, err
		}
		depth = defaultDepth
	}
	head, err := e.latest(ctx)
	if err != nil {
		return block{}, err
	}
	if c.cfg.Finality == 0 && head.staked() {
		return block{}, nil // it has the tag, but its validators have not agreed on a block yet
	}
	if int64(*head.Number) < depth {
		return block{}, nil
	}
	b, err := e.blockAt(ctx, int64(*head.Number)-depth)
	if record.KindOf(err) == record.NotFound {
		return block{}, record.Errorf(record.Unavailable, "%s lost blocks below its newest", e.name)
	}
	return b, err
}

// finalBeacon is the last final block; zero if there is none yet.
func (c *Chain) finalBeacon(ctx context.Context, e *endpoint) (record.Beacon, error) {
	chainID, err := e.chain(ctx)
	if err != nil {
		return record.Beacon{}, err
	}
	final, err := c.final(ctx, e)
	if err != nil || final.Hash.IsZero() {
		return record.Beacon{}, err
	}
	return final.beacon(chainID), nil
}

// saidNo tells an answer that there is no such block from no answer.
func saidNo(err error) bool {
	var n nodeError
	return record.KindOf(err) == record.NotFound || errors.As(err, &n)
}

// atBlock names a block by its hash (EIP-1898), so that several questions are
// answered from one state.
func atBlock(b block) map[string]any { return map[string]any{"blockHash": b.Hash} }

// Head reports the newest and the last final block, and the account's next
// nonce. It fails if the contract does not stand on the chain.
func (c *Chain) Head(ctx context.Context) (hashanchor.Head, error) {
	return first(ctx, c, c.head)
}

func (c *Chain) head(ctx context.Context, e *endpoint) (hashanchor.Head, error) {
	final, err := c.finalBeacon(ctx, e) // before the newest, so that it is below it
	if err != nil {
		return hashanchor.Head{}, err
	}
	head, err := e.latest(ctx)
	if err != nil {
		return hashanchor.Head{}, err
	}
	if err := c.demandContract(ctx, e, head); err != nil {
		return hashanchor.Head{}, err
	}
	var nonce quantity
	if err := e.call(ctx, &nonce, "eth_getTransactionCount", c.account(), atBlock(head)); err != nil {
		return hashanchor.Head{}, err
	}
	return hashanchor.Head{Block: int64(*head.Number), Nonce: int64(nonce), Final: final}, nil
}

// deployed tells whether the contract stands at its address. Other code there
// can't be, so an endpoint that shows some is not to be believed.
func (c *Chain) deployed(ctx context.Context, e *endpoint, at block) (bool, error) {
	return e.hasCode(ctx, c.contract.address, c.contract.runtime, at)
}

// demandContract fails, with kind Unavailable, until the contract is deployed.
func (c *Chain) demandContract(ctx context.Context, e *endpoint, at block) error {
	deployed, err := c.deployed(ctx, e, at)
	if err != nil || deployed {
		return err
	}
	return record.WithHint(
		record.Errorf(record.Unavailable, "the contract does not stand on this chain yet, says %s", e.name),
		"`dxd anchor deploy` puts it there")
}

func (e *endpoint) hasCode(ctx context.Context, address record.Account, want []byte, at block) (bool, error) {
	var code hexutil.Bytes
	if err := e.call(ctx, &code, "eth_getCode", address, atBlock(at)); err != nil {
		return false, err
	}
	if len(code) == 0 {
		return false, nil
	}
	if string(code) != string(want) {
		return false, record.Errorf(record.Invalid, "%s shows other code at %s than can stand there", e.name, address)
	}
	return true, nil
}

// Block reports a block by its number; NotFound above the newest, with
// Config.Agree that of any endpoint.
func (c *Chain) Block(ctx context.Context, number int64) (record.Beacon, error) {
	none := record.Errorf(record.NotFound, "there is no block %d", number)
	if number < 0 {
		return record.Beacon{}, none
	}
	ask := func(ctx context.Context, e *endpoint) (record.Beacon, error) { return e.beaconAt(ctx, number) }
	var answers []answer[record.Beacon]
	var err error
	if c.cfg.Agree {
		answers, err = all(ctx, c, ask, describeBlock)
	} else {
		var b record.Beacon
		b, err = first(ctx, c, ask)
		answers = []answer[record.Beacon]{{"", b}}
	}
	if err != nil {
		return record.Beacon{}, err
	}
	has := slices.DeleteFunc(slices.Clone(answers), func(a answer[record.Beacon]) bool { return a.value.Hash.IsZero() })
	for _, a := range has {
		if a.value != has[0].value {
			return record.Beacon{}, record.WithHint(record.Errorf(record.Conflict, "the endpoints disagree: %s says that %s; %s says that %s",
				has[0].from, describeBlock(has[0].value), a.from, describeBlock(a.value)), hintDisagree)
		}
	}
	if len(has) < len(answers) {
		return record.Beacon{}, none
	}
	return has[0].value, nil
}

// beaconAt is a block by its number; zero if the endpoint has not come to it.
func (e *endpoint) beaconAt(ctx context.Context, number int64) (record.Beacon, error) {
	chainID, err := e.chain(ctx)
	if err != nil {
		return record.Beacon{}, err
	}
	for range 2 { // it may come between the two questions
		b, err := e.blockAt(ctx, number)
		if err == nil {
			return b.beacon(chainID), nil
		}
		if record.KindOf(err) != record.NotFound {
			return record.Beacon{}, err
		}
		head, err := e.latest(ctx)
		if err != nil || int64(*head.Number) < number {
			return record.Beacon{}, err
		}
	}
	return record.Beacon{}, record.Errorf(record.Unavailable, "%s contradicts itself about block %d", e.name, number)
}

// describeBlock says what block there is.
func describeBlock(b record.Beacon) string {
	if b.Hash.IsZero() {
		return "it has not come to the block yet"
	}
	return fmt.Sprintf("block %d has the hash %s and is of %s", b.Block, b.Hash, utc(b))
}

// utc is a block's time for people.
func utc(b record.Beacon) string { return time.Unix(b.Time, 0).UTC().Format(time.RFC3339) }

// answer is what an endpoint said.
type answer[T any] struct {
	from  string
	value T
}

// Balance is what the account holds, in wei.
func (c *Chain) Balance(ctx context.Context) (*big.Int, error) {
	return first(ctx, c, func(ctx context.Context, e *endpoint) (*big.Int, error) {
		return e.balance(ctx, c.account())
	})
}

func (e *endpoint) balance(ctx context.Context, account record.Account) (*big.Int, error) {
	return e.balanceAt(ctx, account, "latest")
}

// balanceAt is the balance in a block's state.
func (e *endpoint) balanceAt(ctx context.Context, account record.Account, at any) (*big.Int, error) {
	var wei *hexutil.Big
	if err := e.call(ctx, &wei, "eth_getBalance", account, at); err != nil {
		return nil, err
	}
	if wei == nil {
		return nil, record.Errorf(record.Unavailable, "%s answers with no balance", e.name)
	}
	return (*big.Int)(wei), nil
}
