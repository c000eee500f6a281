package p2p

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"dxd/record"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/quic-go/quic-go"
)

func TestRefusedNodeIsNotDialled(t *testing.T) {
	gate := newDoor()
	a, b := newHost(t, gate), newHost(t, newDoor(), overTCP)
	gate.shut(b.Node())
	_, err := a.Open(testContext(t), b.Node(), b.Addrs(), testProtocol)
	wantKind(t, err, record.Refused)
	if len(gate.dialled) != 0 {
		t.Errorf("addresses were considered: %q", gate.dialled)
	}
}

// Its refusal may come before, while or after a stream is asked for: whoever
// was refused is told the same each time.
func TestWhoIsRefusedIsToldWhyWheneverItIsNoticed(t *testing.T) {
	for name, transport := range map[string]string{"TCP": overTCP, "QUIC": overQUIC} {
		t.Run(name, func(t *testing.T) {
			a, b := newHost(t, newDoor()), newHost(t, nobody{}, transport)
			for range 200 {
				_, err := a.Open(testContext(t), b.Node(), b.Addrs(), testProtocol)
				wantKind(t, err, record.Unavailable)
				if !strings.Contains(record.Hint(err), "may not have accepted this organisation's card") {
					t.Fatalf("it is told %v (%s)", err, record.Hint(err))
				}
			}
		})
	}
}

// Over QUIC that may even be before the dial has come to its end.
func TestARefusalInTheHandshakeIsTold(t *testing.T) {
	for _, v := range []struct {
		cause error
		told  bool
	}{
		{&quic.ApplicationError{Remote: true, ErrorCode: quic.ApplicationErrorCode(network.ConnGated)}, true},
		{&quic.ApplicationError{Remote: true, ErrorCode: quic.ApplicationErrorCode(network.ConnResourceLimitExceeded)}, false},
		{&quic.ApplicationError{ErrorCode: quic.ApplicationErrorCode(network.ConnGated)}, false},
	} {
		others := errors.New("connection refused")
		err := dialError(t.Context(), &swarm.DialError{Cause: swarm.ErrAllDialsFailed, DialErrors: []swarm.TransportError{{Cause: others}, {Cause: v.cause}}})
		wantKind(t, err, record.Unavailable)
		if told := strings.Contains(record.Hint(err), "may not have accepted this organisation's card"); told != v.told {
			t.Errorf("%v: it is told %v (%s)", v.cause, err, record.Hint(err))
		}
	}
}

// Each stage of the gate has to hold by itself, so each is asked here without
// the others.
func TestEachStageOfTheGateAsks(t *testing.T) {
	a, b := newHost(t, newDoor()), newHost(t, newDoor(), overTCP)
	p, err := peerOf(b.Node())
	if err != nil {
		t.Fatal(err)
	}
	addr := ma.StringCast(b.Addrs()[0])
	mustOpenNothing(t, a, b)
	conn := a.net.swarm.ConnsToPeer(p)[0]
	stages := map[string]func(*gater) bool{
		"before a node is dialled":     func(g *gater) bool { return g.InterceptPeerDial(p) },
		"before an address is dialled": func(g *gater) bool { return g.InterceptAddrDial(p, addr) },
		"secured, inbound":             func(g *gater) bool { return g.InterceptSecured(network.DirInbound, p, conn) },
		"secured, outbound":            func(g *gater) bool { return g.InterceptSecured(network.DirOutbound, p, conn) },
		"registered":                   func(g *gater) bool { ok, _ := g.InterceptUpgraded(conn); return ok },
	}
	for name, ask := range stages {
		t.Run(name, func(t *testing.T) {
			gate := newDoor()
			g := newGater(gate, a.gate.trusted, a.log)
			if !ask(g) {
				t.Error("refused one who is admitted")
			}
			gate.shut(b.Node())
			if ask(g) {
				t.Error("let one in who is not admitted")
			}
		})
	}
}

// mustOpenNothing connects a to b with a stream that b has no handler for.
func mustOpenNothing(t *testing.T, a, b *Host) {
	t.Helper()
	_, err := a.Open(testContext(t), b.Node(), b.Addrs(), "/test/none/1")
	wantKind(t, err, record.Unavailable)
	if !a.Connected(b.Node()) {
		t.Fatal("not connected")
	}
}

func TestInboundConnectionOfARefusedNodeServesNothing(t *testing.T) {
	for _, tt := range transportsUnderTest {
		t.Run(tt.name, func(t *testing.T) {
			var served atomic.Int32
			a, b := newHost(t, newDoor()), newHost(t, nobody{}, tt.listen)
			b.Handle(testProtocol, func(context.Context, *Conn) { served.Add(1) })
			_, err := a.Open(testContext(t), b.Node(), b.Addrs(), testProtocol)
			wantKind(t, err, record.Unavailable)
			if b.Connected(a.Node()) || served.Load() != 0 {
				t.Error("a refused node got in")
			}
		})
	}
}

