package fault

import (
	"fmt"
	"testing"
	"time"

	"dxd/test/party"
)

// badLink is something that a network does. The load is under way when it
// begins; everything has to arrive, if it is over or if it stays.
type badLink struct {
	name  string
	do    func(p *pair, r *road)
	stays bool // and the load goes over what is left
}

var badLinks = []badLink{
	{"link: cut", func(p *pair, r *road) { p.outage(r, time.Second) }, false},
	{"link: cut every 300 ms", func(p *pair, r *road) {
		for range times(10, 100) {
			pause(300 * time.Millisecond)
			r.cut()
		}
	}, false},
	{"link: black hole", func(p *pair, r *road) {
		r.set(func(r *road) { r.lostTo = [2]bool{true, true} })
		pause(2 * time.Second)
		r.set(func(r *road) { r.lostTo = [2]bool{} })
	}, false},
	{"link: half open", func(_ *pair, r *road) { r.halfOpen() }, false},
	{"link: one direction only", func(p *pair, r *road) {
		side := p.rand.IntN(2)
		r.set(func(r *road) { r.lostTo[side] = true })
		pause(2 * time.Second)
		r.set(func(r *road) { r.lostTo[side] = false })
	}, false},
	{"link: UDP blocked", func(_ *pair, r *road) { r.set(func(r *road) { r.noUDP = true }) }, true},
	{"link: TCP blocked", func(_ *pair, r *road) {
		r.set(func(r *road) { r.noTCP = true })
		r.cut()
	}, true},
	{"link: TCP blocked, then UDP", func(_ *pair, r *road) {
		r.set(func(r *road) { r.noTCP = true })
		r.cut()
		pause(2 * time.Second)
		r.set(func(r *road) { r.noTCP, r.noUDP = false, true })
	}, true},
}

// outage shuts the road for a time, and tells everybody.
func (p *pair) outage(r *road, long time.Duration) {
	r.set(func(r *road) { r.shut = true })
	r.cut()
	pause(long)
	r.set(func(r *road) { r.shut = false })
}

func TestWhateverTheLinkDoesNothingIsLost(t *testing.T) {
	t.Parallel()
	for _, l := range badLinks {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			var r *road
			p := newPair(t, l.name, func(a, b *party.Org) { r = newRoad(t, a, b) })
			p.pace = 50 * time.Millisecond
			for range times(1, 5) {
				stop := p.load()
				pause(time.Duration(p.rand.IntN(300)) * time.Millisecond) // when it begins is drawn
				l.do(p, r)
				stop()
				if l.stays {
					p.load()() // all of it over what is left
				}
				p.checked(p.start)
				r.set(func(r *road) { r.noTCP, r.noUDP = false, false })
			}
		})
	}
}

func TestAPartnerThatMovedIsFoundAgain(t *testing.T) {
	t.Parallel()
	p := newPair(t, "partner's address changed", nil)
	for range times(2, 10) {
		stop := p.load()
		moving := []*party.Org{p.a, p.b}[p.rand.IntN(2)]
		moving.Stop()
		moving.Port = party.FreePort(t)
		listenEverywhere(moving)
		moving.Start()
		stop()
		p.checked(p.start)
	}
}

func listenEverywhere(o *party.Org) {
	// As most do who run it: then a daemon that died tells over QUIC that its
	// connections are dead once it is back, and nobody waits for 30 s.
	o.Config["listen"] = fmt.Sprintf(`["/ip4/0.0.0.0/tcp/%d", "/ip4/0.0.0.0/udp/%d/quic-v1"]`, o.Port, o.Port)
	o.Config["announce"] = fmt.Sprintf(`["/ip4/127.0.0.1/tcp/%d", "/ip4/127.0.0.1/udp/%d/quic-v1"]`, o.Port, o.Port)
}
