package fault

import (
	"testing"
	"time"

	"dxd/test/party"
)

const day = 24 * time.Hour

func TestAWrongClockLosesNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		steps []time.Duration // by how much the clock is ahead, one after the other
	}{
		{"clock a day ahead, then right", []time.Duration{day, 0}},
		{"clock a day behind, then right", []time.Duration{-day, 0}},
		{"clock stepping back while running", []time.Duration{0, -time.Hour, -day}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, c.name, func(a, _ *party.Org) { a.Clock = c.steps[0] })
			for range times(1, 10) {
				for _, ahead := range c.steps {
					stop := p.load()
					p.a.StepClock(ahead)
					stop()
					p.settled()
				}
				p.load()() // and with the new time from a start on
				p.checked(p.start)
			}
		})
	}
}
