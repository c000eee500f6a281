//go:build fault

package fault

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/protocol"

	"dxd/exchange"
	"dxd/test/party"
)

// The addresses on the cable.
var (
	ofAttacked = netip.MustParseAddr("10.77.0.1")
	ofPartner  = netip.MustParseAddr("10.77.0.2")
	ofOthers   = func() (all []netip.Addr) {
		for i := range byte(10) {
			all = append(all, netip.AddrFrom4([4]byte{10, 77, 1, i + 1}))
		}
		return all
	}()
)

// besieged makes two partners at the ends of a cable, and a stranger at b's end
// that is after a: with addresses of its own, and behind b's.
func besieged(t *testing.T) (a, b *party.Org, s *stranger) {
	t.Helper()
	a, b = party.NewOrg(t, "alpha"), party.NewOrg(t, "beta")
	party.Cable{Delay: time.Millisecond}.Connect(t, random(t), a, b)
	for _, addr := range ofOthers {
		party.Run(t, "ip", "-n", party.Namespace(b), "address", "add", addr.String()+"/32", "dev", party.CableDevice)
	}
	party.Run(t, "ip", "-n", party.Namespace(a), "route", "add", "10.77.0.0/16", "dev", party.CableDevice)
	a.Start()
	b.Start()
	party.Pair(a, b)
	return a, b, newStranger(t, party.Namespace(b), a, ofAttacked)
}

// behind makes a partner of a that can't be dialled, behind b's address, with
// a user's patience.
func behind(b, a *party.Org, name string) *party.Org {
	o := party.NewOrg(a.T, name)
	o.Under, o.Patient = b.Under, true
	o.Config["listen"] = "[]"
	o.Start()
	party.Pair(a, o)
	return o
}

const (
	attempts = 10_000
	siegeFor = 12 * time.Second

	// With the pauses that users' daemons make, who is turned away once or
	// twice is there within this time; who is mostly turned away is not.
	getsIn = 15 * time.Second

	maxMemory = 150 << 20 // bytes of RssAnon + RssShmem
	maxMore   = 48 << 20  // than before; the Go runtime gives nothing back at once
)

func TestTenThousandStrangersKeepNobodyOutAndSlowNothingDown(t *testing.T) {
	a, b, s := besieged(t)
	late := behind(b, a, "gamma")
	_, err := late.SuspendPartner(t.Context(), a.Alias) // so that it comes anew
	party.Check(t, err)
	goroutines, files := a.Goroutines(), a.OpenFiles()
	live := stream(b, a)
	calm, before := live.during(3*time.Second), memoryOf(a)

	mark, peak := live.mark(), watch(t, a)
	g := s.besiege(attempts, siegeFor)
	g.reaches(attempts / 4)
	at := time.Now()
	_, err = late.ResumePartner(t.Context(), a.Alias)
	party.Check(t, err)
	d := party.Document{Seed: "in the middle", Size: party.Large}
	late.Delivered(late.SendDocument(a, d))
	came, made := time.Since(at), g.made.Load()
	g.reaches(attempts)
	attacked := live.since(mark)
	g.end()
	after := live.during(3 * time.Second)
	most := peak()
	live.finish()
	a.Keeps(late.AllTransfers()[0].ID, d)

	t.Logf("%d attempts: %s", g.made.Load(), g.tally())
	t.Logf("a partner behind the same address delivered after %s, when there had been %d", came.Round(time.Millisecond), made)
	ratio := 2 * attacked.bytes / (calm.bytes + after.bytes)
	t.Logf("a live transfer: %s before, %s meanwhile, %s after; ratio %.2f", calm, attacked, after, ratio)
	t.Logf("memory: %d MiB before, %d MiB at most; open files: %d before, %d at most", before>>20, most.memory>>20, files, most.files)
	if came > getsIn {
		t.Error("the partner was kept out")
	}
	if ratio < 0.25 { // the attackers' own work takes much of the same processors
		t.Error("the live transfer was slowed down")
	}
	if most.memory > maxMemory {
		t.Error("it took too much memory")
	}
	wantCalm(a, goroutines, files, before)
}

