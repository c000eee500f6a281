package queue_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"

	"dxd/hashanchor/queue"
)

// plight is what goes wrong around the queue, apart from one of its own steps.
type plight struct {
	name    string
	before  func(w *world)            // makes a past, with the chain running and the queue not
	blocks  func() func(c *fakeChain) // called before each block
	repeats bool                      // a root may be paid for more than once
	alarms  func(w *world) []string   // what people are told of; nil: nothing
	forgets bool                      // a new process, or one that could not compare blocks, can't know of the alarm
	steps   map[string]int            // how many of each step come for certain; those of commonSteps where it says nothing
	chain   func(c *fakeChain)        // how it is at first
	disk    bool                      // over a real journal
	records int                       // 0: 3
}

// commonSteps come in every plight over a journal that begins with it, at least
// so often: the updates are those of the chain, its final block, the batch, that
// it is included, its state proof, and that it is final.
func commonSteps() map[string]int {
	return map[string]int{"head": 4, "block": 2, "lookup": 2, "prepare": 1, "send": 1, "state": 1, "update": 6}
}

// during has a chain be as enter makes it while from ≤ blocks < to, counted
// from the first one that when is true of.
func during(when func(c *fakeChain) bool, from, to int, enter, leave func(c *fakeChain)) func() func(c *fakeChain) {
	return func() func(c *fakeChain) {
		seen := -1
		return func(c *fakeChain) {
			if seen < 0 && !when(c) {
				return
			}
			switch seen++; seen {
			case from:
				enter(c)
			case to:
				leave(c)
			}
		}
	}
}

func once(when func(c *fakeChain) bool, after int, do func(c *fakeChain)) func() func(c *fakeChain) {
	return during(when, after, -1, do, nil)
}

func always(*fakeChain) bool     { return true }
func waiting(c *fakeChain) bool  { return len(c.pool) > 0 }
func anchored(c *fakeChain) bool { return c.anchored() > 0 }

const tookBack = "the chain took back a final block: it broke its word, or an endpoint is behind or lies"

func told(text ...string) func(*world) []string { return func(*world) []string { return text } }

func plights() []plight {
	return []plight{
		{name: "nothing else", disk: true, records: 300, // three chunks
			steps: map[string]int{"head": 1, "block": 1, "lookup": 1, "update": 10}},
		{name: "two nonces used elsewhere", steps: map[string]int{"prepare": 2, "send": 2, "update": 7}, blocks: once(waiting, 0, func(c *fakeChain) { c.foreign = 2 })},
		{name: "two answers to send lost", chain: func(c *fakeChain) { c.lost = 2 }},
		{name: "transactions forgotten for a minute", steps: map[string]int{"send": 3}, chain: func(c *fakeChain) { c.deaf = true },
			blocks: once(always, 60, func(c *fakeChain) { c.deaf = false })},
		{name: "chain away after the transaction", steps: map[string]int{"update": 5}, blocks: during(waiting, 1, 120,
			func(c *fakeChain) { c.away = true }, func(c *fakeChain) { c.away = false })},
		{name: "price refused", steps: map[string]int{"prepare": 6, "send": 6, "update": 12}, chain: func(c *fakeChain) { c.floor = 9 }},
		{name: "price too low for blocks", steps: map[string]int{"prepare": 3, "send": 3, "update": 8}, chain: func(c *fakeChain) { c.least = 5 }},
		{name: "above the ceiling for half an hour", steps: map[string]int{"prepare": 3}, chain: func(c *fakeChain) { c.asked = 2000 },
			blocks: once(always, 1800, func(c *fakeChain) { c.asked = 1 })},
		{name: "dearer than the ceiling once sent", steps: map[string]int{"prepare": 3, "send": 3, "update": 7}, chain: func(c *fakeChain) { c.least, c.ceiling = 50, 9 },
			blocks: once(always, 3600, func(c *fakeChain) { c.least = 1 })},
		{name: "too little coin for five minutes", steps: map[string]int{"prepare": 2, "send": 3, "update": 8}, chain: func(c *fakeChain) { c.balance = 0 },
			blocks: once(always, 300, func(c *fakeChain) { c.balance = 5 }),
			alarms: func(w *world) []string {
				return []string{fmt.Sprintf("account %s holds 0 of the chain's coin (ether), and needs up to 0.000000000000000001 for its next transaction", w.chain.where.Account)}
			}},
		{name: "node back with an older head", steps: map[string]int{"update": 8}, forgets: true, repeats: true, alarms: told(tookBack), blocks: during(anchored, 1, 60,
			func(c *fakeChain) { c.behind = 8 }, func(c *fakeChain) { c.behind = 0 })},
		{name: "reorg before it is seen", steps: map[string]int{"send": 2}, repeats: true, blocks: once(anchored, 0, func(c *fakeChain) { c.replace(1) })},
		{name: "reorg after included", steps: map[string]int{"send": 2, "update": 8}, repeats: true, blocks: once(anchored, 3, func(c *fakeChain) { c.replace(4) })},
		{name: "reorg that mines it elsewhere", repeats: true, blocks: once(anchored, 3, mineElsewhere)},
		{name: "a nonce that is a lie", steps: map[string]int{"prepare": 2, "send": 3, "update": 7}, repeats: true, chain: func(c *fakeChain) { c.ahead = 5 },
			blocks: once(always, 60, func(c *fakeChain) { c.ahead = 0 })},
		{name: "a root denied", steps: map[string]int{"prepare": 3, "send": 3, "update": 7}, repeats: true, blocks: during(anchored, 0, 60,
			func(c *fakeChain) { c.hides = true }, func(c *fakeChain) { c.hides = false })},
		{name: "a head that jumps ahead and comes back", steps: map[string]int{"update": 7}, forgets: true, alarms: told(tookBack), blocks: during(waiting, 0, 3,
			func(c *fakeChain) { c.leaps = 1 << 50 }, func(c *fakeChain) { c.leaps = 0 })},
		{name: "a final block replaced", steps: map[string]int{"update": 7}, alarms: told(tookBack), blocks: once(always, 5, func(c *fakeChain) { c.replace(15) })},
		{name: "a steady beat", before: func(w *world) { w.cfg.Steady = true }},
		{name: "a journal from before the batch", disk: true, before: func(w *world) { w.turnBack(queue.Pending) },
			steps: map[string]int{"head": 2, "block": 0, "lookup": 2, "state": 0, "update": 3}},
		{name: "a journal from before the block", disk: true, before: func(w *world) { w.turnBack(queue.Submitted) },
			steps: map[string]int{"head": 1, "block": 0, "lookup": 1, "prepare": 0, "send": 0, "state": 0, "update": 2}},
	}
}