func TestSuspendedNodeGetsNoNewStream(t *testing.T) {
	for _, tt := range transportsUnderTest {
		t.Run(tt.name, func(t *testing.T) {
			gate := newDoor()
			a, b := newHost(t, newDoor()), newHost(t, gate, tt.listen)
			b.Handle(testProtocol, echo)
			c := mustOpen(t, a, b, testProtocol)
			gate.shut(a.Node())
			// The protocol is known by now, so Open itself succeeds or finds
			// the connection closed already; what counts is that nothing
			// comes back.
			if again, err := a.Open(testContext(t), b.Node(), b.Addrs(), testProtocol); err == nil {
				_, err = again.Write([]byte("more"))
				if err == nil {
					_, err = again.Read(make([]byte, 1))
				}
				if err == nil || err == io.EOF {
					t.Fatalf("a suspended node was served (%v)", err)
				}
			}
			// And the connection is gone with that.
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Error("an old stream goes on")
			}
		})
	}
}

func TestDropEndsStreamsAtOnce(t *testing.T) {
	for _, tt := range transportsUnderTest {
		t.Run(tt.name, func(t *testing.T) {
			gate := newDoor()
			a, b := newHost(t, newDoor()), newHost(t, gate, tt.listen)
			started, ended := make(chan struct{}), make(chan error, 1)
			b.Handle(testProtocol, func(_ context.Context, c *Conn) {
				close(started)
				_, err := c.Read(make([]byte, 1))
				ended <- err
			})
			c := mustOpen(t, a, b, testProtocol)
			<-started
			gate.shut(a.Node())
			b.Drop(a.Node())
			wantKind(t, <-ended, record.Unavailable)
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Error("the stream goes on")
			}
			if b.Connected(a.Node()) {
				t.Error("still connected after Drop")
			}
		})
	}
}

// countingListener counts who connects to an address.
func countingListener(t *testing.T) (addr string, accepts *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepts = new(atomic.Int32)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepts.Add(1)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return "/ip4/127.0.0.1/tcp/" + port, accepts
}

func TestForbiddenAddressIsNeverDialled(t *testing.T) {
	forbidden, accepts := countingListener(t)
	gate := newDoor()
	gate.forbid(forbidden)
	a, b := newHost(t, gate), newHost(t, newDoor(), overTCP)
	b.Handle(testProtocol, echo)

	_, err := a.Open(testContext(t), b.Node(), []string{forbidden}, testProtocol)
	wantKind(t, err, record.Refused)

	// Also not when libp2p knows it from elsewhere, which is where a partner
	// would plant it.
	p, err := peerOf(b.Node())
	if err != nil {
		t.Fatal(err)
	}
	a.net.peers.AddAddrs(p, []ma.Multiaddr{ma.StringCast(forbidden)}, addrTTL)
	c, err := a.Open(testContext(t), b.Node(), append(b.Addrs(), forbidden), testProtocol)
	if err != nil {
		t.Fatal(err)
	}
	roundTrip(t, c, []byte("over the allowed address"))
	if n := accepts.Load(); n != 0 {
		t.Errorf("the forbidden address was dialled %d times", n)
	}
}

func TestNameThatLeadsHomeIsNotDialled(t *testing.T) {
	addr, accepts := countingListener(t)
	name := strings.Replace(addr, "/ip4/127.0.0.1", "/dns4/localhost", 1)
	gate := newDoor()
	gate.forbid(addr) // the name is allowed, what it resolves to is private
	a, b := newHost(t, gate), newHost(t, newDoor())
	_, err := a.Open(testContext(t), b.Node(), []string{name}, testProtocol)
	wantKind(t, err, record.Refused)
	if n := accepts.Load(); n != 0 {
		t.Errorf("the address was dialled %d times", n)
	}
}

func TestNameIsDialledWhereTheGateAllowsWhatItLeadsTo(t *testing.T) {
	a, b := newHost(t, newDoor()), newHost(t, newDoor(), overTCP)
	b.Handle(testProtocol, echo)
	name := strings.Replace(b.Addrs()[0], "/ip4/127.0.0.1", "/dns4/localhost", 1)
	c, err := a.Open(testContext(t), b.Node(), []string{name}, testProtocol)
	if err != nil {
		t.Fatal(err)
	}
	roundTrip(t, c, []byte("by name"))
}

func TestAnotherNodeAtTheAddressIsNotTakenForTheNode(t *testing.T) {
	for _, tt := range transportsUnderTest {
		t.Run(tt.name, func(t *testing.T) {
			a, b, c := newHost(t, newDoor()), newHost(t, newDoor()), newHost(t, newDoor(), tt.listen)
			_, err := a.Open(testContext(t), b.Node(), c.Addrs(), testProtocol)
			wantKind(t, err, record.Unavailable)
		})
	}
}

func TestOpenChecksItsArguments(t *testing.T) {
	a, b := newHost(t, newDoor(), overTCP), newHost(t, newDoor())
	tests := []struct {
		name  string
		node  record.NodeID
		addrs []string
		kind  record.Kind
	}{
		{"no node", record.NodeID{}, a.Addrs(), record.Invalid},
		{"itself", a.Node(), a.Addrs(), record.Invalid},
		{"no address", b.Node(), nil, record.Unavailable},
		{"not an address", b.Node(), []string{"192.0.2.1:80"}, record.Invalid},
		{"a relay", b.Node(), []string{"/ip4/192.0.2.1/tcp/1/p2p/" + a.Node().String() + "/p2p-circuit"}, record.Invalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := a.Open(testContext(t), tt.node, tt.addrs, testProtocol)
			wantKind(t, err, tt.kind)
		})
	}
}
