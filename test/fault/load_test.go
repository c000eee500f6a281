package fault

import (
	"context"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"dxd/api/apitype"
	"dxd/client"
	"dxd/record"
	"dxd/test/party"
)

// deed is one document or message that an application hands over, again and
// again until it is told that it was accepted.
type deed struct {
	from, to *party.Org
	kind     record.ItemKind
	party.Document
	cancel  bool          // the sender's application wants it back
	word    string        // the recipient's application says so, if not ""
	expires time.Duration // if not 0, its time is over before the recipient is there

	mu     *sync.Mutex       // the pair's, guards what follows
	id     record.TransferID // zero until it was accepted
	undone bool              // what became of it was put back, see past
	again  bool              // it waited in the copy, and is delivered once more
}

// pair is two organisations under load, in both directions.
type pair struct {
	t    *testing.T
	a, b *party.Org
	row  *row
	rand *rand.Rand // of the test's goroutine

	pace    time.Duration // of handing over, if it is not to be as fast as can be
	largest int64         // document, if not 0

	mu      sync.Mutex // guards deeds, and what may change of those
	deeds   []*deed
	counted int                        // of the deeds, in the table
	seen    map[record.TransferID]bool // that were checked whole before

	past *past // if b's state directory was put back to an older copy
}

// newPair makes two organisations that run and know each other; prepare may
// change what they are before they start.
func newPair(t *testing.T, fault string, prepare func(a, b *party.Org)) *pair {
	t.Helper()
	a, b := party.NewOrg(t, "alpha"), party.NewOrg(t, "beta")
	for _, o := range []*party.Org{a, b} {
		listenEverywhere(o)
	}
	if prepare != nil {
		prepare(a, b)
	}
	a.Start()
	b.Start()
	party.Pair(a, b)
	return &pair{t: t, a: a, b: b, row: tried.add(fault), rand: random(t), seen: map[record.TransferID]bool{}}
}

// random is drawn from a seed that the log tells, and the environment can set.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	seed := new(maphash.Hash).Sum64()
	if s := os.Getenv(envSeed); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		party.Check(t, err)
	}
	t.Logf("%s=%d", envSeed, seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// The most that a round hands over in each direction, and the least.
const (
	maxDocuments, minDocuments = 12, 3
	maxMessages, minMessages   = 40, 10
	paced                      = 5 // times as many at most, if there is a pace
)

// load hands documents and messages over in both directions until stop is
// called, which waits until all were accepted, cancelled and answered as they
// are to be.
func (p *pair) load() (stop func()) {
	ended := make(chan struct{})
	var wg sync.WaitGroup
	p.t.Cleanup(wg.Wait) // of a test that ends before it calls stop
	for _, way := range [][2]*party.Org{{p.a, p.b}, {p.b, p.a}} {
		for _, kind := range []record.ItemKind{record.Document, record.Message} {
			draw := rand.New(rand.NewPCG(p.rand.Uint64(), 0))
			wg.Go(func() { p.hand(ended, &wg, draw, way[0], way[1], kind) })
		}
	}
	return func() { close(ended); wg.Wait() }
}

func (p *pair) hand(ended <-chan struct{}, wg *sync.WaitGroup, draw *rand.Rand, from, to *party.Org, kind record.ItemKind) {
	least, most := minDocuments, maxDocuments
	if kind == record.Message {
		least, most = minMessages, maxMessages
	}
	if p.pace != 0 {
		most *= paced
	}
	first := draw.IntN(10)
	for i := range most {
		select {
		case <-ended:
			if i >= least {
				return
			}
		default:
		}
		if !p.handOver(p.draw(first+i, from, to, kind), wg) {
			return
		}
	}
}

// handOver hands one over and has the applications say of it what they are to.
func (p *pair) handOver(d *deed, answers *sync.WaitGroup) bool {
	if !p.persist("handing over", d.submit) {
		return false
	}
	pause(p.pace)
	if d.cancel {
		p.persist("cancelling", d.giveUp)
	}
	if d.word != "" {
		answers.Go(func() { p.persist("answering", d.answer) })
	}
	return true
}

// draw makes a deed and notes it. Sizes and what applications want take turns,
// so that each is there in every round.
func (p *pair) draw(turn int, from, to *party.Org, kind record.ItemKind) *deed {
	d := &deed{from: from, to: to, kind: kind, mu: &p.mu}
	sizes := []int64{100, 200 << 10, 2 << 10, 1 << 20, party.Small}
	if kind == record.Message {
		sizes = []int64{10, 300, 2 << 10, 20 << 10}
	}
	d.Size = sizes[turn%len(sizes)]
	if p.largest != 0 {
		d.Size = min(d.Size, p.largest)
	}
	switch turn % 10 {
	case 0, 3:
		d.cancel = kind == record.Document
	case 1, 6:
		d.word = "accepted"
	case 4:
		d.word = "refused"
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	d.Seed = fmt.Sprintf("%s %d of %s", kind, len(p.deeds), from.Name)
	p.deeds = append(p.deeds, d)
	return d
}

// persist asks again and again, since whom it asks may be dead.
func (p *pair) persist(what string, ask func(ctx context.Context) error) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var err error
	for end := time.Now().Add(2 * party.Patience); time.Now().Before(end); <-tick.C {
		if err = ask(p.t.Context()); err == nil {
			return true
		}
		if p.t.Context().Err() != nil {
			return false // the test has ended, and has said why
		}
	}
	p.t.Errorf("%s: not within %s: %v", what, 2*party.Patience, err)
	p.note(&p.row.lost)
	return false
}

func (d *deed) submit(ctx context.Context) error {
	s := client.Submission{To: []string{d.to.Alias}, RequestID: d.Seed, Expires: d.expires}
	submit := d.from.SendMessage
	if d.kind == record.Document {
		submit, s.Name = d.from.Send, d.Seed+".bin"
	}
	sent, err := submit(ctx, s, d.Open(), d.Size)
	if err == nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.id = sent.Transfers[0].ID
	}
	return err
}

