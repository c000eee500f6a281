package evm

import (
	"context"
	"math/big"
	"time"

	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"

	"dxd/record"
)

// The factory's own deployment: one transaction that nobody holds the key of
// (its signature was made up, and the sender follows from it). It is older
// than EIP-155, so it is valid on every chain, and pays 100,000 gas at 100 gwei.
const (
	factoryDeployer    = "0x3fab184622dc19b6109349b94811493bf2a45362"
	factoryCost        = 1e16 // wei
	factoryTransaction = "0xf8a58085174876e800830186a08080b853604580600e600039806000f350fe" + factoryCode +
		"1ba02222222222222222222222222222222222222222222222222222222222222222a02222222222222222222222222222222222222222222222222222222222222222"
)

// Gas that deploying may take where it can't be estimated yet: Paris rules ask
// for 21,000 and 175,000.
const (
	transferGas = 30_000
	deployGas   = 400_000
)

// poll is how often a transaction that was sent is looked for.
const poll = 200 * time.Millisecond

// patience is how many questions in a row an endpoint may leave unanswered
// while a transaction is waited for.
const patience = 20

// Deployment is what Deploy found or made.
type Deployment struct {
	ChainID  int64
	Contract record.Account
	Account  record.Account
	Tx       record.Hash // zero if the contract stood there already
}

// Deploy puts the contract at its address, unless it stands there, and waits
// until it is included. Where the chain lacks the CREATE2 factory, it sets that
// up first. It may be run again after any failure.
//
// The error is of kind Unavailable, and names account and amount, when the
// account can't pay.
func (c *Chain) Deploy(ctx context.Context) (Deployment, error) {
	// One endpoint for all steps: another might not know yet what this one did.
	e, err := first(ctx, c, func(ctx context.Context, e *endpoint) (*endpoint, error) { return e, nil })
	if err != nil {
		return Deployment{}, err
	}
	d := Deployment{Contract: c.contract.address, Account: c.account()}
	if d.ChainID, err = e.chain(ctx); err != nil {
		return Deployment{}, err
	}
	head, err := e.latest(ctx)
	if err != nil {
		return Deployment{}, err
	}
	stands, err := c.deployed(ctx, e, head)
	if err != nil || stands {
		return d, err
	}
	if err := c.ensureFactory(ctx, e, head); err != nil {
		return Deployment{}, err
	}
	s := salt()
	d.Tx, err = c.transact(ctx, e, call{to: factory(), data: append(s[:], c.contract.initCode...)})
	if err != nil {
		return Deployment{}, err
	}
	return d, c.confirm(ctx, e, d.Tx)
}

// confirm waits until the newest block shows the contract that the transaction
// made.
func (c *Chain) confirm(ctx context.Context, e *endpoint, tx record.Hash) error {
	return e.appears(ctx, tx, c.contract.address, func(at block) (bool, error) { return c.deployed(ctx, e, at) })
}

