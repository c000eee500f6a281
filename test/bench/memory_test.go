//go:build bench

package bench

import "testing"

var memory = group{name: "memory", measure: measureMemory, rows: []Row{
	{Name: "memory", What: "peak RssAnon + RssShmem of a daemon in any of these", Unit: "MB", AtLeast: 150, Aim: 100, Less: true},
}}

// measureMemory tells of the daemon that had most.
func measureMemory(t *testing.T, s *suite) {
	var most peak
	for _, p := range s.peaks {
		if p.bytes > most.bytes {
			most = p
		}
	}
	if most.bytes == 0 {
		s.missing("memory", "it is watched while other rows are measured")
		return
	}
	s.found("memory", most.name, most.bytes/1e6)
}
