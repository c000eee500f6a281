package fault

import (
	"testing"
	"time"

	"dxd/test/party"
)

func TestKilledAtAnyTimeNothingIsLost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		victims func(p *pair) []*party.Org
	}{
		{"kill -9 of one side", func(p *pair) []*party.Org { return []*party.Org{[]*party.Org{p.a, p.b}[p.rand.IntN(2)]} }},
		{"kill -9 of both sides", func(p *pair) []*party.Org { return []*party.Org{p.a, p.b} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, c.name, nil)
			for range times(10, 100) {
				p.killedUnderLoad(c.victims(p))
				if t.Failed() {
					return
				}
			}
		})
	}
}

// killedUnderLoad is one round: daemons die under load, and everything ends
// as it was promised.
func (p *pair) killedUnderLoad(victims []*party.Org) {
	p.t.Helper()
	stop := p.load()
	for _, o := range victims {
		pause(time.Duration(p.rand.IntN(400)) * time.Millisecond) // the time of the death is what is drawn
		o.Process.Kill()
		p.promised(o, p.accepted(o))
	}
	for _, o := range victims {
		o.Launch()
	}
	for _, o := range victims {
		o.IsReady()
	}
	stop()
	p.checked(p.start)
}

// accepted lists what the organisation has accepted by now.
func (p *pair) accepted(o *party.Org) (all []*deed) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.deeds {
		if d.from == o && !d.id.IsZero() && !d.undone {
			all = append(all, d)
		}
	}
	return all
}

func (p *pair) start() {
	p.t.Helper()
	p.a.Start()
	p.b.Start()
}

// pause lets a time go by that is itself what a test is about.
func pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}
