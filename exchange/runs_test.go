package exchange

import (
	"iter"
	"math/rand/v2"
	"testing"

	"dxd/blobstore"
	"dxd/record"
)

// countedTx counts what is read of the journal.
type countedTx struct {
	blobstore.Tx
	read int
}

func (c *countedTx) Get(key blobstore.Key) ([]byte, error) {
	c.read++
	return c.Tx.Get(key)
}

func (c *countedTx) Scan(prefix, from blobstore.Key, reverse bool) iter.Seq2[blobstore.Entry, error] {
	return func(yield func(blobstore.Entry, error) bool) {
		for e, err := range c.Tx.Scan(prefix, from, reverse) {
			c.read++
			if !yield(e, err) {
				return
			}
		}
	}
}

// taker notes numbers of one partner.
type taker struct {
	*Exchange
	t *testing.T
}

func newTaker(t *testing.T) taker {
	return taker{&Exchange{Config: Config{Journal: newStore(t)}}, t}
}

func (x taker) update(fn func(tx blobstore.Tx) error) {
	x.t.Helper()
	if err := x.Journal.Update(x.t.Context(), fn); err != nil {
		x.t.Fatal(err)
	}
}

// takes notes a number, and says how much was read for it.
func (x taker) takes(sequence int64) (read int) {
	x.t.Helper()
	x.update(func(tx blobstore.Tx) error {
		counted := &countedTx{Tx: tx}
		err := x.note(counted, record.OrgID{}, record.Number{Epoch: record.Epoch{1}, Lane: record.LaneDoc, Sequence: sequence}, record.RecordID{byte(sequence)})
		read = counted.read
		return err
	})
	return read
}

// is compares what is known of the numbers with what was noted.
func (x taker) is(noted map[int64]bool) {
	x.t.Helper()
	x.update(func(tx blobstore.Tx) error {
		var want tail
		for n := range noted {
			want.Sequence = max(want.Sequence, n)
		}
		for noted[want.Complete+1] {
			want.Complete++
		}
		got, err := tailOf(tx, record.OrgID{}, record.LaneDoc)
		if err == nil && (got.Sequence != want.Sequence || got.Complete != want.Complete) {
			x.t.Fatalf("%d numbers: up to %d, complete up to %d; want %d and %d", len(noted), got.Sequence, got.Complete, want.Sequence, want.Complete)
		}
		ends := 0
		for _, err := range tx.Scan(prefixRun, "", false) {
			if err != nil {
				return err
			}
			ends++
		}
		for n := range noted {
			if n <= want.Complete {
				continue
			}
			for _, beside := range []int64{n - 1, n + 1} {
				if !noted[beside] {
					ends--
				}
			}
			if !noted[n-1] && !noted[n+1] {
				ends++ // one entry for both of its ends
			}
		}
		if ends != 0 {
			x.t.Errorf("%d numbers: %d entries too many are kept of runs", len(noted), ends)
		}
		return err
	})
}

// A gap that was open for long is not closed at the expense of all partners,
// who wait for the update.
func TestAGapIsClosedInAFewSteps(t *testing.T) {
	const many = 3000
	for name, at := range map[string]func(i int64) int64{
		"upwards":   func(i int64) int64 { return 2 + i },
		"downwards": func(i int64) int64 { return many - i },
		"in steps":  func(i int64) int64 { return 2 + i*7%(many-1) },
	} {
		t.Run(name, func(t *testing.T) {
			x, noted := newTaker(t), map[int64]bool{}
			for i := range int64(many - 1) {
				noted[at(i)] = true
				if read := x.takes(at(i)); read > 10 {
					t.Fatalf("%d entries were read for number %d", read, at(i))
				}
			}
			x.is(noted)
			noted[1] = true
			if read := x.takes(1); read > 10 {
				t.Errorf("%d entries were read to close the gap", read)
			}
			x.is(noted)
		})
	}
}

func TestNumbersInAnyOrderAreComplete(t *testing.T) {
	const many = 60
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		x, noted := newTaker(t), map[int64]bool{}
		for _, i := range r.Perm(many) {
			noted[int64(i+1)] = true
			x.takes(int64(i + 1))
			x.is(noted)
		}
	}
}

func TestAGapOfAnOlderJournalIsClosed(t *testing.T) {
	x, noted := newTaker(t), map[int64]bool{}
	takes := func(all ...int64) {
		for _, n := range all {
			noted[n] = true
			x.takes(n)
		}
	}
	takes(1, 4, 5, 6, 10, 11, 13)
	x.update(func(tx blobstore.Tx) error { // it had no runs
		for e, err := range tx.Scan(prefixRun, "", false) {
			if err != nil {
				return err
			}
			if err := tx.Delete(e.Key); err != nil {
				return err
			}
		}
		return nil
	})
	takes(7, 9, 16, 12, 3, 15, 2, 8, 14)
	x.is(noted)
}
