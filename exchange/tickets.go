package exchange

import (
	"crypto/rand"
	"sync"
	"time"

	"dxd/record"
)

const (
	// maxPairings is how many pairings may be open, of both sorts together.
	maxPairings = 8
	// ticketValidity is how long the bearer of a ticket may come.
	ticketValidity = 15 * time.Minute
	// pairingPatience is how long two people who have met have to compare
	// fingerprints.
	pairingPatience = 15 * time.Minute
)

// Tickets are the pairings that are open, in memory alone: none outlives the
// process or the caller who waits for it. The network's gate asks it besides
// the book. The zero value has none.
type Tickets struct {
	mu       sync.Mutex // guards what follows
	open     map[string]*pairing
	visitors map[record.NodeID]*pairing // of tickets that nobody has used
}

// pairing is one that is open.
type pairing struct {
	id      string
	visitor record.NodeID // who may come; zero on the side that goes
	expires time.Time
	arrived chan Stream   // one: the visitor's
	ended   chan struct{} // closed when nobody waits any more

	mu     sync.Mutex // guards what follows
	file   record.OpenedCardFile
	answer chan verdict // one; nil as long as nobody is asked, and once one was given
}

// verdict is what the person here said.
type verdict struct {
	yes   bool
	alias string
}

// begin opens a pairing; visitor is zero on the side that goes.
func (t *Tickets) begin(visitor record.NodeID, expires time.Time) (*pairing, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.open) == maxPairings {
		return nil, record.WithHint(record.Errorf(record.Quota, "%d pairings are open already", maxPairings), "end one of them first")
	}
	if t.open == nil {
		t.open, t.visitors = map[string]*pairing{}, map[record.NodeID]*pairing{}
	}
	p := &pairing{id: rand.Text(), visitor: visitor, expires: expires, arrived: make(chan Stream, 1), ended: make(chan struct{})}
	t.open[p.id] = p
	if !visitor.IsZero() {
		t.visitors[visitor] = p
	}
	return p, nil
}

// end voids the ticket, if it was not used, and forgets the pairing.
func (t *Tickets) end(p *pairing) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, p.id)
	delete(t.visitors, p.visitor)
	close(p.ended)
}

// Admit tells whether the node is one that comes with a ticket which is valid
// at this time and which nobody has used.
func (t *Tickets) Admit(node record.NodeID, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.valid(node, now) != nil
}

// valid is called with mu held.
func (t *Tickets) valid(visitor record.NodeID, now time.Time) *pairing {
	if p := t.visitors[visitor]; p != nil && now.Before(p.expires) {
		return p
	}
	return nil
}

// use takes the visitor's ticket; nil if there is none. From here on whoever
// else comes with it is a stranger.
func (t *Tickets) use(visitor record.NodeID, now time.Time) *pairing {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.valid(visitor, now)
	delete(t.visitors, visitor)
	return p
}

func (t *Tickets) find(id string) (*pairing, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.open[id]; p != nil {
		return p, nil
	}
	return nil, record.Errorf(record.NotFound, "no such pairing: it has ended")
}

// ask makes the pairing one that a person can answer.
func (p *pairing) ask(file record.OpenedCardFile) <-chan verdict {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.file, p.answer = file, make(chan verdict, 1)
	return p.answer
}

// asked is the card that a person is asked about.
func (p *pairing) asked() (record.OpenedCardFile, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.answer == nil {
		return record.OpenedCardFile{}, errNotAsked()
	}
	return p.file, nil
}

// say answers, once.
func (p *pairing) say(a verdict) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.answer == nil {
		return errNotAsked()
	}
	p.answer <- a
	p.answer = nil
	return nil
}

func errNotAsked() error {
	return record.Errorf(record.Conflict, "the pairing has no question open")
}
