//go:build bench

package bench

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dxd/test/party"
)

var link = group{name: "link", long: true, measure: measureLink, rows: []Row{
	{Name: "link-clean", What: "speed of `auto` over a link of 100 ms round trip", Unit: "× the better of TCP and QUIC", AtLeast: 0.8},
	{Name: "link-lossy", What: "speed of `auto` over a link of 100 ms round trip that loses 0.1 %", Unit: "× the better of TCP and QUIC", AtLeast: 0.8},
}}

func measureLink(t *testing.T, s *suite) {
	if _, err := os.Stat("/dev/net/tun"); err != nil || os.Geteuid() != 0 {
		for _, row := range []string{"link-clean", "link-lossy"} {
			s.missing(row, "a network of one's own takes root and /dev/net/tun")
		}
		return
	}
	far := 50 * time.Millisecond
	overLink(t, s, "link-clean", party.Cable{Delay: far}, *sizeMiB<<20/8)
	overLink(t, s, "link-lossy", party.Cable{Delay: far, Loss: 0.001}, *sizeMiB<<20/64)
}

// overLink sends a document with each preference in turn. What is lost comes
// from one seed.
func overLink(t *testing.T, s *suite, row string, c party.Cable, size int64) {
	if !s.wants(row) {
		return
	}
	file := filepath.Join(t.TempDir(), "document")
	fill(t, file, size)
	p := pair{a: s.newOrg(t, "alpha", "tcp"), b: s.newOrg(t, "beta", "tcp")}
	c.Connect(t, rand.New(rand.NewPCG(1, 2)), p.a, p.b)
	paired := false
	var ratios []float64
	for range *runs {
		took := map[string]float64{}
		for _, prefer := range []string{"tcp", "quic", "auto"} {
			for _, o := range []*party.Org{p.a, p.b} {
				o.Config["transport.prefer"] = fmt.Sprintf("%q", prefer)
				o.Start()
			}
			if !paired {
				party.Pair(p.a, p.b)
				paired = true
			}
			p.a.Delivered(p.a.SendDocument(p.b, party.Document{Seed: "first", Size: 1}))
			id, _ := p.send(t, file)
			cost := p.delivered(t, id)
			s.measured(fmt.Sprintf("%s, %d MiB, %s", row, size>>20, prefer)).add(cost)
			took[prefer] = cost.Wall.Seconds()
			p.a.Stop()
			p.b.Stop()
		}
		ratios = append(ratios, min(took["tcp"], took["quic"])/took["auto"])
	}
	s.found(row, "", ratios...)
}
