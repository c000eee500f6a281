//go:build bench

package bench

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dxd/client"
	"dxd/internal/config"
	"dxd/internal/daemon"
	"dxd/internal/statedir"
	"dxd/record"
	"dxd/test/party"
)

var crowd = group{name: "partners", measure: measureCrowd, rows: []Row{
	{Name: "partners", What: "speed of work for half of the partners while work waits for the other half, who are away", Unit: "× the same with nobody away", AtLeast: 0.8},
	{Name: "partners-memory", What: "peak RssAnon + RssShmem of a daemon with so many partners, each with work waiting", Unit: "MB", AtLeast: 300, Aim: 150, Less: true},
}}

// guest is a partner of the daemon that is measured. Its daemon runs in this
// process, with hosts and journals like those of any other.
type guest struct {
	*party.Org
	running *daemon.Daemon
}

func newGuest(t *testing.T, hub *party.Org, name string) *guest {
	t.Helper()
	g := &guest{Org: party.NewOrg(t, name)}
	listen := fmt.Sprintf("listen = [%q]\nlog.level = \"error\"\n", fmt.Sprintf(transports["tcp"], g.Port))
	party.Check(t, os.WriteFile(filepath.Join(g.Dir, "dxd.toml"), []byte(listen), 0o600))
	g.start(t)
	t.Cleanup(func() { g.stop(t) })
	party.Pair(hub, g.Org)
	return g
}

func (g *guest) start(t *testing.T) {
	t.Helper()
	dir, err := statedir.Open(g.Dir)
	party.Check(t, err)
	c, err := config.Load(g.Dir, func(string) (string, bool) { return "", false })
	party.Check(t, err)
	keys, err := party.Unlock(dir)
	party.Check(t, err)
	g.running, err = daemon.Start(t.Context(), daemon.Options{Dir: dir, Config: c, Keys: keys, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	party.Check(t, err)
}

// stop stops the daemon; twice does nothing.
func (g *guest) stop(t *testing.T) {
	t.Helper()
	if g.running != nil {
		party.Check(t, g.running.Stop())
		g.running = nil
	}
}

func measureCrowd(t *testing.T, s *suite) {
	hub := s.newOrg(t, "hub", "tcp")
	hub.Start()
	peakOf := hub.WatchMemory()
	var guests []*guest
	for i := range *partners {
		guests = append(guests, newGuest(t, hub, fmt.Sprint("guest-", i)))
	}
	p := pair{a: hub, told: new(int64)}
	here, away := guests[:len(guests)/2], guests[len(guests)/2:]
	p.allDelivered(t, work(t, hub, guests)) // past what is done once
	var alone, beside, ratios []float64
	for range *runs {
		alone = append(alone, p.finish(t, s, "work for half of the partners", here))
	}
	for _, g := range away {
		g.stop(t)
	}
	waiting := work(t, hub, away)
	for range *runs {
		beside = append(beside, p.finish(t, s, "the same, while others are away", here))
	}
	back := timed(t, func() {
		for _, g := range away {
			g.start(t)
		}
		p.allDelivered(t, waiting)
	}, hub)
	s.measured("the others start, and get theirs").add(back)
	for i := range alone {
		ratios = append(ratios, alone[i]/beside[i])
	}
	s.found("partners", fmt.Sprintf("%d partners", len(guests)), ratios...)
	s.found("partners-memory", "", float64(peakOf())/1e6)
	hub.Stop()
}

// finish gives each some work, and says how many seconds it takes until all of
// it is done.
func (p pair) finish(t *testing.T, s *suite, what string, to []*guest) float64 {
	t.Helper()
	took := timed(t, func() { p.allDelivered(t, work(t, p.a, to)) }, p.a)
	s.measured(what).add(took)
	return took.Wall.Seconds()
}

// work hands over a document and some messages for each.
func work(t *testing.T, hub *party.Org, to []*guest) (ids []record.TransferID) {
	t.Helper()
	const size = 256 << 10
	for _, g := range to {
		ids = append(ids, first(t)(hub.Send(t.Context(), client.Submission{To: []string{g.Alias}, Name: "document"}, io.LimitReader(zero{}, size), size)))
		for range 4 {
			ids = append(ids, first(t)(hub.SendMessage(t.Context(), client.Submission{To: []string{g.Alias}}, strings.NewReader("hello"), 5)))
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	return ids
}
