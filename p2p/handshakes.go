package p2p

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/core/transport"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// Inbound connections that have not shown their key yet may be anybody's, a
// partner's behind the same address as an attacker's included, and nothing
// tells them apart. So none is turned away for those that came before it: a
// pool that is full ends the oldest of the source that has the most in it. A
// partner gets in if its handshake is quicker than a pool of newcomers takes to
// come, and a source only ever displaces its own, unless it has less than the
// others (docs/decisions/0135-the-newest-stays.md).
//
// quic-go gives no hold of a connection before its handshake is over, so over
// QUIC a full pool turns newcomers away, and one source gets a quarter of it.

// source is whose connections are counted together: an IPv4 address or an IPv6
// /56, the least that a customer of a network is given.
type source = netip.Prefix

// sourceOf is the zero source for what has no IP address.
func sourceOf(a ma.Multiaddr) source {
	if a == nil {
		return source{}
	}
	ip, err := manet.ToIP(a)
	if err != nil {
		return source{}
	}
	addr, _ := netip.AddrFromSlice(ip)
	return sourceOfIP(addr)
}

func sourceOfIP(addr netip.Addr) source {
	bits := 56
	if addr = addr.Unmap(); addr.Is4() {
		bits = 32
	}
	s, err := addr.WithZone("").Prefix(bits)
	if err != nil {
		return source{}
	}
	return s
}

// pool is the handshakes of one transport, either of sources at which nodes of
// partners were met, or of all others.
type pool struct {
	most int

	mu      sync.Mutex // guards what follows
	pending []*handshake
	of      map[source]int
}

// handshake is a place in a pool.
type handshake struct {
	from source
	shut func() // ends the connection
}

func newPool(most int) *pool { return &pool{most: most, of: map[source]int{}} }

// join takes a place for a connection that shut can end, at the cost of another
// if need be. leave gives it back and may be called again.
func (p *pool) join(from source, shut func()) (leave func()) {
	p.mu.Lock()
	h := p.add(from, shut)
	var displaced *handshake
	if len(p.pending) > p.most {
		displaced = p.pending[p.oldestOfMost()]
		p.remove(displaced)
	}
	p.mu.Unlock()
	if displaced != nil {
		displaced.shut()
	}
	return func() { p.leave(h) }
}

// tryJoin takes a place if one is free, of the pool and of the source's quarter.
func (p *pool) tryJoin(from source) (leave func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.pending) >= p.most || p.of[from] >= p.most/4 {
		return nil, false
	}
	h := p.add(from, nil)
	return func() { p.leave(h) }, true
}

func (p *pool) leave(h *handshake) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.remove(h)
}

// add, oldestOfMost and remove are called with p.mu held.
func (p *pool) add(from source, shut func()) *handshake {
	h := &handshake{from, shut}
	p.pending = append(p.pending, h)
	p.of[from]++
	return h
}

func (p *pool) oldestOfMost() int {
	most := 0
	for _, n := range p.of {
		most = max(most, n)
	}
	return slices.IndexFunc(p.pending, func(h *handshake) bool { return p.of[h.from] == most })
}

func (p *pool) remove(h *handshake) {
	i := slices.Index(p.pending, h)
	if i < 0 {
		return // displaced, or left before
	}
	p.pending = slices.Delete(p.pending, i, i+1)
	if p.of[h.from]--; p.of[h.from] == 0 {
		delete(p.of, h.from)
	}
}

// pools are those of one transport, with the pace of its handshakes.
type pools struct {
	trusted                *trusted
	met, strangers         *pool
	metPace, strangersPace pace
}

// newPools gives each of both sorts so many places.
func newPools(t *trusted, most int) *pools {
	return &pools{t, newPool(most), newPool(most), newPace(metRate, metBurst), newPace(inboundRate, inboundBurst)}
}

func (p *pools) of(from source) *pool {
	if p.trusted.has(from) {
		return p.met
	}
	return p.strangers
}

// mayBegin tells whether the source may have another handshake computed now.
func (p *pools) mayBegin(addr netip.Addr) bool {
	if p.trusted.has(sourceOfIP(addr)) {
		return p.metPace.Allow(addr)
	}
	return p.strangersPace.Allow(addr)
}

// unsecured is the scope of a connection that has a place among the handshakes.
// It leaves it when the node behind it is known, or when it ends.
type unsecured struct {
	network.ConnManagementScope
	leave func()
}

func (u unsecured) SetPeer(p peer.ID) error {
	defer u.leave()
	return u.ConnManagementScope.SetPeer(p)
}

func (u unsecured) Done() {
	defer u.leave()
	u.ConnManagementScope.Done()
}

// acceptTCP counts an inbound connection over TCP.
func (r resources) acceptTCP(c manet.Conn) (network.ConnManagementScope, error) {
	from := sourceOf(c.RemoteMultiaddr())
	leave := r.tcp.of(from).join(from, func() { _ = c.Close() }) // it is lost either way
	scope, err := r.OpenConnection(network.DirInbound, true, c.RemoteMultiaddr())
	if err != nil {
		leave()
		return nil, err
	}
	return unsecured{scope, leave}, nil
}

// acceptQUIC counts an inbound connection over QUIC, whose handshake is
// computed at once.
func (r resources) acceptQUIC(a ma.Multiaddr) (network.ConnManagementScope, error) {
	from := sourceOf(a)
	leave, ok := r.quic.of(from).tryJoin(from)
	if !ok {
		return nil, errTooMany
	}
	if !r.quic.mayBegin(addrIP(a)) {
		leave()
		return nil, errTooFast
	}
	scope, err := r.OpenConnection(network.DirInbound, false, a)
	if err != nil {
		leave()
		return nil, err
	}
	return unsecured{scope, leave}, nil
}

// pooled is libp2p's upgrader, with listeners that count by acceptTCP.
type pooled struct {
	transport.Upgrader
	res resources
}

func (u pooled) GateMaListener(l manet.Listener) transport.GatedMaListener {
	return pooledListener{l, u.res}
}

type pooledListener struct {
	manet.Listener
	res resources
}

func (l pooledListener) Accept() (manet.Conn, network.ConnManagementScope, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, nil, err
		}
		scope, err := l.res.acceptTCP(c)
		if err != nil {
			_ = c.Close() // it is turned away either way
			continue
		}
		return c, scope, nil
	}
}

// paced is TLS that computes handshakes at the sources' pace. Before it, a
// connection costs next to nothing.
type paced struct {
	sec.SecureTransport
	pools *pools
}

func (s paced) SecureInbound(ctx context.Context, c net.Conn, p peer.ID) (sec.SecureConn, error) {
	var from netip.Addr
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		from = a.AddrPort().Addr().Unmap()
	}
	if !s.pools.mayBegin(from) {
		return nil, errTooFast
	}
	return s.SecureTransport.SecureInbound(ctx, c, p)
}

// widened is TLS over connections that were made fit for the way they go.
type widened struct{ sec.SecureTransport }

func (s widened) SecureInbound(ctx context.Context, c net.Conn, p peer.ID) (sec.SecureConn, error) {
	widen(c)
	return s.SecureTransport.SecureInbound(ctx, c, p)
}

func (s widened) SecureOutbound(ctx context.Context, c net.Conn, p peer.ID) (sec.SecureConn, error) {
	widen(c)
	return s.SecureTransport.SecureOutbound(ctx, c, p)
}
