// Package queue carries the leaves of signed records to a chain and brings
// proofs back: leaf queue, batch, transaction, proof, all kept in the journal,
// so that a crash, a lost answer, a reorg or a chain that is away loses none.
//
// It never looks into a record, holds no key, and believes no proof that a
// partner sent before the chain has confirmed it. The truth about a batch is
// what the contract says of (account, root), and never what became of one
// transaction: anchoring the same root again is harmless, so whatever is in
// doubt is done once more.
package queue

import (
	"context"
	"log/slog"
	"math/big"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"dxd/blobstore"
	"dxd/hashanchor"
	"dxd/record"
)

// State says how far a record's anchor has come.
type State string

// The states, in their order. A reorg leads from Included back to Submitted.
const (
	Unanchored State = "unanchored" // no chain is configured
	Pending    State = "pending"    // waits for its batch; of a partner's record: no proof that the chain confirmed
	Submitted  State = "submitted"  // its batch is journaled, and so is the transaction
	Included   State = "included"   // the newest block knows the root
	Final      State = "final"      // a final block does; the proof is journaled
)

// Chain is one account on one chain. Unavailable means: ask again later.
type Chain interface {
	Ledger
	Wallet
}

// Ledger is what the queue asks of a chain.
type Ledger interface {
	// Where says chain, contract and account, and asks no one.
	Where() hashanchor.Anchor

	// Head reports how far chain and account have come.
	Head(ctx context.Context) (hashanchor.Head, error)

	// Lookup is that of hashanchor.Chain.
	Lookup(ctx context.Context, a hashanchor.Anchor) (hashanchor.Found, error)

	// StateProof gives checked state proofs of anchors at one final block,
	// with an empty slot for each that this block does not have.
	StateProof(ctx context.Context, anchors []hashanchor.Anchor) (hashanchor.State, error)

	// Block is that of hashanchor.Chain.
	Block(ctx context.Context, number int64) (record.Beacon, error)
}

// Wallet is what the queue needs to anchor a root.
type Wallet interface {
	// Prepare signs a transaction that anchors the root, and sends nothing.
	// If old is not zero, the new one replaces it under the same nonce, for a
	// price that nodes take for it; Quota if that is above the ceiling.
	Prepare(ctx context.Context, root record.Hash, nonce int64, old hashanchor.Transaction) (hashanchor.Transaction, error)

	// Send hands it to the chain; once more is harmless. Conflict: its nonce
	// is taken. Refused: its price is too low. Unavailable: nobody knows, or
	// the account has too little, which a hashanchor.ShortError tells.
	Send(ctx context.Context, tx hashanchor.Transaction) error

	// Balance is what the account has, in wei.
	Balance(ctx context.Context) (*big.Int, error)
}

// The paces of a queue that is configured without them.
const (
	defaultInterval = 10 * time.Second
	defaultMax      = 4096
	defaultStuck    = 3 * time.Minute
	maxPoll         = 2 * time.Second
	minPoll         = 100 * time.Millisecond
	idlePoll        = 30 * time.Second // for the beacon alone
	maxRetry        = 15 * time.Second // between rounds while the chain fails
)

// Config says what a queue works on. Only the journal is needed.
type Config struct {
	Journal   blobstore.Journal
	Chain     Chain         // of the account in use; nil: records stay unanchored for now
	Older     []Chain       // the same chain with accounts that were in use before, newest first
	Interval  time.Duration // after which a batch closes that is not full
	MaxLeaves int           // with which a batch closes at once
	Steady    bool          // a batch closes at each interval, whatever waits, and none in between
	Stuck     time.Duration // after which a transaction is priced anew
	Log       *slog.Logger

	// AccountsOf says which accounts may anchor a record. It is asked only
	// while there are older ones; without it any may.
	AccountsOf AccountsOf

	// OnProof is called in the update that journals a record's proof: one of
	// our own, or one that a partner pushed and the chain confirmed.
	OnProof func(tx blobstore.Tx, p hashanchor.Proof, own bool) error

	// OnState is called in the update that brings a record to Included or
	// Final, or back to Submitted.
	OnState func(tx blobstore.Tx, id record.RecordID, s State) error

	// OnAlarm is called when people have to see to something that the queue
	// can't mend: once when it begins, in an update.
	OnAlarm func(tx blobstore.Tx, text string) error

	// Passed is called when a commit point has been passed: "C3", "C4".
	Passed func(point string)
}

