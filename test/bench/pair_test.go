//go:build bench

package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"dxd/client"
	"dxd/record"
	"dxd/test/party"
)

// transports are what daemons listen on: nothing else can be dialled.
var transports = map[string]string{"tcp": "/ip4/127.0.0.1/tcp/%d", "quic": "/ip4/127.0.0.1/udp/%d/quic-v1"}

// pair is two daemons that know each other.
type pair struct {
	a, b *party.Org
	told *int64 // up to where a's log of events was read

	stop []func() // each daemon, once
}

// peak is the most memory that a daemon had.
type peak struct {
	name  string
	bytes float64
}

// newPair starts two daemons which speak over one transport, and watches their
// memory. They stop with the test.
func newPair(t *testing.T, s *suite, transport string) pair {
	t.Helper()
	p := pair{a: s.newOrg(t, "alpha", transport), b: s.newOrg(t, "beta", transport), told: new(int64)}
	for _, o := range []*party.Org{p.a, p.b} {
		o.Start()
		p.stop = append(p.stop, s.watch(t, o))
	}
	party.Pair(p.a, p.b)
	// Connected, and past what is done once.
	p.a.Delivered(p.a.SendDocument(p.b, party.Document{Seed: "first", Size: 1 << 20}))
	return p
}

// newOrg is an organisation whose daemon is the program that is measured.
func (s *suite) newOrg(t *testing.T, name, transport string) *party.Org {
	t.Helper()
	o := party.NewOrg(t, name)
	o.Config["listen"] = fmt.Sprintf("[%q]", fmt.Sprintf(transports[transport], o.Port))
	o.Config["quota.transfers_per_minute"] = "0"
	o.Program = []string{program, "run", "--dir", o.Dir}
	if *profiles != "" { // the same code, but that it can tell where it spends its time
		o.Program = nil
		o.Profile = filepath.Join(*profiles, fmt.Sprintf("%s-%s-%s.pprof", filepath.Base(t.Name()), transport, name))
		if !slices.Contains(s.profiles, o.Profile) {
			s.profiles = append(s.profiles, o.Profile)
		}
	}
	return o
}

// watch watches the memory of a daemon until it is told to end, at the latest
// with the test. Then it stops the daemon.
func (s *suite) watch(t *testing.T, o *party.Org) (end func()) {
	t.Helper()
	peakOf := o.WatchMemory()
	name := filepath.Base(t.Name()) + ", " + o.Name
	end = sync.OnceFunc(func() {
		most := float64(peakOf())
		s.peaks = append(s.peaks, peak{name, most})
		t.Logf("%s: peak of %.0f MB", name, most/1e6)
		o.Stop()
	})
	t.Cleanup(end)
	return end
}

// fill makes a file of random bytes that is on the disk, and in the page cache.
func fill(t *testing.T, name string, size int64) {
	t.Helper()
	f, err := os.Create(name)
	party.Check(t, err)
	_, err = f.ReadFrom(party.Document{Seed: name, Size: size}.Open())
	party.Check(t, err)
	party.Check(t, f.Sync())
	party.Check(t, f.Close())
}

// send sends a file, and says how long it took until it was queued.
func (p pair) send(t *testing.T, file string) (record.TransferID, Cost) {
	t.Helper()
	f, err := os.Open(file)
	party.Check(t, err)
	defer f.Close()
	info, err := f.Stat()
	party.Check(t, err)
	var id record.TransferID
	took := timed(t, func() {
		sent, err := p.a.Send(t.Context(), client.Submission{To: []string{p.b.Alias}, Name: "document"}, f, info.Size())
		party.Check(t, err)
		id = sent.Transfers[0].ID
	}, p.a, p.b)
	return id, took
}

// delivered waits for the receipt, and says how long it took.
func (p pair) delivered(t *testing.T, id record.TransferID) Cost {
	t.Helper()
	return timed(t, func() { p.a.DeliveredWithin(time.Hour, id) }, p.a, p.b)
}

// erase makes room for the next run, at both ends.
func (p pair) erase(t *testing.T, ids ...record.TransferID) {
	t.Helper()
	for _, o := range []*party.Org{p.a, p.b} {
		for _, id := range ids {
			_, err := o.Erase(t.Context(), id)
			party.Check(t, err)
		}
	}
}

// eraseAll is erase of whatever has a file.
func (p pair) eraseAll(t *testing.T) {
	t.Helper()
	for _, v := range p.a.AllTransfers() {
		if !v.Erased {
			p.erase(t, v.ID)
		}
	}
	for _, o := range []*party.Org{p.a, p.b} {
		party.Until(t, "no payload at "+o.Name, func() string {
			if n := len(o.Payloads()); n > 0 {
				return fmt.Sprint(n, " are left")
			}
			return ""
		})
	}
}
