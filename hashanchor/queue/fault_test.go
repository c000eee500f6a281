package queue_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"dxd/blobstore"
	"dxd/hashanchor/queue"
	"dxd/record"
)

// errStop is what a stopped process would never see.
var errStop = errors.New("stopped here")

// stumble fails the n-th time that a step comes, before or after it happens,
// and stops the queue there if that is asked for.
type stumble struct {
	step    string
	nth     int
	applied bool
	err     error
	stop    func()
	seen    int
	fell    bool
}

func (s *stumble) at(step string, applied bool) error {
	if s.fell || step != s.step || applied != s.applied {
		return nil
	}
	if s.seen++; s.seen < s.nth {
		return nil
	}
	s.fell = true
	s.stop()
	return s.err
}

// stumblingJournal is a journal whose updates fail, before or after they
// happen. The one goroutine of the queue is the only one that updates it.
type stumblingJournal struct {
	blobstore.Journal
	*stumble
}

func (j stumblingJournal) Update(ctx context.Context, fn func(tx blobstore.Tx) error) error {
	if err := j.at("update", false); err != nil {
		return err
	}
	err := j.Journal.Update(ctx, fn)
	if after := j.at("update", true); after != nil {
		return after
	}
	return err
}

// faultOf is the error that a step may fail with.
func faultOf(step string) error {
	kind := record.Unavailable
	if step == "update" {
		kind = record.Full
	}
	return record.Errorf(kind, "%w", errStop)
}

// awaitEnd waits until the queue was stopped, or is through since the step
// never came so often.
func (w *world) awaitEnd(s *stumble, n int) {
	ended := make(chan struct{})
	go func() { w.owned.Wait(); close(ended) }()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	changed := w.store.Watch(ctx, queue.KeyPrefix)
	for {
		select {
		case <-ended:
			return
		case <-changed:
		}
		if w.state(n-1) == queue.Final && w.state(0) == queue.Final {
			w.end()
			<-ended
			return
		}
	}
}

func TestARowOfANewerVersionEndsTheQueue(t *testing.T) {
	in(t, func(w *world) {
		must(t, w.store.Update(context.Background(), func(tx blobstore.Tx) error {
			return tx.Set("q/t", []byte(`{"leaves":0,"closed":0,"final":0,"chain":true,"shards":2}`))
		}))
		err := queue.Open(queue.Config{Journal: w.store, Chain: w.chain}).Run(context.Background())
		if record.KindOf(err) != record.Damaged {
			t.Errorf("%v", err)
		}
	})
}

func TestAnEndpointThatDeniesARootCostsABoundedNumberOfTransactions(t *testing.T) {
	for name, lie := range map[string]func(c *fakeChain){
		"it denies the root":    func(c *fakeChain) { c.hides = true },
		"it makes nonces up":    func(c *fakeChain) { c.hides = true; c.ahead = int64(len(c.blocks)) },
		"the account is shared": func(c *fakeChain) { c.foreign = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			inMemory(t, func(w *world) {
				w.chain.before = lie
				w.add(0, 1)
				w.start(nil)
				defer func() { w.stop() }()
				defer w.chain.runAt(12 * time.Second)()
				<-time.After(12 * time.Hour)
				var signed int
				w.chain.set(func() { signed = len(w.chain.prepare) })
				if signed > 24 { // 3, then after 3, 6, 12, 24, 48 and each 60 minutes
					t.Errorf("%d transactions in twelve hours", signed)
				}
				if s, err := w.queue.Status(t.Context()); err != nil || s.Error == "" && s.Submitted > 0 {
					t.Errorf("nothing tells of it: %+v, %v", s, err)
				}
				w.chain.set(func() { w.chain.before, w.chain.hides, w.chain.ahead = nil, false, 0 })
				w.await(0, queue.Final)
			})
		})
	}
}