// Queue runs the anchoring of one organisation.
type Queue struct {
	Config

	// Run's alone:
	retry  *backoff.ExponentialBackOff
	sent   map[int64]time.Time // when this process last sent a batch's transaction
	next   blobstore.Key       // where the next look at pushed proofs begins
	behind bool                // an alarm was raised that it is below that now
	blind  bool                // it was logged that blocks can't be compared
	short  bool                // an alarm was raised that an account has too little

	lacking    blobstore.Key // where the next look at anchors without a state proof begins
	states     time.Time     // when state proofs are asked for again
	stateFault string        // why there were none, as it was logged

	mu     sync.Mutex // guards what follows
	beacon record.Beacon
	final  record.Beacon // the highest block that the chain has called final; zero if none. Run alone writes it
	fault  error         // what keeps the queue from going on, nil if nothing does
}

// Open makes a queue. It asks neither journal nor chain; Run does.
func Open(cfg Config) *Queue {
	if cfg.Interval <= 0 {
		cfg.Interval = defaultInterval
	}
	if cfg.MaxLeaves <= 0 {
		cfg.MaxLeaves = defaultMax
	}
	if cfg.Stuck <= 0 {
		cfg.Stuck = defaultStuck
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.OnProof == nil {
		cfg.OnProof = func(blobstore.Tx, hashanchor.Proof, bool) error { return nil }
	}
	if cfg.OnState == nil {
		cfg.OnState = func(blobstore.Tx, record.RecordID, State) error { return nil }
	}
	if cfg.OnAlarm == nil {
		cfg.OnAlarm = func(blobstore.Tx, string) error { return nil }
	}
	if cfg.Passed == nil {
		cfg.Passed = func(string) {}
	}
	retry := backoff.NewExponentialBackOff()
	retry.MaxInterval = maxRetry
	return &Queue{Config: cfg, retry: retry, sent: map[int64]time.Time{}}
}

// Beacon is the last final block that is known, zero if none is. It never
// blocks.
func (q *Queue) Beacon() record.Beacon {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.beacon
}

// Final is the highest block that the chain has called final, as far as the
// queue remembers; zero if it knows none. The beacon is below it while the
// chain, or its endpoint, is. It never blocks.
func (q *Queue) Final() record.Beacon {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.final
}

func (q *Queue) setFinal(b record.Beacon) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.final = b
}

func (q *Queue) setBeacon(b record.Beacon) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.beacon = b
}

// setFault remembers what Status tells, and logs it when it is new.
func (q *Queue) setFault(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err != nil && (q.fault == nil || q.fault.Error() != err.Error()) {
		q.Log.Warn("anchoring waits", "error", err)
	}
	q.fault = err
}

// Status is how the queue stands.
type Status struct {
	ChainID  int64
	Contract record.Account
	Account  record.Account
	Balance  *big.Int // wei; nil if it could not be asked
	Older    []Purse  // accounts that were in use before, as long as they are needed

	Unanchored, Pending, Submitted, Included, Final int64 // records

	Error string // what keeps the queue from going on
}

// Status counts without reading every record.
func (q *Queue) Status(ctx context.Context) (s Status, err error) {
	err = q.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		s = Status{}
		return s.count(tx)
	})
	if err != nil {
		return Status{}, err
	}
	q.mu.Lock()
	fault := q.fault
	q.mu.Unlock()
	if q.Chain != nil {
		where := q.Chain.Where()
		s.ChainID, s.Contract, s.Account = where.ChainID, where.Contract, where.Account
		var asked error
		if s.Balance, asked = q.Chain.Balance(ctx); fault == nil {
			fault = asked
		}
		if s.Older, asked = q.purses(ctx); fault == nil {
			fault = asked
		}
	}
	if fault != nil {
		s.Error = fault.Error()
	}
	return s, nil
}

func (s *Status) count(tx blobstore.ReadTx) error {
	t, err := getTally(tx)
	if err != nil {
		return err
	}
	s.Final = t.Final
	if waiting := t.Leaves - t.Closed; t.Chain {
		s.Pending = waiting
	} else {
		s.Unanchored = waiting
	}
	open, err := openBatches(tx)
	for _, b := range open {
		if b.State == Submitted {
			s.Submitted += b.records()
		} else {
			s.Included += b.records()
		}
	}
	return err
}
