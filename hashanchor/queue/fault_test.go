package queue_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

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

// TestWhateverStepFailsEveryRecordBecomesFinal is the fault table: each step,
// not applied and applied, with an error that goes on and with the end of the
// process, then a restart.
func TestWhateverStepFailsEveryRecordBecomesFinal(t *testing.T) {
	const n = 300 // three chunks
	for step, times := range map[string]int{"head": 3, "lookup": 3, "prepare": 1, "send": 1, "update": 8} {
		for nth := range times {
			for _, applied := range []bool{false, true} {
				for _, how := range []string{"fails", "stops"} {
					t.Run(fmt.Sprintf("%s %d %s, applied %v", step, nth+1, how, applied), func(t *testing.T) {
						in(t, func(w *world) {
							w.fall(&stumble{step: step, nth: nth + 1, applied: applied, err: faultOf(step)}, how, n)
						})
					})
				}
			}
		}
	}
}

// faultOf is the error that a step may fail with.
func faultOf(step string) error {
	kind := record.Unavailable
	if step == "update" {
		kind = record.Full
	}
	return record.Errorf(kind, "%w", errStop)
}

func (w *world) fall(s *stumble, how string, n int) {
	s.stop = func() {}
	if how == "stops" {
		s.stop = func() { w.end() }
	}
	w.chain.fault = func(step string, applied bool) error {
		return s.at(step, applied)
	}
	w.chain.depth = 6
	defer w.chain.run()()
	w.add(0, n)
	w.start(stumblingJournal{w.store, s})
	if how == "stops" {
		w.awaitEnd(s, n)
		w.restart()
	}
	w.await(n-1, queue.Final)
	w.await(0, queue.Final)
	w.stop()
	if !s.fell {
		w.t.Errorf("%s never came for the %d. time, so the test says nothing", s.step, s.nth)
	}
	w.chain.fault = func(string, bool) error { return nil }
	w.check(n)
	for root, times := range w.chain.roots() {
		if times != 1 {
			w.t.Errorf("the root %s was paid for %d times", root, times)
		}
	}
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
