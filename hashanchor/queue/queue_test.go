package queue_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dxd/blobstore"
	"dxd/hashanchor/queue"
	"dxd/record"
)

func TestRecordsBecomeFinal(t *testing.T) {
	in(t, func(w *world) {
		defer w.chain.run()()
		w.start(nil)
		defer w.stop()
		w.add(0, 5)
		w.add(0, 5) // twice is once
		if s := w.state(0); s != queue.Pending {
			t.Errorf("at first a record is %s", s)
		}
		w.await(0, queue.Submitted)
		w.await(0, queue.Included)
		w.await(4, queue.Final)
		w.check(5)
		if w.queue.Beacon().Hash.IsZero() {
			t.Error("no final block is known")
		}
	})
}

func TestABatchClosesAfterItsInterval(t *testing.T) {
	in(t, func(w *world) {
		w.start(nil)
		defer w.stop()
		synctest.Wait()
		began := time.Now()
		w.add(0, 1)
		w.await(0, queue.Submitted)
		if took := time.Since(began); took < 10*time.Second || took > 11*time.Second {
			t.Errorf("after %v", took)
		}
	})
}

func TestAFullBatchClosesAtOnce(t *testing.T) {
	in(t, func(w *world) {
		w.cfg.MaxLeaves = 8
		w.start(nil)
		defer w.stop()
		synctest.Wait()
		began := time.Now()
		w.add(0, 20)
		w.await(7, queue.Submitted)
		if took := time.Since(began); took > 0 {
			t.Errorf("after %v", took)
		}
		if s := w.state(8); s != queue.Pending {
			t.Errorf("the ninth is %s while a transaction is under way", s)
		}
		defer w.chain.run()()
		w.await(19, queue.Final)
		w.check(20)
	})
}

func TestWithoutAChainRecordsWaitUnanchored(t *testing.T) {
	in(t, func(w *world) {
		w.add(0, 3)
		if s := w.state(0); s != queue.Unanchored {
			t.Errorf("without a chain a record is %s", s)
		}
		s, err := queue.Open(queue.Config{Journal: w.store}).Status(context.Background())
		if must(t, err); s.Unanchored != 3 || s.Error != "" {
			t.Errorf("%+v", s)
		}
		defer w.chain.run()()
		w.start(nil) // now one is configured
		defer w.stop()
		w.await(2, queue.Final)
		w.check(3)
	})
}

func TestALargeBatchTurnsInManyUpdates(t *testing.T) {
	in(t, func(w *world) {
		defer w.chain.run()()
		w.start(nil)
		defer w.stop()
		for i := 0; i < 1000; i += 200 {
			w.add(i, 200)
		}
		w.await(999, queue.Final)
		w.check(1000)
	})
}

func TestAReorgTakesABatchBackAndItComesAgain(t *testing.T) {
	in(t, func(w *world) {
		var seen []queue.State
		w.cfg.OnState = func(tx blobstore.Tx, id record.RecordID, s queue.State) error {
			if id == first(rec(0)) && (len(seen) == 0 || seen[len(seen)-1] != s) {
				seen = append(seen, s)
			}
			return nil
		}
		w.chain.depth = 6
		w.start(nil)
		w.add(0, 2)
		w.await(0, queue.Submitted)
		synctest.Wait() // until it is sent, too
		w.chain.mine()
		w.await(0, queue.Included)
		w.chain.reorg(1)
		w.await(0, queue.Submitted)
		stop := w.chain.run()
		w.await(0, queue.Final)
		stop()
		w.check(2)
		w.stop()
		want := []queue.State{queue.Included, queue.Submitted, queue.Included, queue.Final}
		for i := range want {
			if len(seen) != len(want) || seen[i] != want[i] {
				t.Fatalf("the record went through %v, not %v", seen, want)
			}
		}
	})
}

func TestAReorgOfSeveralBatchesLosesNone(t *testing.T) {
	in(t, func(w *world) {
		w.chain.depth, w.cfg.MaxLeaves = 10, 2
		w.start(nil)
		defer w.stop()
		for i := 0; i < 6; i += 2 {
			w.add(i, 2)
			w.await(i, queue.Submitted)
			synctest.Wait() // until it is sent, too
			w.chain.mine()
			w.await(i, queue.Included)
		}
		w.chain.reorg(3)
		w.await(5, queue.Submitted)
		defer w.chain.run()()
		for i := range 6 {
			w.await(i, queue.Final)
		}
		w.check(6)
	})
}

func TestANonceThatSomethingElseUsedCostsOneMoreTransaction(t *testing.T) {
	in(t, func(w *world) {
		w.start(nil)
		defer w.stop()
		w.add(0, 1)
		w.await(0, queue.Submitted)
		w.chain.set(func() { w.chain.foreign = 2 })
		defer w.chain.run()()
		w.await(0, queue.Final)
		w.check(1)
	})
}

func TestAStuckTransactionIsPricedAnewUpToTheCeiling(t *testing.T) {
	in(t, func(w *world) {
		w.chain.least, w.chain.ceiling = 4, 4
		w.start(nil)
		defer w.stop()
		defer w.chain.run()()
		w.add(0, 1)
		w.await(0, queue.Final)
		w.check(1)
		w.chain.set(func() { w.chain.least = 5 })
		w.add(1, 1)
		w.await(1, queue.Submitted)
		<-time.After(30 * time.Minute)
		if s, err := w.queue.Status(t.Context()); err != nil || s.Submitted != 1 || s.Error == "" {
			t.Errorf("above the ceiling: %+v, %v", s, err)
		}
		w.chain.set(func() { w.chain.least = 1 })
		w.await(1, queue.Final)
	})
}

