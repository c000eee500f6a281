package p2p

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dxd/record"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/prometheus/client_golang/prometheus"
)

// newStranger is an ordinary libp2p host with all its defaults.
func newStranger(t *testing.T, opts ...libp2p.Option) host.Host {
	t.Helper()
	h, err := libp2p.New(append(opts, libp2p.NoListenAddrs, libp2p.DisableMetrics())...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func infoOf(t *testing.T, h *Host) peer.AddrInfo {
	t.Helper()
	p, err := peerOf(h.Node())
	if err != nil {
		t.Fatal(err)
	}
	info := peer.AddrInfo{ID: p}
	for _, a := range h.Addrs() {
		info.Addrs = append(info.Addrs, ma.StringCast(a))
	}
	return info
}

// learnt is what a libp2p host got to know of another by identify.
func learnt(t *testing.T, h host.Host, p peer.ID) (protocols []protocol.ID, agent any) {
	t.Helper()
	protocols, err := h.Peerstore().GetProtocols(p)
	if err != nil {
		t.Fatal(err)
	}
	agent, err = h.Peerstore().Get(p, "AgentVersion")
	if err != nil {
		agent = nil
	}
	return protocols, agent
}

// probes are what a stranger might ask for.
var probes = []protocol.ID{
	testProtocol, "/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0", "/ipfs/ping/1.0.0", "/libp2p/autonat/1.0.0",
	"/libp2p/autonat/2/dial-request", "/libp2p/circuit/relay/0.2.0/hop", "/libp2p/circuit/relay/0.2.0/stop", "/libp2p/dcutr",
}

func TestStrangerLearnsNothingButThePeerID(t *testing.T) {
	for _, tt := range transportsUnderTest {
		t.Run(tt.name, func(t *testing.T) {
			b := newHost(t, nobody{}, tt.listen)
			b.Handle(testProtocol, echo)
			s, info := newStranger(t), infoOf(t, b)
			ctx := testContext(t)
			// The handshake may succeed from where the stranger stands: in
			// TLS 1.3 the client is done first.
			_ = s.Connect(ctx, info)
			for _, probe := range probes {
				if c, err := s.NewStream(ctx, info.ID, probe); err == nil {
					_, err = c.Read(make([]byte, 1))
					if err == nil || err == io.EOF {
						t.Errorf("%s answered a stranger (%v)", probe, err)
					}
				}
			}
			if protocols, agent := learnt(t, s, info.ID); len(protocols) != 0 || agent != nil {
				t.Errorf("the stranger learnt %q and %v", protocols, agent)
			}
			if got := s.Peerstore().Addrs(info.ID); len(got) > len(info.Addrs) {
				t.Errorf("the stranger learnt addresses %v", got)
			}
		})
	}
}

// One who is admitted, with any libp2p, can use the protocols that it knows
// the names of, and learns no more either.
func TestAdmittedLibp2pHostCanTalkButLearnsNothingByIdentify(t *testing.T) {
	for _, tt := range transportsUnderTest {
		t.Run(tt.name, func(t *testing.T) {
			b := newHost(t, newDoor(), tt.listen)
			b.Handle(testProtocol, echo)
			s, info := newStranger(t), infoOf(t, b)
			failed, err := s.EventBus().Subscribe(new(event.EvtPeerIdentificationFailed))
			if err != nil {
				t.Fatal(err)
			}
			defer failed.Close()
			ctx := testContext(t)
			if err := s.Connect(ctx, info); err != nil {
				t.Fatal(err)
			}
			select {
			case <-failed.Out():
			case <-ctx.Done():
				t.Fatal("identify was answered")
			}
			if protocols, agent := learnt(t, s, info.ID); len(protocols) != 0 || agent != nil {
				t.Errorf("it learnt %q and %v", protocols, agent)
			}
			for _, probe := range probes[1:] {
				if _, err := s.NewStream(ctx, info.ID, probe); err == nil {
					t.Errorf("%s is served", probe)
				}
			}
			c, err := s.NewStream(ctx, info.ID, testProtocol)
			if err != nil {
				t.Fatal(err)
			}
			rawEcho(t, c, "interop")
		})
	}
}

func rawEcho(t *testing.T, c network.Stream, text string) {
	t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); err != nil || string(got) != text {
		t.Fatalf("got %q back (%v)", got, err)
	}
}

func TestNoiseIsNotSpoken(t *testing.T) {
	b := newHost(t, newDoor(), overTCP)
	s := newStranger(t, libp2p.Security(noise.ID, noise.New))
	if err := s.Connect(testContext(t), infoOf(t, b)); err == nil {
		t.Error("connected without TLS")
	}
}

// The check runs in a process of its own, since the libp2p hosts of the other
// tests do register metrics.
func TestNoMetricsGoToTheGlobalRegistry(t *testing.T) {
	const alone = "DXD_TEST_ALONE"
	if os.Getenv(alone) == "" {
		cmd := exec.CommandContext(testContext(t), os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), alone+"=yes")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	newHost(t, newDoor(), overTCP, overQUIC)
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "libp2p") {
			t.Errorf("found %s", f.GetName())
		}
	}
}

