package queue_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"dxd/blobstore"
	"dxd/hashanchor"
	"dxd/hashanchor/queue"
	"dxd/record"
)

// partnerProof anchors record i on the chain as a partner would.
func (w *world) partnerProof(i int, account record.Account) hashanchor.Proof {
	id, leaf := rec(i)
	b := hashanchor.NewBatch([]record.Hash{leaf, {1}})
	w.chain.set(func() {
		last := &w.chain.blocks[len(w.chain.blocks)-1]
		last.roots = append(last.roots, b.Root())
	})
	a := w.chain.where
	a.Account, a.Root = account, b.Root()
	a.Block, a.Time = int64(len(w.chain.blocks)), w.chain.head().time
	return hashanchor.Proof{Record: id, Index: 0, Path: b.Path(0), Anchor: a}
}

func (w *world) receive(p hashanchor.Proof) error {
	data, err := p.Bytes()
	must(w.t, err)
	return w.store.Update(context.Background(), func(tx blobstore.Tx) error {
		return queue.Receive(tx, data, nil, func(id record.RecordID, _ record.Account) (record.Hash, error) {
			for i := range 100 {
				if known, leaf := rec(i); known == id {
					return leaf, nil
				}
			}
			return record.Hash{}, record.Errorf(record.NotFound, "not ours")
		})
	})
}

func (w *world) pushed(i int) (there bool) {
	must(w.t, w.store.View(context.Background(), func(tx blobstore.ReadTx) error {
		_, err := queue.PushedProofOf(tx, first(rec(i)))
		there = err == nil
		return nil
	}))
	return there
}

func TestAPushedProofCountsOnceTheChainConfirmsIt(t *testing.T) {
	in(t, func(w *world) {
		p := w.partnerProof(1, w.chain.where.Account)
		must(t, w.receive(p))
		if s := w.state(1); s != queue.Unanchored || !w.pushed(1) {
			t.Errorf("without a chain the record is %s", s)
		}
		w.start(nil)
		defer w.stop()
		defer w.chain.run()()
		w.await(1, queue.Final)
		if w.pushed(1) {
			t.Error("the pushed proof is kept beside the confirmed one")
		}
		must(t, w.receive(p)) // once more is harmless
		if w.pushed(1) {
			t.Error("a proof is doubted again")
		}
		if s, err := w.queue.Status(t.Context()); err != nil || s.Final != 0 {
			t.Errorf("a partner's record is counted: %+v, %v", s, err)
		}
	})
}

func TestAPushedProofThatDoesNotLeadToItsRootIsRefused(t *testing.T) {
	in(t, func(w *world) {
		for name, change := range map[string]func(*hashanchor.Proof){
			"another path":   func(p *hashanchor.Proof) { p.Path[0][0]++ },
			"another record": func(p *hashanchor.Proof) { p.Record = first(rec(2)) },
			"not our record": func(p *hashanchor.Proof) { p.Record = record.RecordID{9} },
		} {
			p := w.partnerProof(1, w.chain.where.Account)
			change(&p)
			if w.receive(p) == nil {
				t.Errorf("%s is taken", name)
			}
		}
	})
}

func TestAPushedProofThatTheChainDeniesIsDropped(t *testing.T) {
	for name, change := range map[string]func(*hashanchor.Proof){
		"another account":                  func(p *hashanchor.Proof) { p.Anchor.Account[0]++ },
		"an earlier block":                 func(p *hashanchor.Proof) { p.Anchor.Block-- },
		"an earlier time":                  func(p *hashanchor.Proof) { p.Anchor.Time-- },
		"a block that is still to come":    func(p *hashanchor.Proof) { p.Anchor.Account[0]++; p.Anchor.Block = 20 },
		"a block that will never be there": func(p *hashanchor.Proof) { p.Anchor.Account[0]++; p.Anchor.Block = 1 << 50 },
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(w *world) {
				w.chain.mine()
				p := w.partnerProof(1, w.chain.where.Account)
				change(&p)
				must(t, w.receive(p))
				w.start(nil)
				defer w.stop()
				defer w.chain.runAt(time.Minute)()
				<-time.After(2 * time.Hour)
				if w.pushed(1) || w.state(1) != queue.Pending {
					t.Errorf("pushed %v, %s", w.pushed(1), w.state(1))
				}
			})
		})
	}
}

