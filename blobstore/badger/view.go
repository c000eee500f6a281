package badger

import (
	"context"
	"fmt"
	"sync"

	"dxd/blobstore"
)

// View is blobstore.Journal's.
func (s *Store) View(ctx context.Context, fn func(blobstore.ReadTx) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("couldn't read the journal: %w", err)
	}
	at, ok := s.readers.enter()
	if !ok {
		return errClosed()
	}
	defer s.readers.leave(at)
	snap := s.db.NewTransactionAt(at, false)
	defer snap.Discard()
	r := &reader{seal: s.seal, snap: snap}
	defer func() { r.over = true }()
	return fn(r)
}

// readers knows who reads the journal, and as of when. Times count commits.
type readers struct {
	mu     sync.Mutex // guards all below
	latest uint64     // the last commit that is durable
	active map[uint64]int
	idle   *sync.Cond // told when active becomes empty
	closed bool
}

func (r *readers) open(latest uint64) {
	r.latest, r.active = latest, map[uint64]int{}
	r.idle = sync.NewCond(&r.mu)
}

func (r *readers) durable() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.latest
}

// advance notes a commit, and returns up to when nobody needs old versions.
func (r *readers) advance(to uint64) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.latest = to
	oldest := to
	for at := range r.active {
		oldest = min(oldest, at)
	}
	return oldest
}

func (r *readers) enter() (uint64, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0, false
	}
	r.active[r.latest]++
	return r.latest, true
}

func (r *readers) leave(at uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.active[at]--; r.active[at] == 0 {
		delete(r.active, at)
	}
	if len(r.active) == 0 {
		r.idle.Broadcast()
	}
}

// close lets nobody in any more, and waits until all have left.
func (r *readers) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for len(r.active) > 0 {
		r.idle.Wait()
	}
}
