package p2p

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"dxd/record"
)

func TestPortInUseIsAConflict(t *testing.T) {
	for _, tt := range transportsUnderTest {
		t.Run(tt.name, func(t *testing.T) {
			first := newHost(t, newDoor(), tt.listen)
			taken := first.Addrs()[0]
			any := strings.Replace(taken, "127.0.0.1", "0.0.0.0", 1)
			for _, addr := range []string{taken, any} {
				_, err := New(Config{Identity: newSigner(t), Listen: []string{addr}, Gate: newDoor()})
				wantKind(t, err, record.Conflict)
				if record.Hint(err) == "" {
					t.Errorf("%v has no hint", err)
				}
			}
		})
	}
}

func TestOneAddressThatCannotBeBoundFailsTheHost(t *testing.T) {
	first := newHost(t, newDoor(), overQUIC)
	_, err := New(Config{Identity: newSigner(t), Listen: []string{overTCP, first.Addrs()[0]}, Gate: newDoor()})
	wantKind(t, err, record.Conflict)
}

func TestConfigIsChecked(t *testing.T) {
	good := Config{Identity: newSigner(t), Listen: []string{overTCP}, Gate: newDoor()}
	tests := []struct {
		name   string
		change func(*Config)
	}{
		{"no gate", func(c *Config) { c.Gate = nil }},
		{"no identity", func(c *Config) { c.Identity = nil }},
		{"listening on a name", func(c *Config) { c.Listen = []string{"/dns4/localhost/tcp/0"} }},
		{"listening on plain UDP", func(c *Config) { c.Listen = []string{"/ip4/127.0.0.1/udp/0"} }},
		{"listening on another machine's address", func(c *Config) { c.Listen = []string{"/ip4/192.0.2.1/tcp/0"} }},
		{"announcing nonsense", func(c *Config) { c.Announce = []string{"example.org:4001"} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := good
			tt.change(&cfg)
			_, err := New(cfg)
			wantKind(t, err, record.Invalid)
		})
	}
}

func TestAddrsHaveRealPortsAndNoUnspecifiedAddress(t *testing.T) {
	h := newHost(t, newDoor(), "/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/udp/0/quic-v1")
	if len(h.Addrs()) < 2 {
		t.Fatalf("addresses %q", h.Addrs())
	}
	for _, a := range h.Addrs() {
		if _, err := checkAddr(a); err != nil || strings.Contains(a, "/0.0.0.0/") || strings.Contains(a, "/tcp/0") || strings.Contains(a, "/udp/0/") {
			t.Errorf("announces %s (%v)", a, err)
		}
	}
}

func TestAnnouncedAddressesReplaceThoseListenedOn(t *testing.T) {
	announce := []string{"/dns4/node.example.org/tcp/4001"}
	h := startHost(t, Config{Identity: newSigner(t), Listen: []string{overTCP}, Announce: announce, Gate: newDoor()})
	if got := h.Addrs(); len(got) != 1 || got[0] != announce[0] {
		t.Errorf("announces %q", got)
	}
}

func TestIdentityKeepsItsPrivateKey(t *testing.T) {
	id, err := newIdentity(newSigner(t))
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := id.Raw(); err == nil || raw != nil {
		t.Error("the private key can be read")
	}
	one, err := id.secret("one")
	if err != nil {
		t.Fatal(err)
	}
	same, err := id.secret("one")
	if err != nil {
		t.Fatal(err)
	}
	other, err := id.secret("other")
	if err != nil {
		t.Fatal(err)
	}
	if one != same || one == other {
		t.Error("secrets are not a function of their label")
	}
}

