//go:build fault

package fault

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"dxd/client"
	"dxd/record"
	"dxd/test/party"
)

// live is a document that is sent while it is read, until it is ended: at a pace
// that a network may have, and which two busy processors can keep.
type live struct {
	to    *party.Org
	id    record.TransferID
	next  time.Time // when more may be read
	given atomic.Int64
	there atomic.Int64 // at the recipient
	ended chan struct{}
	end   func() // closes it and waits; it may be called again
	owned sync.WaitGroup
}

const (
	livePace    = 20 << 20 // bytes a second
	aheadAtMost = 16 << 20 // of the recipient
)

// stream begins to send, and returns when it goes.
func stream(from, to *party.Org) *live {
	to.T.Helper()
	l := &live{to: to, ended: make(chan struct{})}
	l.end = sync.OnceFunc(func() { close(l.ended); l.owned.Wait() })
	to.T.Cleanup(l.end)
	l.owned.Go(func() {
		_, err := from.Send(to.T.Context(), client.Submission{To: []string{to.Alias}, Name: "live.bin", Stream: true}, l, -1)
		if err != nil {
			to.T.Errorf("the live transfer: %v", err)
		}
	})
	party.Until(to.T, "a live transfer", func() string {
		all := to.AllTransfers()
		if len(all) != 1 {
			return "none"
		}
		l.id = all[0].ID
		return ""
	})
	l.owned.Go(func() {
		for l.waits() {
			if v, err := to.Transfer(to.T.Context(), l.id); err == nil {
				l.there.Store(v.BytesDone)
			}
		}
	})
	party.Until(to.T, "a live transfer at its pace", func() string {
		if n := l.there.Load(); n < 2*aheadAtMost {
			return fmt.Sprint(n, " bytes")
		}
		return ""
	})
	return l
}

// waits is for a moment, and tells whether it goes on.
func (l *live) waits() bool {
	moment := time.NewTimer(10 * time.Millisecond)
	defer moment.Stop()
	select {
	case <-l.ended:
		return false
	case <-moment.C:
		return true
	}
}

// Read gives what its pace and the recipient allow. It does not catch up.
func (l *live) Read(b []byte) (int, error) {
	for time.Now().Before(l.next) || l.given.Load()-l.there.Load() > aheadAtMost {
		if !l.waits() {
			return 0, io.EOF
		}
	}
	select {
	case <-l.ended:
		return 0, io.EOF
	default:
	}
	n := min(len(b), livePace/50)
	l.given.Add(int64(n))
	if behind := time.Since(l.next); behind > 100*time.Millisecond {
		l.next = time.Now()
	}
	l.next = l.next.Add(time.Duration(n) * time.Second / livePace)
	return n, nil
}

// mark is how much was there at some time, and what it had cost the recipient.
type mark struct {
	bytes int64
	used  time.Duration
	at    time.Time
}

func (l *live) mark() mark { return mark{l.there.Load(), l.to.ProcessorTime(), time.Now()} }

// pace is what came in a time: bytes a second, and the recipient's share of one
// processor.
type pace struct{ bytes, share float64 }

func (l *live) since(m mark) pace {
	now := l.mark()
	d := now.at.Sub(m.at).Seconds()
	return pace{float64(now.bytes-m.bytes) / d, (now.used - m.used).Seconds() / d}
}

func (l *live) during(d time.Duration) pace {
	m := l.mark()
	pause(d)
	return l.since(m)
}

func (p pace) String() string {
	return fmt.Sprintf("%.1f MB/s with %.0f %% of a processor", p.bytes/1e6, 100*p.share)
}

// finish ends the document, which has to arrive.
func (l *live) finish() {
	l.to.T.Helper()
	l.end()
	v := l.to.WaitFor(party.Patience, l.id, "delivered")
	if v.State != "received" {
		l.to.T.Errorf("the live transfer is %s", v.State)
	}
}
