package queue_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"dxd/hashanchor"
	"dxd/record"
)

// fakeChain is a chain with one contract and one account, which keeps the word
// of queue.Chain and holds the queue to its own.
type fakeChain struct {
	t testing.TB

	// fault is called before and after each step; its error is returned. So a
	// step can fail without having happened, and after it has.
	fault func(step string, applied bool) error

	// journaled tells whether the queue has journaled a transaction.
	journaled func(hash record.Hash) bool

	mu      sync.Mutex // guards what follows
	where   hashanchor.Anchor
	blocks  []block // from number 1
	fork    int     // counts reorgs, so that blocks of two forks differ
	depth   int     // finality
	pool    map[int64]hashanchor.Transaction
	mined   []hashanchor.Transaction
	made    map[record.Hash]record.Hash // hash of a prepared transaction → root
	foreign int64                       // nonces that something else used
	ceiling int64                       // the highest fee
	least   int64                       // the fee that a block takes
	asked   int64                       // the fee that the node asks for
	floor   int64                       // the fee below which the node refuses a transaction
	balance int64
	sends   int
	prepare []hashanchor.Transaction

	// How the node lies or is wrong.
	behind int   // blocks that it does not know
	deaf   bool  // takes transactions and forgets them
	lost   int   // answers to Send that do not arrive
	away   bool  // does not answer at all
	ahead  int64 // added to the account's nonce
	hides  bool  // denies every root
	leaps  int64 // added to the head and to what it calls final

	stateless map[record.Hash]bool // roots of which it gives no state proof; set before it is asked

	before func(c *fakeChain) // called before each block, under the lock
}

// block holds the roots that it anchored, and how far the nonce is after it.
type block struct {
	roots []record.Hash
	nonce int64
	hash  record.Hash
	time  int64
}

func newChain(t testing.TB) *fakeChain {
	return &fakeChain{
		t:         t,
		where:     hashanchor.Anchor{ChainID: 1337, Contract: record.Account{0xc0}, Account: record.Account{0xac}},
		fault:     func(string, bool) error { return nil },
		journaled: func(record.Hash) bool { return true },
		blocks:    []block{{hash: record.Hash{1}, time: 1}},
		depth:     2, pool: map[int64]hashanchor.Transaction{}, made: map[record.Hash]record.Hash{},
		ceiling: 1000, least: 1, balance: 1,
	}
}

func (c *fakeChain) head() block { return c.blocks[len(c.blocks)-1] }

// shown are the blocks that the node shows.
func (c *fakeChain) shown() []block { return c.blocks[:max(1, len(c.blocks)-c.behind)] }

// mine makes a block of all that the pool holds and the block takes.
func (c *fakeChain) mine() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.before != nil {
		c.before(c)
	}
	b := block{nonce: c.head().nonce, time: time.Now().Unix()}
	for {
		tx, ok := c.pool[b.nonce]
		if c.foreign > 0 {
			c.foreign--
			delete(c.pool, b.nonce)
			b.nonce++
			continue
		}
		if !ok || tx.Fee < c.least {
			break
		}
		delete(c.pool, b.nonce)
		c.mined = append(c.mined, tx)
		b.roots = append(b.roots, c.made[tx.Hash])
		b.nonce++
	}
	b.hash = c.hash(b)
	c.blocks = append(c.blocks, b)
}

// reorg takes the newest blocks away and what they held out of every pool.
func (c *fakeChain) reorg(depth int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.takeBack(depth)
}

func (c *fakeChain) takeBack(depth int) {
	c.blocks = c.blocks[:len(c.blocks)-depth]
	c.fork++
	clear(c.pool)
}

// replace puts empty blocks of another fork in the place of the newest ones.
func (c *fakeChain) replace(depth int) {
	c.takeBack(depth)
	for range depth {
		b := block{nonce: c.head().nonce, time: c.head().time + 1}
		b.hash = c.hash(b)
		c.blocks = append(c.blocks, b)
	}
}

func (c *fakeChain) hash(b block) record.Hash {
	return sha256.Sum256(fmt.Append(nil, len(c.blocks), c.fork, b.time))
}

// anchored is how many blocks ago the newest root was anchored, from 1; 0 if
// none was.
func (c *fakeChain) anchored() int {
	for i := len(c.blocks) - 1; i >= 0; i-- {
		if len(c.blocks[i].roots) > 0 {
			return len(c.blocks) - i
		}
	}
	return 0
}

// run mines every second until stop is called.
func (c *fakeChain) run() (stop func()) { return c.runAt(time.Second) }

// runAt mines at a pace until stop is called, but not in the instants in which
// a queue looks that starts now: which of them comes first is open.
func (c *fakeChain) runAt(pace time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var owned sync.WaitGroup
	owned.Go(func() {
		<-time.After(7 * time.Millisecond)
		for tick := time.NewTicker(pace); ; {
			select {
			case <-tick.C:
				c.mine()
			case <-ctx.Done():
				tick.Stop()
				return
			}
		}
	})
	return func() { cancel(); owned.Wait() }
}

// step calls fault around what a method does.
func (c *fakeChain) step(name string, do func() error) error {
	if err := c.fault(name, false); err != nil {
		return err
	}
	c.mu.Lock()
	err := record.Errorf(record.Unavailable, "the chain is away")
	if !c.away {
		err = do()
	}
	c.mu.Unlock()
	if after := c.fault(name, true); after != nil {
		return after
	}
	return err
}

