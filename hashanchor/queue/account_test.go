package queue_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"dxd/blobstore"
	"dxd/hashanchor/queue"
	"dxd/record"
)

// rotated gives the world an account in use, and the one of its chain as the
// older one. Records below the boundary may be anchored by the older only.
func (w *world) rotated(boundary int) (newer *fakeChain) {
	newer = newChain(w.t)
	newer.where.Account = record.Account{0xad}
	newer.journaled = w.journaled
	w.cfg.Chain, w.cfg.Older = newer, []queue.Chain{w.chain}
	w.cfg.AccountsOf = func(_ blobstore.ReadTx, id record.RecordID) ([]record.Account, error) {
		for i := range boundary {
			if first(rec(i)) == id {
				return []record.Account{w.chain.where.Account}, nil
			}
		}
		return []record.Account{newer.where.Account, w.chain.where.Account}, nil
	}
	return newer
}

// anchorers lists the accounts that anchored the first n records.
func (w *world) anchorers(n int) (all []record.Account) {
	w.t.Helper()
	must(w.t, w.store.View(context.Background(), func(tx blobstore.ReadTx) error {
		for i := range n {
			p, err := queue.ProofOf(tx, first(rec(i)))
			if err != nil {
				return err
			}
			all = append(all, p.Anchor.Account)
		}
		return nil
	}))
	return all
}

func TestRecordsFromBeforeARotationAreAnchoredByTheOlderAccount(t *testing.T) {
	in(t, func(w *world) {
		newer := w.rotated(2)
		defer w.chain.run()()
		defer newer.run()()
		w.add(0, 3) // the third may be anchored by either, and goes along
		w.start(nil)
		w.await(2, queue.Final)
		w.add(3, 1)
		w.await(3, queue.Final)
		old, now := w.chain.where.Account, newer.where.Account
		if got := w.anchorers(4); !slices.Equal(got, []record.Account{old, old, old, now}) {
			t.Errorf("anchored by %v", got)
		}
		w.stop()
	})
}

func TestARecordThatOnlyTheNewAccountMayAnchorWaitsForTheNextBatch(t *testing.T) {
	in(t, func(w *world) {
		newer := w.rotated(1)
		either := w.cfg.AccountsOf
		w.cfg.AccountsOf = func(tx blobstore.ReadTx, id record.RecordID) ([]record.Account, error) {
			if id == first(rec(1)) {
				return []record.Account{newer.where.Account}, nil
			}
			return either(tx, id)
		}
		defer w.chain.run()()
		defer newer.run()()
		w.add(0, 2)
		w.start(nil)
		w.await(1, queue.Final)
		if got := w.anchorers(2); !slices.Equal(got, []record.Account{w.chain.where.Account, newer.where.Account}) {
			t.Errorf("anchored by %v", got)
		}
		w.stop()
	})
}

func TestANewAccountThatHoldsNothingIsNotUsedYet(t *testing.T) {
	in(t, func(w *world) {
		newer := w.rotated(0)
		newer.balance = 0
		defer w.chain.run()()
		defer newer.run()()
		w.add(0, 2)
		w.start(nil)
		w.await(1, queue.Final)
		newer.set(func() { newer.balance = 1 })
		w.add(2, 1)
		w.await(2, queue.Final)
		old, now := w.chain.where.Account, newer.where.Account
		if got := w.anchorers(3); !slices.Equal(got, []record.Account{old, old, now}) {
			t.Errorf("anchored by %v", got)
		}
		w.stop()
	})
}

func TestABatchOfTheOlderAccountIsRepricedByIt(t *testing.T) {
	in(t, func(w *world) {
		w.chain.set(func() { w.chain.least = 2 }) // the first price is too low
		w.add(0, 1)
		w.start(nil)
		w.await(0, queue.Submitted)
		w.stop()
		// The account is rotated while the batch is stuck.
		now := w.rotated(1)
		now.set(func() { now.blocks = append(now.blocks, block{nonce: 7, time: 2}) })
		defer w.chain.run()()
		defer now.run()()
		w.start(nil)
		w.await(0, queue.Final)
		w.chain.set(func() {
			if len(w.chain.prepare) < 2 || w.chain.prepare[len(w.chain.prepare)-1].Nonce != 0 {
				t.Errorf("prepared by the older account: %+v", w.chain.prepare)
			}
		})
		now.set(func() {
			if len(now.prepare) != 0 {
				t.Errorf("prepared by the new account: %+v", now.prepare)
			}
		})
		w.stop()
	})
}

func TestAnOlderAccountIsNeededUntilAllIsFinal(t *testing.T) {
	in(t, func(w *world) {
		newer := w.rotated(1)
		needs := func() (needs bool) {
			must(t, w.store.View(context.Background(), func(tx blobstore.ReadTx) (err error) {
				needs, err = queue.Needs(tx, w.chain.where.Account, []record.Account{newer.where.Account}, w.cfg.AccountsOf)
				return err
			}))
			return needs
		}
		if needs() {
			t.Error("needed by nothing")
		}
		w.add(0, 3)
		if !needs() {
			t.Error("not needed by a waiting leaf")
		}
		defer newer.run()()
		w.start(nil)
		w.await(0, queue.Submitted)
		if !needs() {
			t.Error("not needed by a batch under way")
		}
		stop := w.chain.runAt(2 * time.Second)
		defer stop()
		w.await(0, queue.Final)
		if needs() {
			t.Error("needed by leaves that the new one may anchor")
		}
		w.await(2, queue.Final)
		s, err := w.queue.Status(context.Background())
		must(t, err)
		if s.Account != newer.where.Account || len(s.Older) != 1 || s.Older[0].Account != w.chain.where.Account || s.Older[0].Balance == nil {
			t.Errorf("the status is %+v", s)
		}
		w.stop()
	})
}
