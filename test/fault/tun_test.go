//go:build fault

package fault

import (
	"testing"
	"time"

	"dxd/test/party"
)

func TestOverABadLineNothingIsLost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		party.Cable
	}{
		{"line: 1 % loss, 100 ms round trip", party.Cable{Loss: 0.01, Delay: 50 * time.Millisecond}},
		{"line: 256 kbit/s", party.Cable{Rate: 256_000 / 8, Delay: 5 * time.Millisecond}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, c.name, func(a, b *party.Org) { c.Connect(t, random(t), a, b) })
			if c.Rate != 0 {
				p.largest = 100 << 10
			}
			for range times(2, 20) {
				p.load()()
				p.checked(p.start)
			}
			// And a death on it.
			p.killedUnderLoad([]*party.Org{[]*party.Org{p.a, p.b}[p.rand.IntN(2)]})
		})
	}
}