// wantCalm waits until the daemon uses what it used before.
func wantCalm(o *party.Org, goroutines, files int, memory int64) {
	o.T.Helper()
	const one = 8 // partner more than before is connected
	party.Until(o.T, "what was used before", func() string {
		if g, f := o.Goroutines(), o.OpenFiles(); g > goroutines+one || f > files+one {
			return fmt.Sprintf("%d goroutines, not %d; %d open files, not %d", g, goroutines, f, files)
		}
		return ""
	})
	after := memoryOf(o)
	o.T.Logf("afterwards: %d MiB; goroutines: %d before, %d now", after>>20, goroutines, o.Goroutines())
	if after > memory+maxMore {
		o.T.Error("it kept memory")
	}
}

func memoryOf(o *party.Org) int64 {
	o.T.Helper()
	n, err := party.Memory(o.Process.Cmd.Process.Pid)
	party.Check(o.T, err)
	return n
}

// usage is the most that a daemon was seen to use.
type usage struct {
	memory int64
	files  int
}

func watch(t *testing.T, o *party.Org) (peak func() usage) {
	stop := make(chan struct{})
	var most usage
	var owned sync.WaitGroup
	owned.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			now, err := party.Memory(o.Process.Cmd.Process.Pid)
			if err != nil {
				t.Error(err) // it died
				return
			}
			most.memory, most.files = max(most.memory, now), max(most.files, o.OpenFiles())
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	})
	peak = sync.OnceValue(func() usage { close(stop); owned.Wait(); return most })
	t.Cleanup(func() { peak() })
	return peak
}

// siege is an attack that is under way.
type siege struct {
	t     *testing.T
	made  atomic.Int64
	stop  chan struct{}
	owned sync.WaitGroup

	mu    sync.Mutex // guards kinds
	kinds map[string]int
}

// attempt is one way to begin with a daemon, and how many of twenty begin so.
// It is an error if the daemon does what it must not.
type attempt struct {
	name  string
	share int
	do    func(from netip.Addr) error
}

// besiege has so many attempts begin within a time, half of them from the
// partner's address, and goes on at that pace until it is ended.
func (s *stranger) besiege(n int, within time.Duration) *siege {
	as := nobody(s.t)
	var turns []attempt
	for _, a := range []attempt{
		{"silent over TCP", 8, s.silent},
		{"half a hello of TLS", 4, s.half},
		{"Noise", 1, s.noise},
		{"whole over TLS", 2, s.whole(as)},
		{"an Initial of QUIC", 3, s.initial},
		{"half over QUIC", 1, s.halfQUIC(as)},
		{"whole over QUIC", 1, s.wholeQUIC(as)},
	} {
		turns = append(turns, slices.Repeat([]attempt{a}, a.share)...)
	}
	g := &siege{t: s.t, stop: make(chan struct{}), kinds: map[string]int{}}
	g.owned.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for begun, i := time.Now(), 0; ; {
			for due := int(time.Since(begun) * time.Duration(n) / within); i < due; i++ {
				a, from := turns[i%len(turns)], ofPartner
				if round := i / len(turns); round%2 == 1 {
					from = ofOthers[round/2%len(ofOthers)]
				}
				g.owned.Go(func() { g.try(a, from) })
			}
			select {
			case <-g.stop:
				return
			case <-tick.C:
			}
		}
	})
	s.t.Cleanup(g.end)
	return g
}

