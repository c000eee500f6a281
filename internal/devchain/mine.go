package devchain

import (
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/core"
)

// interval is how long the chain is ever without a new block.
const interval = time.Second

// maxLead is how far the head's time may run ahead of the clock before blocks
// on demand wait for the next tick: each block is at least a second younger
// than its parent, so bursts of blocks run into the future.
const maxLead = 5 * time.Second

// mine makes blocks until Close: as soon as transactions arrive, and when
// nothing came for an interval.
func (c *Chain) mine() {
	arrived := make(chan core.NewTxsEvent, 16)
	sub := c.eth.TxPool().SubscribeTransactions(arrived, true)
	defer sub.Unsubscribe()
	tick := time.NewTimer(interval)
	defer tick.Stop()
	for {
		onDemand := false
		select {
		case <-c.stop:
			return
		case <-arrived:
			onDemand = true
		case <-tick.C:
		}
		mined, err := c.step(onDemand)
		if err != nil {
			c.log.Error("couldn't make a block", "error", err)
		}
		if mined || !onDemand {
			tick.Reset(interval)
		}
	}
}

// step makes the block that is due, unless the chain is paused.
func (c *Chain) step(onDemand bool) (mined bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paused || onDemand && (c.idle() || c.lead() > maxLead) {
		return false, nil
	}
	return true, c.commit()
}

// idle tells that no transaction waits: a block on another's behalf took it.
func (c *Chain) idle() bool {
	pending, _ := c.eth.TxPool().Stats()
	return pending == 0
}

// lead is how far the head is ahead of the clock.
func (c *Chain) lead() time.Duration {
	return time.Until(time.Unix(int64(c.eth.BlockChain().CurrentBlock().Time), 0))
}

// commit makes one block. When it returns nil, the block survives kill -9 and
// a loss of power.
func (c *Chain) commit() error {
	before := c.eth.BlockChain().CurrentBlock().Number.Uint64()
	c.beacon.Commit() // tells of a failure only in go-ethereum's own log
	if after := c.eth.BlockChain().CurrentBlock().Number.Uint64(); after != before+1 {
		return fmt.Errorf("couldn't add a block to block %d: the head is %d", before, after)
	}
	if err := c.eth.ChainDb().SyncKeyValue(); err != nil {
		return fmt.Errorf("couldn't sync the chain's database: %w", err)
	}
	if err := c.eth.TxPool().Sync(); err != nil {
		return fmt.Errorf("couldn't settle the transaction pool: %w", err)
	}
	return nil
}

// Mine makes n blocks at once, paused or not.
func (c *Chain) Mine(n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for range n {
		if err := c.commit(); err != nil {
			return err
		}
	}
	return nil
}

// Pause stops the making of blocks but by Mine and Reorg. A block that is being
// made is finished first.
func (c *Chain) Pause() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paused = true
}

// Resume undoes Pause.
func (c *Chain) Resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paused = false
}

// Reorg replaces the newest depth blocks by depth+1 others, as a chain does
// when its validators had disagreed. The transactions of the blocks that fall
// away go into the first new block, or nowhere if drop is set; waiting ones
// are forgotten.
func (c *Chain) Reorg(depth int, drop bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	head := c.eth.BlockChain().CurrentBlock().Number.Uint64()
	if depth < 1 || uint64(depth) > head {
		return fmt.Errorf("couldn't take back %d of %d blocks", depth, head)
	}
	c.beacon.Rollback() // Fork refuses while a transaction waits
	if err := c.beacon.Fork(c.eth.BlockChain().GetCanonicalHash(head - uint64(depth))); err != nil {
		return fmt.Errorf("couldn't take back %d blocks: %w", depth, err)
	}
	if err := c.eth.TxPool().Sync(); err != nil {
		return fmt.Errorf("couldn't settle the transaction pool: %w", err)
	}
	if drop {
		c.beacon.Rollback()
	}
	for range depth + 1 {
		if err := c.commit(); err != nil {
			return err
		}
	}
	return nil
}

// Head is the number of the newest block.
func (c *Chain) Head() int64 { return c.eth.BlockChain().CurrentBlock().Number.Int64() }
