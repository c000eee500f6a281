package fault

import (
	"testing"

	"dxd/exchange"
	"dxd/test/party"
)

// TestKilledAtACommitPointUnderLoadNothingIsLost dies where test/e2e has single
// transfers die, with others under way in both directions. Those of pairing,
// rotation, erasing and restored copies are there alone: load does not come by.
func TestKilledAtACommitPointUnderLoadNothingIsLost(t *testing.T) {
	t.Parallel()
	for name, points := range map[string][]exchange.Point{
		"kill -9 where it is promised": {
			exchange.BeforeQueued, exchange.AfterQueued, exchange.BeforeBundled, exchange.AfterBundled, exchange.BeforeGreeted,
		},
		"kill -9 where it arrives": {
			exchange.BeforeReceiving, exchange.AfterReceiving, exchange.BeforeStored, exchange.BeforeReceived, exchange.AfterReceived,
		},
		"kill -9 where it is acknowledged": {
			exchange.BeforeDelivered, exchange.AfterDelivered, exchange.BeforeHeard, exchange.AfterHeard,
		},
		"kill -9 where the application speaks": {
			exchange.BeforeSaid, exchange.AfterSaid, exchange.AfterGreeted,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, name, nil)
			for range times(1, 10) {
				for _, point := range points {
					p.killedAt(point)
					if t.Failed() {
						return
					}
				}
			}
		})
	}
}

// killedAt is one round: either side dies when it comes to a commit point for
// a time that is drawn.
func (p *pair) killedAt(point exchange.Point) {
	p.t.Helper()
	victim := []*party.Org{p.a, p.b}[p.rand.IntN(2)]
	victim.Process.Kill()
	victim.DieAt, victim.DieOn = point, 1+p.rand.IntN(2)
	if point == exchange.BeforeGreeted || point == exchange.AfterGreeted { // a start greets once
		victim.DieOn = 1
	}
	victim.Launch()
	stop := p.load()
	party.Within(p.t, party.Patience, "a death at "+string(point), victim.Process.Gone)
	p.promised(victim, p.accepted(victim))
	victim.StartAfterDeath()
	stop()
	p.checked(p.start)
}