// rawHost is a libp2p host that listens and has a known key.
func rawHost(t *testing.T, serve network.StreamHandler) (record.NodeID, []string) {
	t.Helper()
	key := newSigner(t)
	priv, err := crypto.UnmarshalEd25519PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	h, err := libp2p.New(libp2p.Identity(priv), libp2p.ListenAddrStrings(overTCP), libp2p.DisableMetrics(), libp2p.DisableRelay())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	h.SetStreamHandler(testProtocol, serve)
	node, ok := nodeOf(h.ID())
	if !ok {
		t.Fatal("no node")
	}
	addrs := make([]string, 0, len(h.Addrs()))
	for _, a := range h.Addrs() {
		addrs = append(addrs, a.String())
	}
	return node, addrs
}

// A partner's node may announce any address by identify; here it is another
// service on this machine.
func TestAddressesAnnouncedByIdentifyAreNotLearnt(t *testing.T) {
	a := newHost(t, newDoor())
	node, addrs := rawHost(t, func(s network.Stream) { _, _ = io.Copy(s, s); _ = s.Close() })
	c, err := a.Open(testContext(t), node, addrs[:1], testProtocol)
	if err != nil {
		t.Fatal(err)
	}
	roundTrip(t, c, []byte("interop the other way"))
	p, err := peerOf(node)
	if err != nil {
		t.Fatal(err)
	}
	for _, known := range a.net.peers.Addrs(p) {
		if known.String() != addrs[0] {
			t.Errorf("learnt %s", known)
		}
	}
}

// fill opens twice as many silent connections to h as it keeps, and gives them.
// They are taken one after the other, and the newest displaces the oldest: when
// the last of the first half has been ended, all were taken.
func fill(t *testing.T, h *Host) []net.Conn {
	t.Helper()
	var conns []net.Conn
	t.Cleanup(func() {
		for _, c := range conns {
			_ = c.Close()
		}
	})
	for len(conns) < 2*maxHandshakes {
		c, err := net.Dial("tcp", hostPort(h.Addrs()[0]))
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	if stays(t, conns[len(conns)/2-1], time.Minute) {
		t.Fatal("the oldest were not displaced")
	}
	return conns
}

// stays tells whether a connection outlives so much more time.
func stays(t *testing.T, c net.Conn, more time.Duration) bool {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(more)); err != nil {
		t.Fatal(err)
	}
	// The server's own lines come first.
	_, err := io.Copy(io.Discard, c)
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

// On a machine that is slow the strangers may be gone by the time that the
// partner has got in, which then says nothing, and is tried again.
func TestSilentStrangersNeitherLockPartnersOutNorStay(t *testing.T) {
	t.Parallel()
	b := newHost(t, newDoor(), overTCP)
	b.Handle(testProtocol, echo)
	partner := newHost(t, newDoor(), overTCP)
	partner.Handle(testProtocol, echo)
	var conns []net.Conn
	for try := 1; ; try++ {
		conns = fill(t, b)
		// Outbound is counted apart.
		roundTrip(t, mustOpen(t, b, partner, testProtocol), []byte("out"))
		partner.Drop(b.Node())
		// And a partner gets in from the address that they have.
		roundTrip(t, mustOpen(t, partner, b, testProtocol), []byte("in"))
		if stays(t, conns[len(conns)-1], time.Second) {
			break
		}
		if try == 10 {
			t.Fatal("each time it got in when the strangers were gone")
		}
		partner.Drop(b.Node())
	}
	for _, c := range conns {
		if stays(t, c, time.Minute) {
			t.Fatal("a silent connection is still open")
		}
	}
}

func TestASilentStrangerIsGivenUpAfterTheAcceptTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		id, err := newIdentity(newSigner(t))
		if err != nil {
			t.Fatal(err)
		}
		res, _ := newTestResources(t)
		up, err := newUpgrader(id, res, nil)
		if err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		l := up.UpgradeGatedMaListener(nil, up.GateMaListener(newOneConn(far)))
		defer l.Close()
		start := time.Now()
		_, _ = io.Copy(io.Discard, near) // to its end
		if spent := time.Since(start); spent != acceptTimeout {
			t.Errorf("given up after %v", spent)
		}
	})
}

