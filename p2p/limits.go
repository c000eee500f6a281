package p2p

import (
	"errors"
	"math"
	"net/netip"
	"slices"
	"sync"
	"time"

	"dxd/record"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/x/rate"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// Limits. Inbound and outbound are counted apart everywhere, so that nobody
// who connects to this node can keep it from dialling its partners.
const (
	maxConns       = 1024 // of one direction
	maxStreams     = 4096 // of one direction
	maxNegotiating = 1024 // streams without a protocol yet, of one direction
	maxPeerConns   = 8    // to one node, of one direction
	maxPeerStreams = 64   // with one node, of one direction

	// Connections that are not yet secured. Those that come in are counted by
	// pools, of which each transport has two.
	maxDialling       = 256
	maxHandshakes     = 256 // in a pool, over TCP
	maxHandshakesQUIC = 128 // in a pool, over QUIC
	// maxUnsecured is never reached, but by connections that were displaced
	// and have not ended yet.
	maxUnsecured = 2*maxHandshakes + 2*maxHandshakesQUIC + maxHandshakes

	// Receive windows may grow to half of these (yamux asks with priority
	// 128 of 255); the other half is for streams at their first window of
	// 256 KiB. Where that is used up, yamux ends the whole connection on which
	// the next stream comes: so all that one organisation may have is less
	// than all that there is.
	maxMemory     = 256 << 20
	maxPeerMemory = 64 << 20

	// Handshakes that are computed for one source over one transport: 64
	// partners behind one NAT can come back at once. A source at which a node
	// of a partner was met gets more, so that a flood from there leaves it a
	// good chance; 200 take about a tenth of a processor.
	inboundRate  = 20 // a second
	inboundBurst = 64
	metRate      = 200
	metBurst     = 256

	// maxPerIP is libp2p's, which counts both directions in it. It has to be
	// out of the way.
	maxPerIP = maxUnsecured + 512
)

var (
	// errTooFast is what a connection gets that comes too soon after others.
	errTooFast = errors.New("too many new connections from one address")

	// errTooMany is what one over QUIC gets when too many are under way.
	errTooMany = errors.New("too many handshakes")
)

// resources are libp2p's limits, with own ones for what is not yet secured:
// libp2p's count both directions, before its allowlist, and turn away the
// newest.
type resources struct {
	network.ResourceManager
	tcp, quic *pools
}

func addrIP(a ma.Multiaddr) netip.Addr {
	if a == nil {
		return netip.Addr{}
	}
	ip, err := manet.ToIP(a)
	if err != nil {
		return netip.Addr{}
	}
	addr, _ := netip.AddrFromSlice(ip)
	return addr.Unmap()
}

func newResources() (resources, *trusted, error) {
	mgr, err := rcmgr.NewResourceManager(
		rcmgr.NewFixedLimiter(limits()),
		rcmgr.WithMetricsDisabled(), // they would go to a global registry
		rcmgr.WithConnRateLimiters(&rate.Limiter{}),
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: maxPerIP}},
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: maxPerIP}},
		),
	)
	if err != nil {
		return resources{}, nil, record.Errorf(record.Internal, "couldn't set the network's limits: %v", err)
	}
	t := &trusted{of: map[peer.ID][]source{}, all: map[source]int{}}
	return resources{mgr, newPools(t, maxHandshakes), newPools(t, maxHandshakesQUIC)}, t, nil
}

// pace bounds how often something happens for each source.
type pace = *rate.Limiter

func newPace(perSecond float64, burst int) pace {
	limit := rate.Limit{RPS: perSecond, Burst: burst}
	return &rate.Limiter{
		NetworkPrefixLimits: []rate.PrefixLimit{ // this machine is no stranger
			{Prefix: netip.MustParsePrefix("127.0.0.0/8")},
			{Prefix: netip.MustParsePrefix("::1/128")},
		},
		SubnetRateLimiter: rate.SubnetLimiter{
			IPv4SubnetLimits: []rate.SubnetLimit{{PrefixLength: 32, Limit: limit}},
			IPv6SubnetLimits: []rate.SubnetLimit{{PrefixLength: 56, Limit: limit}},
			GracePeriod:      time.Minute,
		},
	}
}

// limits builds libp2p's table. What it does not name is unlimited.
func limits() rcmgr.ConcreteLimitConfig {
	system := both(maxConns, maxStreams, maxMemory)
	system.Conns, system.ConnsInbound, system.FD = system.Conns+maxUnsecured, maxConns+maxUnsecured, system.FD+maxUnsecured
	transient := both(maxDialling, maxNegotiating, math.MaxInt64)
	transient.Conns, transient.ConnsInbound, transient.FD = maxDialling+maxUnsecured, maxUnsecured, maxDialling+maxUnsecured
	return rcmgr.PartialLimitConfig{
		System:      system,
		Transient:   transient,
		PeerDefault: both(maxPeerConns, maxPeerStreams, maxPeerMemory),
		Conn:        rcmgr.ResourceLimits{Memory: maxPeerMemory},
	}.Build(rcmgr.InfiniteLimits)
}

func both(conns, streams rcmgr.LimitVal, memory rcmgr.LimitVal64) rcmgr.ResourceLimits {
	return rcmgr.ResourceLimits{
		Conns: 2 * conns, ConnsInbound: conns, ConnsOutbound: conns, FD: 2 * conns,
		Streams: 2 * streams, StreamsInbound: streams, StreamsOutbound: streams,
		Memory: memory,
	}
}

// trusted keeps the sources at which the gate allowed a node to be dialled, and
// those from which one came that it let in. From there, that node gets in even
// while strangers from elsewhere take all that there is for them.
type trusted struct {
	mu  sync.Mutex // guards what follows
	of  map[peer.ID][]source
	all map[source]int // for how many nodes
}

// maxTrusted bounds the sources kept for one node; the oldest go first.
const maxTrusted = 8

func (t *trusted) add(p peer.ID, a ma.Multiaddr) {
	from := sourceOf(a)
	if !from.IsValid() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if slices.Contains(t.of[p], from) {
		return
	}
	t.of[p] = append(t.of[p], from)
	t.all[from]++
	if len(t.of[p]) > maxTrusted {
		t.drop(p)
	}
}

func (t *trusted) has(from source) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all[from] > 0
}

func (t *trusted) forget(p peer.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.of[p]) > 0 {
		t.drop(p)
	}
	delete(t.of, p)
}

// drop forgets the oldest source of a node. t.mu is held.
func (t *trusted) drop(p peer.ID) {
	from := t.of[p][0]
	t.of[p] = t.of[p][1:]
	if t.all[from]--; t.all[from] == 0 {
		delete(t.all, from)
	}
}