func (c *fakeChain) Where() hashanchor.Anchor {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.where
}

func (c *fakeChain) Head(ctx context.Context) (h hashanchor.Head, err error) {
	err = c.step("head", func() error {
		shown := c.shown()
		final := max(0, len(shown)-1-c.depth)
		b := shown[final]
		h = hashanchor.Head{
			Block: int64(len(shown)), Nonce: shown[len(shown)-1].nonce + c.ahead,
			Final: record.Beacon{ChainID: c.where.ChainID, Block: int64(final + 1), Hash: b.hash, Time: b.time},
		}
		h.Block, h.Final.Block = h.Block+c.leaps, h.Final.Block+c.leaps
		return nil
	})
	return h, err
}

func (c *fakeChain) Lookup(ctx context.Context, a hashanchor.Anchor) (f hashanchor.Found, err error) {
	err = c.step("lookup", func() error {
		shown := c.shown()
		f = hashanchor.Found{Standing: hashanchor.Missing, Head: int64(len(shown))}
		if a.ChainID != c.where.ChainID || a.Contract != c.where.Contract {
			return record.Errorf(record.Invalid, "another chain")
		}
		if a.Account != c.where.Account || c.hides {
			return nil
		}
		for i, b := range shown { // the first wins
			for _, r := range b.roots {
				if r == a.Root && f.Standing == hashanchor.Missing {
					f.Standing, f.Block, f.Time, f.BlockHash = hashanchor.Included, int64(i+1), b.time, b.hash
				}
			}
		}
		if f.Standing == hashanchor.Included && f.Block <= int64(max(1, len(shown)-c.depth)) {
			f.Standing = hashanchor.Final
		}
		return nil
	})
	return f, err
}

func (c *fakeChain) Block(ctx context.Context, number int64) (b record.Beacon, err error) {
	err = c.step("block", func() error {
		shown := c.shown()
		if number < 1 || number > int64(len(shown)) {
			return record.Errorf(record.NotFound, "no block %d", number)
		}
		at := shown[number-1]
		b = record.Beacon{ChainID: c.where.ChainID, Block: number, Hash: at.hash, Time: at.time}
		return nil
	})
	return b, err
}

func (c *fakeChain) Prepare(ctx context.Context, root record.Hash, nonce int64, old hashanchor.Transaction) (tx hashanchor.Transaction, err error) {
	err = c.step("prepare", func() error {
		if old.Hash != (record.Hash{}) && old.Nonce != nonce {
			c.t.Errorf("a replacement under another nonce: %d for %d", nonce, old.Nonce)
		}
		fee := max(1, c.asked, old.Fee+old.Fee/8+1)
		if fee > c.ceiling {
			return record.Errorf(record.Quota, "a fee of %d is above the ceiling", fee)
		}
		raw := fmt.Sprintf("0x%x%x%x", nonce, root, fee)
		tx = hashanchor.Transaction{Nonce: nonce, Hash: sha256.Sum256([]byte(raw)), Fee: fee, Raw: raw}
		c.made[tx.Hash] = root
		c.prepare = append(c.prepare, tx)
		return nil
	})
	return tx, err
}

func (c *fakeChain) Send(ctx context.Context, tx hashanchor.Transaction) error {
	if !c.journaled(tx.Hash) {
		c.t.Errorf("transaction %s is sent before it is journaled", tx.Hash)
	}
	return c.step("send", func() error {
		c.sends++
		if _, ok := c.made[tx.Hash]; !ok || !strings.HasPrefix(tx.Raw, "0x") {
			c.t.Errorf("a transaction that nobody prepared: %+v", tx)
		}
		waiting, taken := c.pool[tx.Nonce]
		switch {
		case c.deaf:
			return nil
		case c.balance < needs:
			return record.Errorf(record.Unavailable, "%w", &hashanchor.ShortError{
				Account: c.where.Account, Holds: big.NewInt(c.balance), Needs: big.NewInt(needs),
			})
		case tx.Fee < c.floor:
			return record.Errorf(record.Refused, "underpriced")
		case tx.Nonce < c.head().nonce:
			return record.Errorf(record.Conflict, "nonce too low")
		case taken && waiting.Hash != tx.Hash && tx.Fee <= waiting.Fee:
			return record.Errorf(record.Conflict, "replacement underpriced")
		}
		c.pool[tx.Nonce] = tx
		if c.lost > 0 {
			c.lost--
			return record.Errorf(record.Unavailable, "no answer in time")
		}
		return nil
	})
}

func (c *fakeChain) Balance(ctx context.Context) (*big.Int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return big.NewInt(c.balance), nil
}

// set changes the chain while nobody looks.
func (c *fakeChain) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

// needs is what the account must hold for a transaction.
const needs = 1

// roots counts how often each root was anchored.
func (c *fakeChain) roots() map[record.Hash]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := map[record.Hash]int{}
	for _, b := range c.blocks {
		for _, r := range b.roots {
			n[r]++
		}
	}
	return n
}

// rec makes the i-th record's id and leaf.
func rec(i int) (record.RecordID, record.Hash) {
	id := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("record"), uint64(i)))
	return id, record.LeafHash(id[:])
}
