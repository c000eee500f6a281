package event

import (
	"sync"

	"dxd/blobstore"
	"dxd/record"
)

// Tally counts for each organisation the documents and messages that came from
// it, and that not every subscription has acknowledged. It is in memory and
// follows the log: what it has counted it reads only once more, when that is
// acknowledged. Without subscriptions nothing waits to be. The zero value is
// ready, and its method may be called by several goroutines.
type Tally struct {
	mu       sync.Mutex // guards what follows
	from, to int64      // counted are the events behind from, up to to
	of       map[record.OrgID]int64
}

// Unacknowledged counts what came from the organisation, as of this
// transaction or one that was newer.
func (t *Tally) Unacknowledged(tx blobstore.ReadTx, org record.OrgID) (int64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.follow(tx); err != nil {
		t.of = nil // and the next one begins anew
		return 0, err
	}
	return t.of[org], nil
}

// follow is called with mu held.
func (t *Tally) follow(tx blobstore.ReadTx) error {
	last, err := number(tx, keyLast)
	if err != nil {
		return err
	}
	acked, err := acknowledged(tx, last)
	if err != nil {
		return err
	}
	gone, err := number(tx, keyGone)
	if err != nil {
		return err
	}
	switch {
	case t.of == nil || acked < t.from || acked > t.to || gone > t.from:
		t.from, t.to, t.of = acked, acked, map[record.OrgID]int64{}
	case last < t.to:
		return nil // an older transaction than the last one
	}
	if err := t.count(tx, t.from, acked, -1); err != nil {
		return err
	}
	if err := t.count(tx, t.to, last, 1); err != nil {
		return err
	}
	t.from, t.to = acked, last
	return nil
}

// acknowledged is the last event that every subscription is done with.
func acknowledged(tx blobstore.ReadTx, last int64) (int64, error) {
	all, err := subscriptions(tx)
	for _, s := range all {
		last = min(last, s.Acked)
	}
	return last, err
}

// count adds n for each event behind from, up to to.
func (t *Tally) count(tx blobstore.ReadTx, from, to, n int64) error {
	if from >= to {
		return nil
	}
	end := logKey(to)
	for entry, err := range tx.Scan(prefixLog, logKey(from+1), false) {
		if err != nil {
			return err
		}
		if entry.Key > end {
			break
		}
		e, err := decode(entry)
		if err != nil {
			return err
		}
		if e.Type == DocumentReceived || e.Type == MessageReceived {
			t.of[e.Partner] += n
		}
	}
	return nil
}