// appears waits until the newest block shows what a transaction that is in a
// block put at the address: a node may tell of a receipt a moment before its
// newest block is the one that has it.
func (e *endpoint) appears(ctx context.Context, tx record.Hash, address record.Account, there func(block) (bool, error)) error {
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for range patience {
		head, err := e.latest(ctx)
		if err != nil {
			return err
		}
		if stands, err := there(head); err != nil || stands {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return record.Errorf(record.Unavailable, "transaction %s is in a block, but nothing stands at %s", tx, address)
}

func (c *Chain) ensureFactory(ctx context.Context, e *endpoint, head block) error {
	stands, err := e.hasCode(ctx, factory(), mustHex(factoryCode), head)
	if err != nil || stands {
		return err
	}
	// Sent before its sender has coin, so that a node that takes no
	// transactions of this sort costs nothing: it says so first.
	err = e.sendFactory(ctx)
	if verdictOf(err) == noCoin {
		if err := c.fundFactory(ctx, e); err != nil {
			return err
		}
		err = e.sendFundedFactory(ctx)
	}
	if err != nil && verdictOf(err) != known {
		return record.WithHint(
			record.Errorf(record.Unavailable, "the chain has no CREATE2 factory at %s, and the node refuses the transaction that makes it: %w", factory(), err),
			"let the node take transactions without a chain id for this once (geth: --rpc.allow-unprotected-txs), or put the factory into the chain's genesis")
	}
	tx := record.Hash(crypto.Keccak256(mustHex(factoryTransaction)))
	if err := e.wait(ctx, tx); err != nil {
		return err
	}
	return e.appears(ctx, tx, factory(), func(at block) (bool, error) { return e.hasCode(ctx, factory(), mustHex(factoryCode), at) })
}

func (e *endpoint) sendFactory(ctx context.Context) error {
	return e.call(ctx, nil, "eth_sendRawTransaction", factoryTransaction)
}

// sendFundedFactory tries again for a while: a node's pool may lag behind the
// block that brought the coin.
func (e *endpoint) sendFundedFactory(ctx context.Context) (err error) {
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for range patience {
		if err = e.sendFactory(ctx); verdictOf(err) != noCoin {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return err
		}
	}
	return err
}

// fundFactory sends the factory's deployer what it lacks.
func (c *Chain) fundFactory(ctx context.Context, e *endpoint) error {
	deployer, err := record.ParseAccount(factoryDeployer)
	if err != nil {
		return err
	}
	has, err := e.balance(ctx, deployer)
	if err != nil {
		return err
	}
	lacks := new(big.Int).Sub(big.NewInt(factoryCost), has)
	head, err := e.latest(ctx)
	if err != nil {
		return err
	}
	p, err := c.price(ctx, e, head)
	if err != nil {
		return err
	}
	// All that deploying will cost, so that it fails before any of it is spent.
	total := new(big.Int).Add(lacks, cost(transferGas+deployGas, p))
	if err := c.afford(ctx, e, total); err != nil {
		return err
	}
	_, err = c.transact(ctx, e, call{to: deployer, value: lacks})
	return err
}

func cost(gas int64, p price) *big.Int {
	return new(big.Int).Mul(big.NewInt(gas), big.NewInt(p.fee))
}

// transact sends a transaction and waits until it is in a block.
func (c *Chain) transact(ctx context.Context, e *endpoint, do call) (record.Hash, error) {
	head, err := e.latest(ctx)
	if err != nil {
		return record.Hash{}, err
	}
	p, err := c.price(ctx, e, head)
	if err != nil {
		return record.Hash{}, err
	}
	gas, err := c.estimate(ctx, e, do)
	if err != nil {
		return record.Hash{}, err
	}
	total := cost(gas, p)
	if do.value != nil {
		total.Add(total, do.value)
	}
	if err := c.afford(ctx, e, total); err != nil {
		return record.Hash{}, err
	}
	var nonce quantity
	if err := e.call(ctx, &nonce, "eth_getTransactionCount", c.account(), "pending"); err != nil {
		return record.Hash{}, err
	}
	tx, err := c.sign(ctx, e, do, int64(nonce), gas, p)
	if err != nil {
		return record.Hash{}, err
	}
	if err := c.sendTo(ctx, e, tx); err != nil {
		return record.Hash{}, err
	}
	return tx.Hash, e.wait(ctx, tx.Hash)
}

// afford fails unless the account holds so much wei.
func (c *Chain) afford(ctx context.Context, e *endpoint, wei *big.Int) error {
	has, err := e.balance(ctx, c.account())
	if err != nil {
		return err
	}
	if has.Cmp(wei) >= 0 {
		return nil
	}
	return c.tooPoor(has, wei)
}

// receipt is what is read of a transaction's receipt.
type receipt struct {
	Block  *quantity      `json:"blockNumber"`
	Status hexutil.Uint64 `json:"status"`
}

// wait polls until the transaction is in a block.
func (e *endpoint) wait(ctx context.Context, tx record.Hash) error {
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for silent := 0; ; {
		var r *receipt
		err := e.call(ctx, &r, "eth_getTransactionReceipt", tx)
		switch {
		case err == nil && r != nil && r.Block != nil && r.Status == 1:
			return nil
		case err == nil && r != nil && r.Block != nil:
			return record.Errorf(record.Unavailable, "transaction %s failed on the chain", tx)
		case err != nil:
			silent++
		default:
			silent = 0
		}
		if silent > patience {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return record.WithHint(record.Errorf(record.Timeout, "transaction %s is in no block yet: %w", tx, ctx.Err()),
				"it may still be included; run the same again")
		}
	}
}
