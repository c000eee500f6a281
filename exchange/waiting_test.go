package exchange_test

import (
	"sync/atomic"
	"testing"
	"time"
)

// TestSinceWhenWorkWaitsIsKnown has a message wait first, then a document, and
// then the message in a bundle that is younger than both.
func TestSinceWhenWorkWaitsIsKnown(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	b.halt()
	a.halt()
	begun := time.Now()
	ahead := &atomic.Int64{}
	a.now = func() time.Time { return begun.Add(time.Duration(ahead.Load())) }
	a.wrap = cutEach
	a.start()
	waits := func(want time.Duration) {
		t.Helper()
		since, err := a.WaitingSince(t.Context(), b.keys.Org())
		check(t, err)
		if since.UnixMilli() != begun.Add(want).UnixMilli() {
			t.Errorf("work waits since %s, which is not %s behind the first", since, want)
		}
	}
	if since, err := a.WaitingSince(t.Context(), b.keys.Org()); err != nil || !since.IsZero() {
		t.Errorf("work waits since %s (%v), and there is none", since, err)
	}
	message := a.message("bert", []byte("the first"))
	ahead.Store(int64(time.Hour))
	a.send("bert", []byte("the second"))
	waits(0)
	ahead.Store(int64(2 * time.Hour))
	b.start()
	a.isNumbered(message.ID)
	waits(0)
	_, err := a.Cancel(t.Context(), message.ID)
	check(t, err)
	waits(time.Hour)
}
