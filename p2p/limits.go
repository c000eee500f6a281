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
	maxHandshakes  = 256  // not yet secured, of one direction
	maxStreams     = 4096 // of one direction
	maxNegotiating = 1024 // streams without a protocol yet, of one direction
	maxPeerConns   = 8    // to one node, of one direction
	maxPeerStreams = 128  // with one node, of one direction

	// Receive windows may grow to half of these (yamux asks with priority
	// 128 of 255); the other half is for streams at their first window of
	// 256 KiB.
	maxMemory     = 128 << 20
	maxPeerMemory = 32 << 20

	// New inbound connections from one IPv4 address or IPv6 /56. With an
	// accept timeout of 5 s, one address can hold no more than about half of
	// maxHandshakes for longer than a moment, and 64 partners behind one NAT
	// can come back at once.
	inboundRate  = 20 // a second
	inboundBurst = 64

	// maxPerIP has to leave room beyond maxHandshakes, as libp2p counts both
	// directions in it.
	maxPerIP = maxHandshakes + 512
)

// errTooFast is what a connection gets that comes too soon after others.
var errTooFast = errors.New("too many new connections from one address")

// resources are libp2p's limits, with a rate limit on inbound connections only:
// libp2p's own counts both directions, before its allowlist, and allows one
// address 0.2 a second.
type resources struct {
	network.ResourceManager
	inbound *rate.Limiter
}

// OpenConnection is asked before a connection's handshake.
func (r resources) OpenConnection(dir network.Direction, fd bool, a ma.Multiaddr) (network.ConnManagementScope, error) {
	if dir == network.DirInbound && !r.inbound.Allow(addrIP(a)) {
		return nil, errTooFast
	}
	return r.ResourceManager.OpenConnection(dir, fd, a)
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
	t := &trusted{list: rcmgr.GetAllowlist(mgr), ips: map[peer.ID][]netip.Addr{}}
	return resources{mgr, newInboundRate()}, t, nil
}

func newInboundRate() *rate.Limiter {
	limit := rate.Limit{RPS: inboundRate, Burst: inboundBurst}
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
	transient := both(maxHandshakes, maxNegotiating, math.MaxInt64)
	return rcmgr.PartialLimitConfig{
		System:    system,
		Transient: transient,
		// The same again for connections from addresses of partners, once
		// strangers have filled the first.
		AllowlistedSystem:    system,
		AllowlistedTransient: transient,
		PeerDefault:          both(maxPeerConns, maxPeerStreams, maxPeerMemory),
		Conn:                 rcmgr.ResourceLimits{Memory: maxPeerMemory},
	}.Build(rcmgr.InfiniteLimits)
}

func both(conns, streams rcmgr.LimitVal, memory rcmgr.LimitVal64) rcmgr.ResourceLimits {
	return rcmgr.ResourceLimits{
		Conns: 2 * conns, ConnsInbound: conns, ConnsOutbound: conns, FD: 2 * conns,
		Streams: 2 * streams, StreamsInbound: streams, StreamsOutbound: streams,
		Memory: memory,
	}
}

// trusted keeps libp2p's allowlist: the addresses at which the gate allowed a
// node to be dialled. From there, that node gets in even while strangers fill
// the limits.
type trusted struct {
	list *rcmgr.Allowlist

	mu  sync.Mutex // guards ips
	ips map[peer.ID][]netip.Addr
}

// maxTrusted bounds the addresses kept for one node; the oldest go first.
const maxTrusted = 8

func (t *trusted) add(p peer.ID, a ma.Multiaddr) {
	ip := addrIP(a)
	if !ip.IsValid() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if slices.Contains(t.ips[p], ip) || t.list.Add(trustedAddr(p, ip)) != nil {
		return
	}
	t.ips[p] = append(t.ips[p], ip)
	if len(t.ips[p]) > maxTrusted {
		t.drop(p, 0)
	}
}

func (t *trusted) forget(p peer.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.ips[p]) > 0 {
		t.drop(p, 0)
	}
	delete(t.ips, p)
}

// drop forgets the i-th address of a node. t.mu is held.
func (t *trusted) drop(p peer.ID, i int) {
	// Remove fails only on an address that can't be parsed, and this one was
	// parsed when it was added.
	_ = t.list.Remove(trustedAddr(p, t.ips[p][i]))
	t.ips[p] = slices.Delete(t.ips[p], i, i+1)
}

func trustedAddr(p peer.ID, ip netip.Addr) ma.Multiaddr {
	proto := "/ip4/"
	if ip.Is6() {
		proto = "/ip6/"
	}
	return ma.StringCast(proto + ip.WithZone("").String() + "/p2p/" + p.String())
}
