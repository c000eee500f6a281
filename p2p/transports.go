package p2p

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"dxd/record"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/quic-go/quic-go"
)

const (
	// acceptTimeout bounds an inbound TCP connection from its first byte to
	// its multiplexer. QUIC's counterpart is quic-go's: 5 s without a packet,
	// 10 s in all.
	acceptTimeout = 5 * time.Second

	// dialTimeout bounds one address, with handshake; addresses in local
	// networks get libp2p's 5 s.
	dialTimeout = 10 * time.Second

	// A silent TCP connection is pinged after keepAlive and given up
	// writeTimeout later, so a dead peer is noticed within 45 s. A write that
	// makes no progress for writeTimeout ends it, too. libp2p's 10 s would
	// cut links that are merely slow: a ping waits behind what the kernel has
	// queued. QUIC pings every 15 s and gives up after 30 s (quicreuse,
	// quic-go).
	keepAlive    = 15 * time.Second
	writeTimeout = 30 * time.Second

	// maxWindow bounds the receive window of a stream over TCP, which is memory
	// that a slow reader can fill. As a window doubles, yamux forgets to tell the
	// sender of what was read until then, so half of it is never used, and 16 MiB
	// can be under way. It has to be a power of two of its first, 256 KiB: the
	// forgotten half of any other would keep the rest from ever being opened
	// again, and the stream would stand still for good
	// (docs/decisions/0156-tcp-over-long-links.md).
	maxWindow = 32 << 20
)

// transports are libp2p's swarm and what it stands on. There is no libp2p
// host: it would add identify, AutoNAT, an address manager and ping, none of
// which a closed circle needs (docs/decisions/0010-p2p-swarm-without-a-host.md).
type transports struct {
	swarm *swarm.Swarm
	peers peerstore.Peerstore
	quic  *quicreuse.ConnManager
	res   resources

	mu       sync.Mutex // guards udp and reported
	udp      []*net.UDPConn
	reported bool
}

func newTransports(id identity, res resources, gate *gater, prefer Prefer) (*transports, error) {
	t := &transports{res: res}
	if err := t.build(id, gate, prefer); err != nil {
		return nil, errors.Join(record.Errorf(record.Internal, "couldn't set up the network: %w", err), t.close())
	}
	return t, nil
}

func (t *transports) build(id identity, gate *gater, prefer Prefer) (err error) {
	if t.peers, err = pstoremem.NewPeerstore(); err != nil {
		return err
	}
	if t.quic, err = t.newQUIC(id); err != nil {
		return err
	}
	t.swarm, err = swarm.NewSwarm(id.peer, t.peers, eventbus.NewBus(),
		swarm.WithConnectionGater(gate),
		swarm.WithResourceManager(t.res),
		swarm.WithDialTimeout(dialTimeout),
		swarm.WithDialRanker(prefer.rank),
		// The detectors would turn QUIC or IPv6 off for all partners after
		// failures with one.
		swarm.WithUDPBlackHoleSuccessCounter(nil),
		swarm.WithIPv6BlackHoleSuccessCounter(nil),
	)
	if err != nil {
		return err
	}
	overTCP, err := newTCP(id, t.res, gate)
	if err != nil {
		return err
	}
	overQUIC, err := libp2pquic.NewTransport(id, t.quic, nil, gate, t.res)
	if err != nil {
		return err
	}
	return errors.Join(t.swarm.AddTransport(overTCP), t.swarm.AddTransport(overQUIC))
}

// newTCP is TCP, TLS 1.3 and yamux. No Noise: its handshake is not
// post-quantum, and TLS here negotiates X25519MLKEM768.
func newTCP(id identity, res resources, gate *gater) (transport.Transport, error) {
	up, err := newUpgrader(id, res, gate)
	if err != nil {
		return nil, err
	}
	// With SO_REUSEPORT two daemons could share a port, and each get half of
	// the connections.
	return tcp.NewTCPTransport(up, res, nil, tcp.DisableReuseport())
}

// newUpgrader makes an authenticated, multiplexed connection of each that it
// is given.
func newUpgrader(id identity, res resources, gate *gater) (transport.Upgrader, error) {
	muxers := []upgrader.StreamMuxer{{ID: yamux.ID, Muxer: newMuxer()}}
	tls, err := libp2ptls.New(libp2ptls.ID, id, muxers)
	if err != nil {
		return nil, err
	}
	up, err := upgrader.New([]sec.SecureTransport{paced{widened{tls}, res.tcp}}, muxers, nil, res, gate, upgrader.WithAcceptTimeout(acceptTimeout))
	if err != nil {
		return nil, err
	}
	return pooled{up, res}, nil
}