// mineElsewhere replaces the blocks since the newest root, and has another one
// take its transaction.
func mineElsewhere(c *fakeChain) {
	c.replace(c.anchored())
	for _, tx := range c.mined {
		if tx.Nonce >= c.head().nonce {
			c.pool[tx.Nonce] = tx
		}
	}
}

// turnBack has a past in which all is anchored, and puts a copy of the journal
// back that was made when the first record had the state. In between the
// account was used for more.
func (w *world) turnBack(then queue.State) {
	old := w.t.TempDir()
	if then == queue.Submitted {
		w.start(nil)
		w.await(0, then)
		w.stop()
	}
	w.close()
	must(w.t, os.CopyFS(old, os.DirFS(w.dir)))
	w.open()
	w.start(nil)
	w.await(0, queue.Final)
	w.add(1000, 1)
	w.await(1000, queue.Final)
	w.stop()
	w.close()
	w.dir = old
	w.open()
}

// row is one walk of the table.
type row struct {
	plight
	step    string // that falls; "" if none does
	nth     int
	applied bool
	how     string // "fails", or "stops" and starts anew
}

func (r row) String() string {
	if r.step == "" {
		return r.name + ", no step falls"
	}
	when := "before it happens"
	if r.applied {
		when = "after it happened"
	}
	return fmt.Sprintf("%s, %s %d %s %s", r.name, r.step, r.nth, r.how, when)
}

func rowsOf(p plight) []row {
	all := []row{{plight: p}}
	steps := commonSteps()
	maps.Copy(steps, p.steps)
	for _, step := range []string{"head", "block", "lookup", "prepare", "send", "state", "update"} {
		for nth := range steps[step] {
			for _, applied := range []bool{false, true} {
				for _, how := range []string{"fails", "stops"} {
					all = append(all, row{p, step, nth + 1, applied, how})
				}
			}
		}
	}
	return all
}

// TestEveryRecordIsAnchoredWhateverHappens is the table of all that may
// happen to a transaction: each plight, and in it each step of the queue, not
// applied and applied, with an error after which it goes on and with the end
// of the process, after which it starts anew over the journal. Where the
// plight does not matter, that is a real one, closed and opened again.
func TestEveryRecordIsAnchoredWhateverHappens(t *testing.T) {
	for _, p := range plights() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			run, n := inMemory, max(3, p.records)
			if p.disk {
				run = in
			}
			for _, r := range rowsOf(p) {
				t.Run(r.String(), func(t *testing.T) {
					run(t, func(w *world) { w.walk(r, n) })
				})
			}
		})
	}
}

func (w *world) walk(r row, n int) {
	if r.chain != nil {
		r.chain(w.chain)
	}
	w.chain.depth = 6
	for range 20 {
		w.chain.mine()
	}
	if r.blocks != nil {
		w.chain.before = r.blocks()
	}
	defer w.chain.run()()
	w.add(0, n)
	if r.before != nil {
		r.before(w)
	}
	s := &stumble{step: r.step, nth: r.nth, applied: r.applied, err: faultOf(r.step), stop: func() {}}
	if r.how == "stops" {
		s.stop = func() { w.end() }
	}
	w.chain.fault = s.at
	w.start(stumblingJournal{w.store, s})
	if r.how == "stops" {
		w.awaitEnd(s, n)
		w.restart()
	}
	w.await(n-1, queue.Final)
	w.await(0, queue.Final)
	w.stop()
	if s.fell != (r.step != "") {
		w.t.Errorf("%s never came for the %d. time, so the test says nothing", r.step, r.nth)
	}
	w.chain.fault = func(string, bool) error { return nil }
	w.settled(r, n)
}

// settled holds that all is anchored as promised, and prints the row.
func (w *world) settled(r row, n int) {
	w.t.Helper()
	w.check(n)
	sizes := w.batches(n)
	paid := 0
	for root, times := range w.chain.roots() {
		if paid += times; times != 1 && !r.repeats {
			w.t.Errorf("the root %s was paid for %d times", root, times)
		}
	}
	var want []string
	if r.alarms != nil {
		want = r.alarms(w)
	}
	got := w.alarms()
	if r.how == "stops" || r.step == "update" && r.applied {
		// A new process tells them once more, and so does one that can't
		// know whether it has.
		got = slices.Compact(got)
	}
	if r.forgets && len(got) == 0 && (r.how == "stops" || r.step == "block") {
		want = nil
	}
	if !slices.Equal(got, want) {
		w.t.Errorf("the alarms are %q, not %q", got, want)
	}
	w.t.Logf("%d records final in batches of %d; %d transactions signed, %d anchors paid; alarms: %d", n, sizes, len(w.chain.prepare), paid, len(want))
}
