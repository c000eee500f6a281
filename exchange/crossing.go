package exchange

import (
	"sync"
	"time"

	"dxd/record"
)

// Messages have the right of way: when this node works on one, documents that
// are on their way in or out stand aside. Both would else share cores and disk
// as equals, and a message of a few bytes wait behind the megabytes that were
// written just before it.
const (
	// standAside is how long one message, or another right behind it, has
	// documents stand aside at most: one that waits for a slow partner, or
	// for one that wants to do harm, holds up nobody longer.
	standAside = 25 * time.Millisecond

	// linger is how long they stay there when the message is through: an
	// application that waits for one before it sends the next comes back within
	// that time, and would else meet what got in between.
	linger = 3 * time.Millisecond

	// stretch is what a document moves after it has stood aside that long.
	// With it, it moves 40 MB in a second however many messages there are.
	stretch = 1 << 20
)

// crossing is where the messages and documents of this node meet.
type crossing struct {
	mu    sync.Mutex    // guards what follows
	busy  int           // messages that are worked on, or were a moment ago
	until time.Time     // documents stand aside no longer
	clear chan struct{} // closed when no message is worked on any more
}

// enter has documents stand aside until leave is called, or for standAside.
func (c *crossing) enter() (leave func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy == 0 {
		c.clear = make(chan struct{})
	}
	c.busy++
	c.until = time.Now().Add(standAside)
	return func() { time.AfterFunc(linger, c.leave) }
}

func (c *crossing) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy--; c.busy == 0 {
		close(c.clear)
	}
}

// occupied tells for how long documents are to stand aside, and of a channel
// that is closed if that turns out to be too long.
func (c *crossing) occupied() (time.Duration, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy == 0 {
		return 0, nil
	}
	return time.Until(c.until), c.clear
}

// crosser is a payload that meets messages on its way.
type crosser struct {
	*crossing
	document bool
	free     int // bytes that it moves before it looks again
}

func (c *crossing) crosser(kind record.ItemKind) *crosser {
	return &crosser{crossing: c, document: kind == record.Document}
}

// cross waits until n more bytes may move.
func (c *crosser) cross(n int) {
	c.free = max(0, c.free-n)
	if !c.document || c.free > 0 {
		return
	}
	wait, clear := c.occupied()
	if wait <= 0 {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-clear:
	case <-timer.C:
		c.free = stretch
	}
}
