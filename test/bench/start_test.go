//go:build bench

package bench

import (
	"testing"
	"time"

	"dxd/test/party"
)

var start = group{name: "start", measure: measureStart, rows: []Row{
	{Name: "start-up", What: "start-up to ready", Unit: "ms", AtLeast: 300, Less: true},
	{Name: "idle", What: "processor time of a daemon that is connected and has nothing to do", Unit: "% of a core", AtLeast: 0.5, Less: true},
}}

// idleness is how long a daemon is watched that has nothing to do.
const idleness = 5 * time.Second

func measureStart(t *testing.T, s *suite) {
	p := newPair(t, s, "tcp")
	var ready, idle []float64
	for range *runs {
		if s.wants("idle") {
			idle = append(idle, p.idle(t)...)
		}
		if s.wants("start-up") {
			ready = append(ready, s.restart(t).Seconds()*1e3)
		}
	}
	if len(idle) > 0 {
		s.found("idle", "", idle...)
	}
	if len(ready) > 0 {
		s.found("start-up", "", ready...)
	}
}

// restart starts the daemon of an organisation that was used, and says how
// long it took.
func (s *suite) restart(t *testing.T) time.Duration {
	t.Helper()
	o := s.newOrg(t, "gamma", "tcp")
	o.Start()
	o.Stop()
	took := o.Start()
	o.Stop()
	return took
}

func (p pair) idle(t *testing.T) (percent []float64) {
	t.Helper()
	before := map[*party.Org]time.Duration{}
	for _, o := range []*party.Org{p.a, p.b} {
		before[o] = o.ProcessorTime()
	}
	<-time.After(idleness)
	for o, was := range before {
		percent = append(percent, 100*float64(o.ProcessorTime()-was)/float64(idleness))
	}
	return percent
}
