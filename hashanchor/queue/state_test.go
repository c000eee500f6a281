package queue_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"dxd/blobstore"
	"dxd/hashanchor"
	"dxd/hashanchor/queue"
	"dxd/record"
)

// StateProof has a slot for each root that is final.
func (c *fakeChain) StateProof(ctx context.Context, anchors []hashanchor.Anchor) (s hashanchor.State, err error) {
	err = c.step("state", func() error {
		s = hashanchor.State{Header: []byte{1}, Account: [][]byte{{2}}}
		return nil
	})
	for _, a := range anchors {
		f, lookup := c.Lookup(ctx, a)
		if lookup != nil || c.stateless[a.Root] || f.Standing != hashanchor.Final {
			s.Slots = append(s.Slots, nil)
			continue
		}
		s.Slots = append(s.Slots, [][]byte{a.Root[:]})
	}
	return s, err
}

// states counts the anchors that have a state proof, and those that lack one.
func (w *world) states() (kept, wanted int) {
	count := func(prefix blobstore.Key) (n int) {
		must(w.t, w.store.View(context.Background(), func(tx blobstore.ReadTx) error {
			n = 0
			for _, err := range tx.Scan(prefix, "", false) {
				if err != nil {
					return err
				}
				n++
			}
			return nil
		}))
		return n
	}
	return count("q/s/"), count("q/w/")
}

// awaitStates waits until there are so many of both.
func (w *world) awaitStates(kept, wanted int) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	changed := w.store.Watch(ctx, queue.KeyPrefix)
	for {
		k, n := w.states()
		if k == kept && n == wanted {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			w.t.Fatalf("after an hour %d state proofs are kept and %d wanted, not %d and %d", k, n, kept, wanted)
		}
	}
}

func TestTheStateProofOfAFinalBatchIsKept(t *testing.T) {
	in(t, func(w *world) {
		w.add(0, 5)
		w.start(nil)
		defer func() { w.stop() }()
		defer w.chain.run()()
		w.await(4, queue.Final)
		w.awaitStates(1, 0)
		w.add(5, 1)
		w.await(5, queue.Final)
		w.awaitStates(2, 0)
	})
}

func TestTheStateProofOfAPartnersAnchorIsKeptOnce(t *testing.T) {
	in(t, func(w *world) {
		p := w.partnerProof(1, w.chain.where.Account)
		must(t, w.receive(p))
		w.start(nil)
		defer w.stop()
		defer w.chain.run()()
		w.await(1, queue.Final)
		w.awaitStates(1, 0)
	})
}

func TestAnEndpointWithoutStateProofsHoldsUpNothing(t *testing.T) {
	in(t, func(w *world) {
		var refuse atomic.Bool
		var asked atomic.Int64
		refuse.Store(true)
		w.chain.fault = func(step string, applied bool) error {
			if step != "state" || applied {
				return nil
			}
			if asked.Add(1); refuse.Load() {
				return record.Errorf(record.Unavailable, "the method does not exist")
			}
			return nil
		}
		w.add(0, 3)
		w.start(nil)
		defer func() { w.stop() }()
		defer w.chain.run()()
		w.await(2, queue.Final)
		w.awaitStates(0, 1)
		if s, err := w.queue.Status(t.Context()); err != nil || s.Error != "" {
			t.Errorf("anchoring waits: %+v, %v", s, err)
		}
		time.Sleep(10 * time.Minute) // virtual
		if n := asked.Load(); n > 11 {
			t.Errorf("it was asked %d times in ten minutes", n)
		}
		w.restart() // what is wanted survives
		refuse.Store(false)
		w.awaitStates(1, 0)
		w.check(3)
	})
}

func TestAnchorsWhoseStateProofCantBeHadHideNoOthers(t *testing.T) {
	in(t, func(w *world) {
		w.chain.stateless = map[record.Hash]bool{}
		for i := range 80 {
			p := w.partnerProof(i, w.chain.where.Account)
			w.chain.stateless[p.Anchor.Root] = i < 60
			must(t, w.receive(p))
		}
		w.start(nil)
		defer w.stop()
		defer w.chain.run()()
		w.awaitStates(20, 60)
	})
}
