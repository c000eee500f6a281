package queue_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"dxd/blobstore"
	"dxd/hashanchor/queue"
)

// seen lists the blocks that anchored something, which is what an observer of
// the chain sees.
func (c *fakeChain) seen() (blocks []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, b := range c.blocks {
		for range b.roots {
			blocks = append(blocks, i)
		}
	}
	return blocks
}

// beat runs a steady queue for half an hour, with so many records a minute,
// and tells what an observer saw.
func beat(t *testing.T, perMinute int) (blocks []int) {
	inMemory(t, func(w *world) {
		w.cfg.Steady, w.cfg.Interval, w.cfg.MaxLeaves = true, time.Minute, 4
		defer w.chain.run()()
		w.start(nil)
		n := 0
		for range 20 {
			<-time.After(time.Minute)
			w.add(n, perMinute)
			n += perMinute
		}
		<-time.After(10 * time.Minute)
		blocks = w.chain.seen()
		if n > 0 {
			w.await(n-1, queue.Final)
		}
		w.check(n)
		w.batches(n)
		w.stop()
	})
	return blocks
}

func TestWithASteadyBeatAnObserverSeesNeitherPausesNorBursts(t *testing.T) {
	idle := beat(t, 0)
	if len(idle) < 29 || len(idle) > 30 {
		t.Errorf("%d anchors in 30 minutes", len(idle))
	}
	for i, b := range idle[1:] {
		if apart := b - idle[i]; apart < 58 || apart > 62 { // a block a second
			t.Errorf("anchors %d and %d are %d blocks apart", i, i+1, apart)
		}
	}
	for _, perMinute := range []int{1, 4, 5} {
		if busy := beat(t, perMinute); !slices.Equal(busy, idle) {
			t.Errorf("with %d records a minute an observer sees anchors in blocks %v, not in %v", perMinute, busy, idle)
		}
	}
}

func TestBlankBatchesLeaveNothingBehind(t *testing.T) {
	in(t, func(w *world) {
		w.cfg.Steady = true
		stop := w.chain.run()
		w.start(nil)
		<-time.After(10 * time.Minute)
		w.restart()
		<-time.After(10 * time.Minute)
		w.chain.set(func() { w.chain.away = true }) // no new ones
		w.stop()
		w.chain.set(func() { w.chain.away = false })
		stop()
		if anchors := len(w.chain.seen()); anchors < 110 {
			t.Errorf("only %d blank batches in 20 minutes", anchors)
		}
		rows := 0
		must(t, w.store.View(context.Background(), func(tx blobstore.ReadTx) error {
			for _, err := range tx.Scan(queue.KeyPrefix, "", false) {
				if err != nil {
					return err
				}
				rows++
			}
			return nil
		}))
		// The tally, the final block, and three rows of each batch that is
		// not final.
		if rows > 2+3*2 {
			t.Errorf("%d rows are left", rows)
		}
	})
}
