package event

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"time"

	"dxd/blobstore"
	"dxd/record"
)

// Log is the log of events in a journal, with its subscriptions. Its methods
// may be called by several goroutines.
type Log struct {
	Journal blobstore.Journal
	Now     func() time.Time
	Retain  time.Duration // how long events are kept at least; 0: for ever

	mu        sync.Mutex // guards attending
	attending map[string]*attendance
}

// Oldest is the place before the oldest event that is kept.
const Oldest int64 = -1

// Page reads the events behind a number, the oldest first, no more than limit.
// Gone: some of them are not kept any more. Invalid: there never was an event
// with this number, so whoever names it knows another log.
func (l *Log) Page(ctx context.Context, after int64, limit int) (page []Event, err error) {
	err = l.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		from, err := place(tx, after)
		if err != nil {
			return err
		}
		page, err = After(tx, from, limit)
		return err
	})
	return page, err
}

// place gives the number behind which to read.
func place(tx blobstore.ReadTx, after int64) (int64, error) {
	gone, err := number(tx, keyGone)
	if err != nil || after == Oldest {
		return gone, err
	}
	last, err := number(tx, keyLast)
	switch {
	case err != nil:
		return 0, err
	case after < 0:
		return 0, record.Errorf(record.Invalid, "not the number of an event: %d", after)
	case after < gone:
		kept := fmt.Sprintf("the oldest is %d", gone+1)
		if gone == last {
			kept = "there is no later one yet"
		}
		return 0, record.WithHint(record.Errorf(record.Gone, "the events up to %d are not kept any more; %s", gone, kept),
			"a subscription keeps the events that it has not acknowledged")
	case after > last:
		return 0, record.WithHint(record.Errorf(record.Invalid, "there is no event %d yet; the last is %d", after, last),
			"the number is of another log, or this one was put back from an older copy: begin anew")
	}
	return after, nil
}

// After reads the events that are kept behind a number, the oldest first, no
// more than limit.
func After(tx blobstore.ReadTx, seq int64, limit int) ([]Event, error) {
	page := []Event{}
	for entry, err := range tx.Scan(prefixLog, logKey(seq+1), false) {
		if err != nil {
			return nil, err
		}
		if len(page) == limit {
			break
		}
		e, err := decode(entry)
		if err != nil {
			return nil, err
		}
		page = append(page, e)
	}
	return page, nil
}

// decode reads an entry of the log. What does not decode is a journal that
// this version did not write.
func decode(entry blobstore.Entry) (e Event, err error) {
	seq, ok := strings.CutPrefix(string(entry.Key), string(prefixLog))
	if !ok || len(seq) != 8 {
		return e, record.Errorf(record.Damaged, "an event under the key %q", entry.Key)
	}
	if err := record.Unmarshal(entry.Value, &e); err != nil {
		return e, record.Errorf(record.Damaged, "an event: %w", err)
	}
	e.Seq = int64(binary.BigEndian.Uint64([]byte(seq)))
	return e, nil
}

// Reader reads events as they come. It holds nothing but its place, so one
// that is slow is in nobody's way. One goroutine uses it at a time.
type Reader struct {
	log     *Log
	after   int64
	changed <-chan struct{}
}

// Follow reads from behind a number on; ctx bounds all of it. The errors are
// those of Page.
func (l *Log) Follow(ctx context.Context, after int64) (*Reader, error) {
	changed := l.Journal.Watch(ctx, keyLast) // before looking, so that nothing falls between
	err := l.Journal.View(ctx, func(tx blobstore.ReadTx) (err error) {
		after, err = place(tx, after)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &Reader{l, after, changed}, nil
}

// readAhead is how many events a Reader gives at a time.
const readAhead = 256

// Next waits for events and gives those that are there, at least one. After an
// error of ctx it can be called again.
func (r *Reader) Next(ctx context.Context) ([]Event, error) {
	for {
		page, err := r.log.Page(ctx, r.after, readAhead)
		if err != nil {
			return nil, err
		}
		if len(page) > 0 {
			r.after = page[len(page)-1].Seq
			return page, nil
		}
		select {
		case <-r.changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