// oneConn is a listener in memory to which one connection comes.
type oneConn struct {
	came  chan manet.Conn
	ended context.Context
	end   context.CancelFunc
}

func newOneConn(c net.Conn) *oneConn {
	l := &oneConn{came: make(chan manet.Conn, 1)}
	l.came <- pipeConn{c}
	l.ended, l.end = context.WithCancel(context.Background())
	return l
}

func (l *oneConn) Accept() (manet.Conn, error) {
	select {
	case c := <-l.came:
		return c, nil
	case <-l.ended.Done():
		return nil, net.ErrClosed
	}
}

func (l *oneConn) Close() error {
	l.end()
	return nil
}

func (*oneConn) Addr() net.Addr          { return &net.TCPAddr{} }
func (*oneConn) Multiaddr() ma.Multiaddr { return ma.StringCast(elsewhere + "1") }

// pipeConn is one end of a pipe, with addresses.
type pipeConn struct{ net.Conn }

func (pipeConn) LocalMultiaddr() ma.Multiaddr  { return ma.StringCast(elsewhere + "1") }
func (pipeConn) RemoteMultiaddr() ma.Multiaddr { return ma.StringCast(elsewhere + "2") }

// A partner that nobody ever met comes from the address from which strangers
// come all the time.
func TestPartnerBehindAFloodsAddressGetsInAtOnce(t *testing.T) {
	b := newHost(t, newDoor(), overTCP)
	b.Handle(testProtocol, echo)
	fill(t, b)
	ctx, stop := context.WithCancel(testContext(t))
	var flood sync.WaitGroup
	defer flood.Wait()
	defer stop()
	flood.Go(func() {
		var conns []net.Conn
		pace := time.NewTicker(5 * time.Millisecond)
		defer pace.Stop()
		for ctx.Err() == nil {
			if c, err := net.Dial("tcp", hostPort(b.Addrs()[0])); err == nil {
				conns = append(conns, c)
			}
			<-pace.C
		}
		for _, c := range conns {
			_ = c.Close()
		}
	})
	for range 10 {
		partner := newHost(t, newDoor())
		roundTrip(t, mustOpen(t, partner, b, testProtocol), []byte("in"))
	}
}

func TestHandlerOfADroppedNodeSeesItsContextGoOn(t *testing.T) {
	a, b := newHost(t, newDoor()), newHost(t, newDoor(), overTCP)
	state := make(chan error, 1)
	b.Handle(testProtocol, func(ctx context.Context, c *Conn) {
		_, _ = io.Copy(io.Discard, c)
		state <- ctx.Err() // only Close ends it
	})
	mustOpen(t, a, b, testProtocol)
	a.Drop(b.Node())
	if err := <-state; err != nil {
		t.Errorf("the context ended with one connection: %v", err)
	}
}
