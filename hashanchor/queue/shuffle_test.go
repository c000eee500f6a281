package queue_test

import (
	"context"
	"slices"
	"testing"

	"dxd/blobstore"
	"dxd/hashanchor"
	"dxd/hashanchor/queue"
	"dxd/record"
)

// indexes lists where the first n records stand in their batches.
func (w *world) indexes(n int) (all []int64) {
	must(w.t, w.store.View(context.Background(), func(tx blobstore.ReadTx) error {
		for i := range n {
			p, err := queue.ProofOf(tx, first(rec(i)))
			if err != nil {
				return err
			}
			all = append(all, p.Index)
		}
		return nil
	}))
	return all
}

func TestAnIndexDoesNotTellHowManyRecordsCameBefore(t *testing.T) {
	in(t, func(w *world) {
		defer w.chain.run()()
		w.add(0, 100)
		w.start(nil)
		w.await(99, queue.Final)
		w.await(0, queue.Final)
		w.check(100)
		all := w.indexes(100)
		w.stop()
		// 100! orders: none comes by chance that is sorted even in part.
		if slices.IsSorted(all[:20]) || !slices.ContainsFunc(all, func(i int64) bool { return i >= 100 }) {
			t.Errorf("the records stand at %v", all)
		}
	})
}

// TestABatchOfAnOlderVersionIsProvenInItsOrder has a batch's row as versions
// wrote it that did not shuffle, with its transaction in a block.
func TestABatchOfAnOlderVersionIsProvenInItsOrder(t *testing.T) {
	in(t, func(w *world) {
		w.add(0, 3)
		seed := record.Nonce{7}
		var hashes []record.Hash
		for i := range 3 {
			hashes = append(hashes, second(rec(i)))
		}
		a := w.chain.where
		a.Root = hashanchor.NewBatch(hashanchor.Pad(hashes, seed)).Root()
		anchor, err := record.Marshal(a)
		must(t, err)
		must(t, w.store.Update(context.Background(), func(tx blobstore.Tx) error {
			for key, row := range map[blobstore.Key]string{
				"q/t":                  `{"leaves":3,"closed":3,"final":0,"chain":true}`,
				"q/o/0000000000000000": "\x00\x00\x00\x00\x00\x00\x00\x00",
				"q/b/0000000000000000": `{"first":0,"size":3,"seed":"` + seed.String() + `","anchor":` + string(anchor) +
					`,"state":"submitted","told":0,"since":1,"sent":[]}`,
			} {
				if err := tx.Set(key, []byte(row)); err != nil {
					return err
				}
			}
			return nil
		}))
		w.chain.set(func() {
			w.chain.blocks = append(w.chain.blocks, block{roots: []record.Hash{a.Root}, nonce: 1, hash: record.Hash{9}, time: 2})
		})
		defer w.chain.run()()
		w.start(nil)
		w.await(2, queue.Final)
		w.check(3)
		if all := w.indexes(3); !slices.Equal(all, []int64{0, 1, 2}) {
			t.Errorf("the records stand at %v", all)
		}
		w.stop()
	})
}