func (d *deed) giveUp(ctx context.Context) error {
	_, err := d.from.Cancel(ctx, d.id)
	if record.KindOf(err) == record.Conflict {
		return nil // it has arrived
	}
	return err
}

// answer has the recipient's application say its word.
func (d *deed) answer(ctx context.Context) (err error) {
	if d.cancel || d.isUndone() {
		return nil
	}
	if d.word == "accepted" {
		_, err = d.to.Accept(ctx, d.id, "order 4711")
	} else {
		_, err = d.to.Refuse(ctx, d.id, "page 3 is missing", "")
	}
	return err
}

func (d *deed) isUndone() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.undone
}

// settled waits until the two sides say the same of every transfer, and of the
// numbers.
func (p *pair) settled() {
	p.t.Helper()
	differ := true
	defer func() {
		if differ { // and the test ends here
			p.note(&p.row.differing)
		}
	}()
	for _, d := range p.deeds {
		if p.seen[d.id] || d.isUndone() {
			continue
		}
		party.Until(p.t, "one state of "+d.Seed, func() string {
			ours, err := d.from.Transfer(p.t.Context(), d.id)
			if err != nil {
				return err.Error()
			}
			theirs, err := d.to.Transfer(p.t.Context(), d.id)
			if err != nil && record.KindOf(err) != record.NotFound {
				return err.Error()
			}
			if !agree(ours.State, theirs.State) || d.word != "" && ours.State != d.word || d.expires != 0 && ours.State != "failed" {
				return fmt.Sprintf("%q at its sender, %q at its recipient", ours.State, theirs.State)
			}
			return ""
		})
	}
	for _, way := range [][2]*party.Org{{p.a, p.b}, {p.b, p.a}} {
		party.Until(p.t, "numbers that have ended", func() string { return p.lanesDiffer(way[0], way[1]) })
	}
	differ = false
}

// agree tells whether a transfer's way has ended in these states; "" is that
// there is none.
func agree(sender, recipient string) bool {
	switch sender {
	case "delivered":
		return recipient == "received"
	case "accepted", "refused":
		return recipient == sender
	case "cancelled", "failed":
		return recipient == "" || recipient == "cancelled"
	}
	return false
}

func (p *pair) lanesDiffer(from, to *party.Org) string {
	var lanes [2][]apitype.Lane
	for i, o := range []*party.Org{from, to} {
		other := []*party.Org{to, from}[i]
		v, err := o.Partner(p.t.Context(), other.Alias)
		if err != nil {
			return err.Error()
		}
		lanes[i] = v.Lanes
	}
	for i, ours := range lanes[0] {
		theirs := lanes[1][i]
		whole := ours.Sent == theirs.Complete || p.past != nil && to == p.b // which lost some
		if ours.Sent != ours.Acknowledged || ours.Sent != theirs.Received || !whole || ours.Held || theirs.Stopped {
			return fmt.Sprintf("%s has given %+v, %s has taken %+v", from.Name, ours, to.Name, theirs)
		}
	}
	return ""
}