func newMuxer() *yamux.Transport {
	c := *yamux.DefaultTransport.Config()
	c.KeepAliveInterval = keepAlive
	c.ConnectionWriteTimeout = writeTimeout
	c.MaxStreamWindowSize = maxWindow
	c.MaxIncomingStreams = maxPeerStreams // beyond these it resets a stream before it counts it
	c.AcceptBacklog = maxPeerStreams
	return (*yamux.Transport)(&c)
}

func (t *transports) newQUIC(id identity) (*quicreuse.ConnManager, error) {
	reset, err := id.secret("quic stateless reset")
	if err != nil {
		return nil, err
	}
	token, err := id.secret("quic token")
	if err != nil {
		return nil, err
	}
	return quicreuse.NewConnManager(quic.StatelessResetKey(reset), quic.TokenGeneratorKey(token),
		quicreuse.OverrideListenUDP(t.listenUDP),
		quicreuse.OverrideSourceIPSelector(noRoutes),
		quicreuse.ConnContext(t.admitQUIC),
		// A round trip at every connect (RFC 9000, section 8.1.2), so that
		// nobody can fill the limits from addresses that are not theirs.
		quicreuse.VerifySourceAddress(func(net.Addr) bool { return true }),
	)
}

// noRoutes keeps quicreuse from reading the system's routing table. Where the
// host listens on all interfaces it dials from that port, else from any.
func noRoutes() (quicreuse.SourceIPSelector, error) { return nil, nil }

func (t *transports) listenUDP(network string, laddr *net.UDPAddr) (net.PacketConn, error) {
	c, err := net.ListenUDP(network, laddr)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.reported {
		t.udp = append(t.udp, c)
	}
	return inRuns(c), nil
}

// admitQUIC counts an inbound QUIC connection before its handshake.
func (t *transports) admitQUIC(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	addr, err := quicreuse.ToQuicMultiaddr(info.RemoteAddr, quic.Version1)
	if err != nil {
		return ctx, err
	}
	scope, err := t.res.acceptQUIC(addr)
	if err != nil {
		return ctx, err
	}
	ctx = network.WithConnManagementScope(ctx, scope)
	context.AfterFunc(ctx, scope.Done)
	return ctx, nil
}

// listen binds all addresses or fails.
func (t *transports) listen(addrs []ma.Multiaddr) error {
	for _, a := range addrs {
		err := t.swarm.AddListenAddr(a)
		switch {
		case errors.Is(err, syscall.EADDRINUSE):
			return record.WithHint(record.Errorf(record.Conflict, "the address %s is in use", a),
				"another program, perhaps another dxd, listens there; stop it or set listen to another port")
		case errors.Is(err, syscall.EACCES):
			return record.WithHint(record.Errorf(record.Refused, "no permission to listen on %s", a),
				"ports below 1024 need a privilege; set listen to a higher one")
		case err != nil:
			return record.WithHint(record.Errorf(record.Invalid, "couldn't listen on %s: %v", a, err),
				"set listen to addresses of this machine")
		}
	}
	return nil
}

// forget drops what was learnt of a peer's protocols.
func (t *transports) forget(p peer.ID) { t.peers.RemovePeer(p) }

// close undoes build, from the top down: the swarm waits for its connections
// and listeners, which need what is below.
func (t *transports) close() error {
	var errs []error
	if t.swarm != nil {
		errs = append(errs, t.swarm.Close())
	}
	if t.quic != nil {
		errs = append(errs, t.quic.Close())
	}
	if t.peers != nil {
		errs = append(errs, t.peers.Close())
	}
	return errors.Join(append(errs, t.res.Close())...)
}

// wantedBuffer is the UDP receive buffer that quic-go asks for.
const wantedBuffer = 7 << 20

// reportBuffers says once if the kernel gave QUIC less than it asked for.
func (t *transports) reportBuffers(log *slog.Logger) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.udp {
		if have, ok := receiveBuffer(c); ok && have < wantedBuffer {
			log.Info("small udp buffers slow quic down", "bytes", have, "wanted", wantedBuffer,
				"hint", "sysctl -w net.core.rmem_max=7500000 net.core.wmem_max=7500000")
			break
		}
	}
	t.udp, t.reported = nil, true
}
