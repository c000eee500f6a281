package p2p

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dxd/record"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

func newTestResources(t *testing.T) (resources, *trusted) {
	t.Helper()
	res, trusted, err := newResources()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := res.Close(); err != nil {
			t.Error(err)
		}
	})
	return res, trusted
}

const elsewhere = "/ip4/198.51.100.7/tcp/"

// incoming is an inbound connection of which only the address is looked at.
type incoming struct {
	manet.Conn
	from  ma.Multiaddr
	scope network.ConnManagementScope
	shut  bool
}

func (c *incoming) RemoteMultiaddr() ma.Multiaddr { return c.from }

// Close ends the handshake, as libp2p does when its connection is gone.
func (c *incoming) Close() error {
	c.shut = true
	c.scope.Done()
	return nil
}

func arrive(t *testing.T, res resources, from string) *incoming {
	t.Helper()
	c := &incoming{from: ma.StringCast(from)}
	var err error
	if c.scope, err = res.acceptTCP(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.scope.Done)
	return c
}

// come begins handshakes from one address, one after the other.
func come(t *testing.T, res resources, n int, host string) (all []*incoming) {
	t.Helper()
	for port := range n {
		all = append(all, arrive(t, res, host+strconv.Itoa(port+1)))
	}
	return all
}

// shut is which of them were shut.
func shut(all []*incoming) (which []bool) {
	for _, c := range all {
		which = append(which, c.shut)
	}
	return which
}

func countShut(all []*incoming) (n int) {
	for _, s := range shut(all) {
		if s {
			n++
		}
	}
	return n
}

func TestTheNewestHandshakesStay(t *testing.T) {
	res, _ := newTestResources(t)
	all := come(t, res, maxHandshakes+10, elsewhere)
	which := shut(all)
	if countShut(all) != 10 || slices.Contains(which[:10], false) {
		t.Errorf("of %d, %d were shut; of the first ten, %v", len(all), countShut(all), which[:10])
	}
}

func TestFloodFromOneAddressLeavesOthersWhereTheyAre(t *testing.T) {
	res, _ := newTestResources(t)
	others := come(t, res, 5, "/ip4/203.0.113.9/tcp/")
	come(t, res, 3*maxHandshakes, elsewhere)
	others = append(others, come(t, res, 5, "/ip4/203.0.113.10/tcp/")...)
	come(t, res, maxHandshakes, elsewhere)
	if n := countShut(others); n != 0 {
		t.Errorf("%d handshakes of others were shut", n)
	}
}

func TestFloodFromOneAddressLeavesRoomForDialling(t *testing.T) {
	res, _ := newTestResources(t)
	come(t, res, 2*maxHandshakes, elsewhere)
	for range maxDialling {
		scope, err := res.OpenConnection(network.DirOutbound, true, ma.StringCast(elsewhere+"4001"))
		if err != nil {
			t.Fatalf("dialling: %v", err)
		}
		t.Cleanup(scope.Done)
	}
}

func TestFloodFromManyAddressesLeavesSourcesOfPartnersWhereTheyAre(t *testing.T) {
	res, trusted := newTestResources(t)
	node := newNode(t)
	trusted.add(node, ma.StringCast(elsewhere+"9"))
	partners := come(t, res, 1, elsewhere)
	for i := range 2 * maxHandshakes {
		come(t, res, 1, fmt.Sprintf("/ip4/203.0.%d.%d/tcp/", i/250, i%250))
	}
	if countShut(partners) != 0 {
		t.Error("a partner's handshake was shut")
	}
	trusted.forget(node)
	forgotten := come(t, res, 1, elsewhere)
	for i := range maxHandshakes {
		come(t, res, 1, fmt.Sprintf("/ip4/203.1.%d.%d/tcp/", i/250, i%250))
	}
	if countShut(forgotten) != 1 {
		t.Error("a source that was forgotten is kept")
	}
}

func TestWhoseNodeIsKnownIsNoLongerDisplaced(t *testing.T) {
	res, _ := newTestResources(t)
	c := arrive(t, res, elsewhere+"9")
	if err := c.scope.SetPeer(newNode(t)); err != nil {
		t.Fatal(err)
	}
	come(t, res, 2*maxHandshakes, elsewhere)
	if c.shut {
		t.Error("it was shut")
	}
}

func TestPlacesAreGivenBack(t *testing.T) {
	res, _ := newTestResources(t)
	for range 3 * maxHandshakes {
		c := arrive(t, res, elsewhere+"9")
		if c.shut {
			t.Fatal("it was displaced by none")
		}
		c.scope.Done()
		c.scope.Done() // as libp2p may
	}
	for _, p := range []*pool{res.tcp.strangers, res.tcp.met} {
		if len(p.pending) != 0 || len(p.of) != 0 {
			t.Errorf("%d places are taken, %v", len(p.pending), p.of)
		}
	}
}

// fillQUIC begins handshakes from one address until one is refused.
func fillQUIC(t *testing.T, res resources, host string) (n int, refusal error) {
	t.Helper()
	for ; ; n++ {
		scope, err := res.acceptQUIC(ma.StringCast(fmt.Sprintf("%s/udp/%d/quic-v1", host, n+1)))
		if err != nil {
			return n, err
		}
		t.Cleanup(scope.Done)
	}
}