func TestAProofOnAnotherChainStaysUnchecked(t *testing.T) {
	in(t, func(w *world) {
		p := w.partnerProof(1, w.chain.where.Account)
		p.Anchor.ChainID = 5
		must(t, w.receive(p))
		w.start(nil)
		defer w.stop()
		defer w.chain.runAt(time.Minute)()
		<-time.After(3 * time.Hour)
		if !w.pushed(1) || w.state(1) == queue.Final {
			t.Errorf("pushed %v, %s", w.pushed(1), w.state(1))
		}
	})
}

func TestOfTwoProofsOfOneRecordTheFirstStays(t *testing.T) {
	in(t, func(w *world) {
		partners := w.partnerProof(1, w.chain.where.Account)
		must(t, w.receive(partners))
		w.start(nil)
		defer w.stop()
		defer w.chain.run()()
		w.await(1, queue.Final)
		w.add(1, 2)
		w.await(2, queue.Final) // and with it our own batch of both
		must(t, w.store.View(context.Background(), func(tx blobstore.ReadTx) error {
			p, err := queue.ProofOf(tx, first(rec(1)))
			if p.Anchor != partners.Anchor {
				t.Errorf("the proof is of %+v now", p.Anchor)
			}
			return err
		}))
	})
}

func TestAProofThatTheChainCantJudgeHoldsUpNothing(t *testing.T) {
	in(t, func(w *world) {
		w.chain.fault = func(step string, applied bool) error {
			if step != "lookup" {
				return nil
			}
			return record.Errorf(record.Invalid, "the root was anchored when the chain had another id")
		}
		must(t, w.receive(w.partnerProof(1, w.chain.where.Account)))
		w.start(nil)
		defer w.stop()
		defer w.chain.run()()
		<-time.After(10 * time.Minute)
		if s, err := w.queue.Status(t.Context()); err != nil || s.Error != "" || w.state(1) == queue.Final {
			t.Errorf("%+v, %v, the record is %s", s, err, w.state(1))
		}
	})
}

// TestAProofWaitsForAnEndpointThatIsBehind has another endpoint answer for the
// anchor than the one that told how far the chain is.
func TestAProofWaitsForAnEndpointThatIsBehind(t *testing.T) {
	in(t, func(w *world) {
		w.chain.mine()
		p := w.partnerProof(1, w.chain.where.Account)
		w.chain.mine()
		w.chain.mine() // now it is final
		w.chain.fault = func(step string, applied bool) error {
			if step == "lookup" {
				w.chain.set(func() {
					if w.chain.behind = 0; !applied {
						w.chain.behind = 1
					}
				})
			}
			return nil
		}
		must(t, w.receive(p))
		w.start(nil)
		defer w.stop()
		synctest.Wait()
		if !w.pushed(1) {
			t.Fatal("a proof that holds was dropped")
		}
		defer w.chain.run()()
		w.await(1, queue.Final)
	})
}

func TestAProofThatComesWhileAnotherIsJudgedIsJudgedItself(t *testing.T) {
	in(t, func(w *world) {
		w.chain.mine()
		good := w.partnerProof(1, w.chain.where.Account)
		bad := good
		bad.Anchor.Time--
		must(t, w.receive(bad))
		for range 3 {
			w.chain.mine() // so that it is wrong for good
		}
		came := false
		w.chain.fault = func(step string, applied bool) error {
			if step == "lookup" && applied && !came {
				came = true
				must(t, w.receive(good)) // the partner, whose first word a fork took, tells the next
			}
			return nil
		}
		w.start(nil)
		defer w.stop()
		defer w.chain.runAt(time.Minute)()
		<-time.After(time.Hour)
		if s := w.state(1); s != queue.Final || !came {
			t.Errorf("the record is %s", s)
		}
	})
}
