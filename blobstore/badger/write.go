package badger

import (
	"context"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"dxd/blobstore"
	"dxd/record"
)

// groupLimit is how many bytes of updates wait for one sync together. An
// update that is larger makes a group of its own.
const groupLimit = 512 << 10

// update is one call of Update that came while another one wrote, which takes it
// along. Its function runs on its own caller's goroutine, so that a panic there
// is that caller's, while the one who writes waits for it.
type update struct {
	turn chan *tx   // from who writes: go ahead with this
	ran  chan bool  // to who writes: done, and whether to keep what was written
	done chan error // from who writes: durable, or why not
}

// Update is blobstore.Journal's. Whoever holds the pen writes, and takes along
// who waits for it: a call that comes alone needs no other goroutine.
func (s *Store) Update(ctx context.Context, fn func(blobstore.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("couldn't update the journal: %w", err)
	}
	u := &update{make(chan *tx), make(chan bool), make(chan error, 1)}
	var err error
	select {
	case <-s.pen:
		err = s.write(u, fn)
	case s.updates <- u:
		err = u.run(fn)
	case <-ctx.Done():
		return fmt.Errorf("couldn't update the journal: %w", ctx.Err())
	case <-s.closing:
		return errClosed()
	}
	// Even a function that failed may have failed over what an earlier
	// update of the group wrote: its caller hears when that is durable.
	if durable := <-u.done; err == nil {
		err = durable
	}
	return err
}

// run runs fn when it is its turn. The one who writes goes on however fn ends.
func (u *update) run(fn func(blobstore.Tx) error) (err error) {
	t := <-u.turn
	keep := false
	defer func() { u.ran <- keep }()
	err = t.run(fn)
	keep = err == nil
	return err
}

func (t *tx) run(fn func(blobstore.Tx) error) error {
	defer func() { t.over = true }()
	return fn(t)
}

// write runs fn, which is u's, and all updates that wait, and commits them
// together. The caller has taken the pen, which write puts back. The error is
// fn's.
func (s *Store) write(u *update, fn func(blobstore.Tx) error) error {
	defer func() { s.pen <- struct{}{} }()
	g := s.newGroup()
	defer g.snap.Discard() // if fn panics
	t := g.begin()
	failed := t.run(fn)
	own, err := g.end(t, failed == nil)
	for u != nil {
		if err == nil && !g.fits(own) {
			// own was read on top of g, and nothing comes between them.
			s.commit(g)
			g = s.newGroup()
		}
		g.add(u, own, err)
		if u = s.waiting(g); u != nil {
			own, err = g.run(u)
		}
	}
	s.commit(g)
	return failed
}

// waiting is the next update if one waits and the group has room.
func (s *Store) waiting(g *group) *update {
	if g.writes.size >= groupLimit {
		return nil
	}
	select {
	case u := <-s.updates:
		return u
	default:
		return nil
	}
}

// group is the updates that become one transaction.
type group struct {
	s       *Store
	free    int64 // bytes on the disk when the group began
	freeErr error
	snap    *badger.Txn
	writes  *layer
	updates []outcome
}

type outcome struct {
	u   *update
	err error
}

func (s *Store) newGroup() *group {
	free, err := freeSpace(s.dir)
	return &group{
		s:       s,
		free:    free,
		freeErr: err,
		snap:    s.db.NewTransactionAt(s.readers.durable(), false),
		writes:  newLayer(),
	}
}

// run gives an update its turn; see end for what it returns.
func (g *group) run(u *update) (*layer, error) {
	t := g.begin()
	u.turn <- t
	return g.end(t, <-u.ran)
}

// begin is what the next update reads and writes.
func (g *group) begin() *tx {
	own := newLayer()
	return &tx{
		reader: reader{seal: g.s.seal, snap: g.snap, layers: []*layer{own, g.writes}},
		own:    own,
	}
}

// end returns what an update wrote, sealed; nothing if it is not to be kept. The
// error is for the caller.
func (g *group) end(t *tx, keep bool) (*layer, error) {
	if !keep {
		return newLayer(), nil
	}
	t.own.sealAll(g.s.seal)
	if err := g.admit(t.own); err != nil {
		return newLayer(), err
	}
	return t.own, nil
}