func TestCloseWaitsForHandlers(t *testing.T) {
	for _, tt := range transportsUnderTest {
		t.Run(tt.name, func(t *testing.T) {
			a, b := newHost(t, newDoor()), newHost(t, newDoor(), tt.listen)
			started, ended := make(chan struct{}), make(chan error, 2)
			b.Handle(testProtocol, func(ctx context.Context, c *Conn) {
				close(started)
				_, err := io.Copy(io.Discard, c) // ends only because Close resets the stream
				<-ctx.Done()
				ended <- errors.Join(err, ctx.Err())
			})
			mustOpen(t, a, b, testProtocol)
			<-started
			mustClose(t, b)
			select {
			case err := <-ended:
				if !errors.Is(err, context.Canceled) || record.KindOf(err) != record.Unavailable {
					t.Errorf("the handler saw %v", err)
				}
			default:
				t.Error("Close returned before the handler")
			}
			_, err := b.Open(testContext(t), a.Node(), []string{"/ip4/127.0.0.1/tcp/9"}, testProtocol)
			wantKind(t, err, record.Unavailable)
		})
	}
}

func TestOpenEndsWithItsContext(t *testing.T) {
	a, b := newHost(t, newDoor()), newHost(t, newDoor(), overTCP)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := a.Open(ctx, b.Node(), b.Addrs(), testProtocol)
	wantKind(t, err, record.Timeout)
}

func TestWatchersSeeComingAndGoingInOrder(t *testing.T) {
	type seen struct {
		node record.NodeID
		up   bool
	}
	a, b := newHost(t, newDoor()), newHost(t, newDoor(), overTCP)
	b.Handle(testProtocol, echo)
	events := make(chan seen, 16)
	b.Watch(func(node record.NodeID, up bool) { events <- seen{node, up} })
	for range 3 {
		mustOpen(t, a, b, testProtocol)
		if got := <-events; got != (seen{a.Node(), true}) {
			t.Fatalf("saw %v", got)
		}
		late := make(chan seen, 16)
		b.Watch(func(node record.NodeID, up bool) {
			if up {
				late <- seen{node, up}
			}
		})
		if got := <-late; got != (seen{a.Node(), true}) {
			t.Fatalf("a late watcher saw %v", got)
		}
		a.Drop(b.Node())
		if got := <-events; got != (seen{a.Node(), false}) {
			t.Fatalf("saw %v", got)
		}
	}
}

func TestPreferenceDecidesTheTransport(t *testing.T) {
	tests := []struct {
		name   string
		prefer Prefer
		listen []string
		want   string
	}{
		{"auto takes tcp", Auto, []string{overTCP, overQUIC}, "tcp"},
		{"tcp takes tcp", TCP, []string{overTCP, overQUIC}, "tcp"},
		{"quic takes quic", QUIC, []string{overTCP, overQUIC}, "quic"},
		{"auto takes quic where there is no tcp", Auto, []string{overQUIC}, "quic"},
		{"tcp takes quic where there is no tcp", TCP, []string{overQUIC}, "quic"},
		{"quic takes tcp where there is no quic", QUIC, []string{overTCP}, "tcp"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := startHost(t, Config{Identity: newSigner(t), Gate: newDoor(), Prefer: tt.prefer})
			b := newHost(t, newDoor(), tt.listen...)
			b.Handle(testProtocol, echo)
			if c := mustOpen(t, a, b, testProtocol); c.Transport() != tt.want {
				t.Errorf("went over %s", c.Transport())
			}
		})
	}
}

func TestQUICIsTakenWhereTCPIsDead(t *testing.T) {
	dead, _ := countingListener(t) // accepts and closes at once
	a, b := newHost(t, newDoor()), newHost(t, newDoor(), overQUIC)
	b.Handle(testProtocol, echo)
	c, err := a.Open(testContext(t), b.Node(), append(b.Addrs(), dead), testProtocol)
	if err != nil {
		t.Fatal(err)
	}
	if c.Transport() != "quic" {
		t.Errorf("went over %s", c.Transport())
	}
}

func TestPreferIsReadAsItIsWritten(t *testing.T) {
	for _, p := range []Prefer{Auto, TCP, QUIC} {
		if got, err := ParsePrefer(p.String()); err != nil || got != p {
			t.Errorf("%s is read as %v (%v)", p, got, err)
		}
	}
	_, err := ParsePrefer("udp")
	wantKind(t, err, record.Invalid)
}