func (g *siege) try(a attempt, from netip.Addr) {
	g.made.Add(1)
	if err := a.do(from); err != nil {
		g.t.Errorf("%s from %s: %v", a.name, from, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.kinds[a.name]++
}

func (g *siege) reaches(n int64) {
	g.t.Helper()
	party.Until(g.t, "attempts", func() string {
		if made := g.made.Load(); made < n {
			return fmt.Sprintf("%d of %d", made, n)
		}
		return ""
	})
}

// end stops the attack and waits for what is left of it. It may be called again.
func (g *siege) end() {
	select {
	case <-g.stop:
	default:
		close(g.stop)
	}
	g.owned.Wait()
}

func (g *siege) tally() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []string
	for kind, n := range g.kinds {
		all = append(all, fmt.Sprintf("%d %s", n, kind))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// asked is every protocol that a node might speak.
var asked = []protocol.ID{
	exchange.ProtocolTransfer, exchange.ProtocolHello, exchange.ProtocolProof, exchange.ProtocolPair,
	"/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0", "/ipfs/ping/1.0.0", "/libp2p/autonat/1.0.0", "/libp2p/autonat/2/dial-request",
	"/libp2p/circuit/relay/0.2.0/hop", "/libp2p/circuit/relay/0.2.0/stop", "/libp2p/dcutr", "/ipfs/kad/1.0.0", "/meshsub/1.1.0",
}

// A key that nobody knows, and those of nodes that were shut out, get the same
// answer after the same time; and nothing else, whatever they ask for.
func TestStrangersLearnNotWhetherTheyAreUnknownRemovedOrSuspended(t *testing.T) {
	a, b, s := besieged(t)
	removed, suspended := party.NewOrg(t, "delta"), party.NewOrg(t, "epsilon")
	for _, o := range []*party.Org{removed, suspended} {
		o.Start()
		party.Pair(a, o)
		o.Stop()
	}
	_, err := a.RemovePartner(t.Context(), removed.Alias)
	party.Check(t, err)
	_, err = a.SuspendPartner(t.Context(), suspended.Alias)
	party.Check(t, err)
	callers := []caller{nobody(t), callerWith(t, removed.Keys.NodeSigner()), callerWith(t, suspended.Keys.NodeSigner())}
	partner := callerWith(t, b.Keys.NodeSigner())
	for name, call := range map[string]func(netip.Addr, caller, ...protocol.ID) (answer, error){"TCP": s.overTCP, "QUIC": s.overQUIC} {
		t.Run(name, func(t *testing.T) {
			got, err := call(ofPartner, partner, exchange.ProtocolHello)
			party.Check(t, err)
			if got.served == "" {
				t.Fatalf("a partner is not served, but told %q: this tries nothing", got.end)
			}
			for i, c := range callers {
				for _, from := range ofOthers[:5] {
					got, err := call(from, c, asked...)
					party.Check(t, err)
					if got.served != "" {
						t.Errorf("the %s is served %s", standings[i], got.served)
					}
				}
			}
			wantAlike(t, random(t), callers, call)
		})
	}
}

var standings = []string{"unknown", "removed", "suspended"}

// wantAlike has the callers come again and again, in a drawn order, and compares
// how they are ended, and the medians of when. These may differ by as much as
// half of all times lie apart, which is several times what chance does to them.
func wantAlike(t *testing.T, draw *rand.Rand, callers []caller, call func(netip.Addr, caller, ...protocol.ID) (answer, error)) {
	t.Helper()
	after := make([][]time.Duration, len(callers))
	ends := make([]map[string]bool, len(callers))
	for round := range times(60, 120) { // from ten addresses, each of which may come 64 times at once
		for _, i := range draw.Perm(len(callers)) {
			got, err := call(ofOthers[round%len(ofOthers)], callers[i])
			party.Check(t, err)
			after[i] = append(after[i], got.after)
			if ends[i] == nil {
				ends[i] = map[string]bool{}
			}
			ends[i][got.end] = true
		}
	}
	all := slices.Concat(after...)
	spread := quantile(all, 3) - quantile(all, 1)
	for i, standing := range standings {
		median := quantile(after[i], 2)
		t.Logf("%s: %v after %s", standing, slices.Collect(maps.Keys(ends[i])), median)
		if !maps.Equal(ends[i], ends[0]) || len(ends[i]) != 1 {
			t.Errorf("the %s is told %v, the unknown %v", standing, ends[i], ends[0])
		}
		if apart := median - quantile(after[0], 2); apart.Abs() > spread {
			t.Errorf("the %s is told %s later than the unknown, where half of all lie within %s", standing, apart, spread)
		}
	}
	t.Logf("half of all are told within %s", spread)
}

// quantile is the first, second or third quartile.
func quantile(of []time.Duration, quarter int) time.Duration {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)*quarter/4]
}