func TestFloodOverQUICFillsNeitherThePoolNorThatOfTCP(t *testing.T) {
	res, trusted := newTestResources(t)
	trusted.add(newNode(t), ma.StringCast("/ip4/192.0.2.1/udp/1/quic-v1"))
	n, err := fillQUIC(t, res, "/ip4/198.51.100.7")
	if n != maxHandshakesQUIC/4 || !errors.Is(err, errTooMany) {
		t.Errorf("%d connections from one address, then %v", n, err)
	}
	for i := range 3 {
		fillQUIC(t, res, fmt.Sprintf("/ip4/203.0.113.%d", i))
	}
	if n, _ := fillQUIC(t, res, "/ip4/203.0.113.9"); n != 0 {
		t.Errorf("%d beyond the pool", n)
	}
	if n, _ := fillQUIC(t, res, "/ip4/192.0.2.1"); n != maxHandshakesQUIC/4 {
		t.Errorf("%d from where a partner was met", n)
	}
	if countShut(come(t, res, maxHandshakes, elsewhere)) != 0 {
		t.Error("TCP has less room")
	}
}

func TestHandshakesAreComputedAtAPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trusted := &trusted{of: map[peer.ID][]source{}, all: map[source]int{}}
		pools := newPools(trusted, maxHandshakes)
		trusted.add(newNode(t), ma.StringCast("/ip4/192.0.2.1/tcp/1"))
		computed := func(from string) (n int) {
			for pools.mayBegin(netip.MustParseAddr(from)) {
				n++
			}
			return n
		}
		for from, want := range map[string][2]int{"198.51.100.7": {inboundBurst, inboundRate}, "192.0.2.1": {metBurst, metRate}, "2001:db8::1": {inboundBurst, inboundRate}} {
			if n := computed(from); n != want[0] {
				t.Errorf("%d at once from %s", n, from)
			}
			time.Sleep(time.Second)
			if n := computed(from); n != want[1] {
				t.Errorf("%d a second from %s", n, from)
			}
		}
		if n := computed("2001:db8::ff"); n >= inboundBurst {
			t.Errorf("%d more from the same IPv6 network", n)
		}
	})
}

func newNode(t *testing.T) peer.ID {
	t.Helper()
	id, err := newIdentity(newSigner(t))
	if err != nil {
		t.Fatal(err)
	}
	return id.peer
}

func TestTrustedAddressesOfOneNodeAreBounded(t *testing.T) {
	_, trusted := newTestResources(t)
	node := newNode(t)
	at := func(i int) ma.Multiaddr { return ma.StringCast("/ip4/198.51.100." + strconv.Itoa(i) + "/tcp/1") }
	for i := range 3 * maxTrusted {
		trusted.add(node, at(i))
	}
	if n := len(trusted.of[node]); n != maxTrusted || len(trusted.all) != n {
		t.Errorf("%d are kept, %d in all", n, len(trusted.all))
	}
	if trusted.has(sourceOf(at(0))) {
		t.Error("the oldest is still trusted")
	}
	if !trusted.has(sourceOf(at(3*maxTrusted - 1))) {
		t.Error("the newest is not trusted")
	}
	trusted.forget(node)
	if len(trusted.all) != 0 || len(trusted.of) != 0 {
		t.Error("it is not forgotten")
	}
}

func TestASourceIsTrustedOnceANodeWasLetInFromThere(t *testing.T) {
	for _, tt := range transportsUnderTest {
		t.Run(tt.name, func(t *testing.T) {
			gate := newDoor()
			a, b := newHost(t, newDoor()), newHost(t, gate, tt.listen)
			here := sourceOfIP(netip.MustParseAddr("127.0.0.1"))
			mustOpenNothing(t, a, b)
			if !b.gate.trusted.has(here) {
				t.Error("the source of one that was let in is not trusted")
			}
			gate.shut(a.Node())
			b.Drop(a.Node())
			if b.gate.trusted.has(here) {
				t.Error("the source of one that was shut out is trusted")
			}
			a.Drop(b.Node())
			_, err := a.Open(testContext(t), b.Node(), b.Addrs(), testProtocol)
			wantKind(t, err, record.Unavailable)
			if b.gate.trusted.has(here) {
				t.Error("the source of one that was refused is trusted")
			}
		})
	}
}

func TestLibp2pSpeaksAtDebugLevelOnly(t *testing.T) {
	for level, want := range map[slog.Level]bool{slog.LevelDebug: true, slog.LevelInfo: false} {
		var out bytes.Buffer
		inner := slog.NewTextHandler(&out, &slog.HandlerOptions{Level: level})
		slog.New(demoted{inner}).With("a", 1).WithGroup("g").Error("something with an address")
		if got := strings.Contains(out.String(), "level=DEBUG"); got != want || strings.Contains(out.String(), "ERROR") {
			t.Errorf("at %v: %q", level, out.String())
		}
	}
}