// admit tells whether an update may be written at all.
func (g *group) admit(own *layer) error {
	if len(own.keys) == 0 {
		return nil
	}
	if err := g.s.usable(); err != nil {
		return err
	}
	if g.freeErr != nil {
		return g.freeErr
	}
	if size, limit := own.size, g.s.db.MaxBatchSize(); size+maxKey >= limit {
		return record.Errorf(record.Invalid, "an update of %d bytes, the journal takes %d at once", size, limit-maxKey)
	}
	if n, limit := len(own.keys), int(g.s.db.MaxBatchCount())-entrySlots; n > limit {
		return record.Errorf(record.Invalid, "an update of %d keys, the journal takes %d at once", n, limit)
	}
	left := g.s.leftByDeletions()
	if own.sets {
		left = g.s.leftByUpdates()
	}
	if g.free-g.writes.size-own.size < left {
		return errFull()
	}
	return nil
}

// fits tells whether the writes can join the group.
func (g *group) fits(own *layer) bool {
	if len(g.writes.keys) == 0 {
		return true
	}
	return g.writes.size+own.size <= groupLimit &&
		len(g.writes.keys)+len(own.keys) <= int(g.s.db.MaxBatchCount())-entrySlots
}

func (g *group) add(u *update, own *layer, err error) {
	g.writes.take(own)
	g.updates = append(g.updates, outcome{u, err})
}

// commit makes a group durable and tells its callers.
func (s *Store) commit(g *group) {
	g.snap.Discard()
	err := s.flush(g.writes)
	if err == nil {
		s.watchers.tell(g.writes)
	}
	for _, o := range g.updates {
		if o.err == nil {
			o.err = err
		}
		o.u.done <- o.err
	}
}

// flush writes a layer to the disk.
func (s *Store) flush(l *layer) error {
	if len(l.keys) == 0 {
		return nil
	}
	// The group before this one may have failed since its updates were admitted,
	// and they may have read what that one wrote.
	if err := s.usable(); err != nil {
		return err
	}
	now := s.readers.durable() + 1
	if err := s.transact(l, now); err != nil {
		return s.fail(err)
	}
	// At this point the writes are durable; a crash before has left either
	// all or none of them. Now views may see them.
	s.db.SetDiscardTs(s.readers.advance(now))
	return nil
}

func (s *Store) transact(l *layer, at uint64) error {
	txn := s.db.NewTransactionAt(at-1, true)
	defer txn.Discard()
	for _, key := range l.keys {
		w := l.writes[key]
		e := badger.NewEntry([]byte(key), w.sealed)
		var err error
		if w.deleted {
			s.deleted.Store(true)
			err = txn.Delete(e.Key)
		} else {
			err = txn.SetEntry(e)
		}
		if err != nil {
			return err
		}
	}
	if err := txn.CommitAt(at, nil); err != nil {
		return err
	}
	s.builders.trim()
	switched, err := s.wal.follow()
	if switched {
		s.room.measure(s.db)
	}
	if err != nil {
		return err
	}
	return s.wal.sync()
}

// fail ends the journal. After a write or a sync that failed, Badger may hold
// part of a transaction in memory and ends the process at the next one; and
// what a later sync says about these pages can't be relied on. Views still
// show what was durable; opening the store anew recovers.
//
// The error is not of kind Full even if the disk is: that would say that
// nothing was written.
func (s *Store) fail(cause error) error {
	err := record.WithHint(record.Errorf(record.Internal, "couldn't write to the journal, which has stopped: %w", cause),
		"see to the disk, then start dxd again; nothing that was confirmed is lost")
	if s.failed.CompareAndSwap(nil, &err) {
		close(s.broken)
	}
	return err
}

// Watchdog returns the error with which the journal has stopped, once it has,
// or nil when ctx ends. A process whose journal takes no more had better end
// and start anew.
func (s *Store) Watchdog(ctx context.Context) error {
	select {
	case <-s.broken:
		return *s.failed.Load()
	case <-ctx.Done():
		return nil
	}
}