func TestTooLittleBalanceIsToldAndMendedByMoney(t *testing.T) {
	in(t, func(w *world) {
		w.chain.balance = 0
		w.start(nil)
		defer w.stop()
		defer w.chain.run()()
		w.add(0, 1)
		w.await(0, queue.Submitted)
		<-time.After(time.Minute)
		s, err := w.queue.Status(t.Context())
		if must(t, err); !strings.Contains(s.Error, "holds 0 of the chain's coin (ether), and needs up to 0.000000000000000001") || s.Balance.Sign() != 0 || s.Submitted != 1 {
			t.Errorf("%+v", s)
		}
		w.chain.set(func() { w.chain.balance = 1 })
		w.await(0, queue.Final)
		if s, err := w.queue.Status(t.Context()); err != nil || s.Error != "" {
			t.Errorf("afterwards: %+v, %v", s, err)
		}
	})
}

func TestAChainThatIsAwayIsAskedAgainLessAndLessOften(t *testing.T) {
	in(t, func(w *world) {
		asked := 0
		down := true
		w.chain.fault = func(step string, applied bool) error {
			w.chain.mu.Lock()
			defer w.chain.mu.Unlock()
			if asked++; down {
				return record.Errorf(record.Unavailable, "the chain is away")
			}
			return nil
		}
		w.start(nil)
		defer w.stop()
		w.add(0, 1)
		<-time.After(time.Hour)
		w.chain.set(func() {
			if asked < 60 || asked > 600 {
				t.Errorf("asked %d times in an hour", asked)
			}
			down = false
		})
		if s := w.state(0); s != queue.Pending {
			t.Errorf("meanwhile the record is %s", s)
		}
		defer w.chain.run()()
		w.await(0, queue.Final)
		w.check(1)
	})
}

func TestAnotherChainInTheConfigurationBeginsOpenBatchesAgain(t *testing.T) {
	in(t, func(w *world) {
		w.start(nil)
		w.add(0, 1)
		w.await(0, queue.Submitted)
		w.stop()
		w.chain = newChain(t)
		w.chain.journaled = w.journaled
		w.chain.where.ChainID = 5
		w.start(nil)
		defer w.stop()
		defer w.chain.run()()
		w.await(0, queue.Final)
		w.check(1)
	})
}

// TestWhatWasPaidOnAnotherChainHoldsNothingUp has a batch use up nonces on one
// chain until it pauses, and one on the next.
func TestWhatWasPaidOnAnotherChainHoldsNothingUp(t *testing.T) {
	inMemory(t, func(w *world) {
		w.chain.before = func(c *fakeChain) { c.foreign = 1 }
		w.add(0, 1)
		w.start(nil)
		stop := w.chain.runAt(12 * time.Second)
		<-time.After(time.Hour)
		stop()
		w.stop()
		w.chain = newChain(t)
		w.chain.journaled = w.journaled
		w.chain.where.ChainID = 5
		w.chain.foreign = 1
		w.start(nil)
		defer w.stop()
		defer w.chain.run()()
		<-time.After(2 * time.Minute)
		if s := w.state(0); s != queue.Final {
			t.Errorf("after two minutes the record is %s", s)
		}
	})
}

func TestAnIdleQueueAsksSeldom(t *testing.T) {
	in(t, func(w *world) {
		asked := 0
		w.chain.fault = func(step string, applied bool) error {
			w.chain.mu.Lock()
			defer w.chain.mu.Unlock()
			if !applied {
				asked++
			}
			return nil
		}
		w.start(nil)
		defer w.stop()
		<-time.After(time.Hour)
		w.chain.set(func() {
			if asked > 130 {
				t.Errorf("asked %d times in an hour", asked)
			}
		})
	})
}

func TestTheLastFinalBlockIsKnownWhileTheChainIsAway(t *testing.T) {
	in(t, func(w *world) {
		stop := w.chain.run()
		w.start(nil)
		defer func() { w.stop() }()
		w.add(0, 1)
		w.await(0, queue.Final)
		stop()
		w.chain.set(func() { w.chain.away = true })
		w.restart()
		synctest.Wait()
		b := w.queue.Beacon()
		w.chain.set(func() { w.chain.away = false })
		if there, err := w.chain.Block(t.Context(), b.Block); err != nil || there != b {
			t.Errorf("after a restart records name %+v, and the chain has %+v there (%v)", b, there, err)
		}
		w.stop()
		w.chain.set(func() { w.chain.where.ChainID, w.chain.away = 5, true })
		w.start(nil)
		synctest.Wait()
		if b := w.queue.Beacon(); b != (record.Beacon{}) {
			t.Errorf("on another chain they name %+v", b)
		}
	})
}

func TestTheHighestFinalBlockIsKnownWhileAnEndpointIsBehind(t *testing.T) {
	in(t, func(w *world) {
		stop := w.chain.run()
		w.start(nil)
		defer func() { w.stop() }()
		w.add(0, 1)
		w.await(0, queue.Final)
		stop()
		for _, name := range []string{"before", "after"} {
			highest := w.queue.Final()
			w.chain.set(func() { w.chain.behind += 4 })
			<-time.After(time.Minute) // virtual
			if b, is := w.queue.Beacon(), w.queue.Final(); b.Block >= is.Block || is != highest || is.Hash.IsZero() {
				t.Errorf("%s a restart the highest is %+v, was %+v, and the endpoint has come to %+v", name, is, highest, b)
			}
			w.restart()
			synctest.Wait()
		}
	})
}
