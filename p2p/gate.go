package p2p

import (
	"log/slog"
	"sync"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// gater asks the gate wherever libp2p asks. A refusal is always the same:
// the connection is closed after the handshake, with nothing served and no
// word about the reason.
type gater struct {
	gate    Gate
	trusted *trusted
	log     *slog.Logger

	mu sync.Mutex
	// resolved says for which name an address was found, since the gate
	// knows the name. Guarded by mu.
	resolved map[peer.ID]map[string]string
}

var _ connmgr.ConnectionGater = (*gater)(nil)

func newGater(gate Gate, t *trusted, log *slog.Logger) *gater {
	return &gater{gate: gate, trusted: t, log: log, resolved: map[peer.ID]map[string]string{}}
}

func (g *gater) admits(p peer.ID) bool {
	node, ok := nodeOf(p)
	return ok && g.gate.Admit(node)
}

// InterceptPeerDial is asked before a node is dialled.
func (g *gater) InterceptPeerDial(p peer.ID) bool { return g.admits(p) }

// InterceptAddrDial is asked before each address is dialled. The swarm dials
// whatever its peerstore holds, so this, and not the caller of Open, is where
// an address that stands on no card stops.
func (g *gater) InterceptAddrDial(p peer.ID, a ma.Multiaddr) bool {
	if !g.admits(p) || !g.mayDial(p, a) {
		g.log.Debug("address not dialled", "peer", p, "addr", a)
		return false
	}
	g.trusted.add(p, a)
	return true
}

func (g *gater) mayDial(p peer.ID, a ma.Multiaddr) bool {
	node, ok := nodeOf(p)
	if !ok {
		return false
	}
	addr := a.String()
	if g.gate.MayDial(node, addr) {
		return true
	}
	// A name may lead anywhere, also to this machine: only the gate itself
	// can allow a private address.
	name, ok := g.nameOf(p, addr)
	return ok && !IsPrivate(addr) && g.gate.MayDial(node, name)
}

// maxResolved bounds what is remembered of one node's names.
const maxResolved = 64

func (g *gater) remember(p peer.ID, addr, name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.resolved[p]) >= maxResolved {
		delete(g.resolved, p)
	}
	if g.resolved[p] == nil {
		g.resolved[p] = map[string]string{}
	}
	g.resolved[p][addr] = name
}

// forget drops what was remembered of the node's addresses, until they are
// dialled again.
func (g *gater) forget(p peer.ID) {
	g.mu.Lock()
	delete(g.resolved, p)
	g.mu.Unlock()
	g.trusted.forget(p)
}

func (g *gater) nameOf(p peer.ID, addr string) (name string, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	name, ok = g.resolved[p][addr]
	return name, ok
}

// InterceptAccept knows nothing of the peer yet; the pools count it.
func (g *gater) InterceptAccept(network.ConnMultiaddrs) bool { return true }

// InterceptSecured is asked once the peer has proved its key, before it can
// open a stream.
func (g *gater) InterceptSecured(_ network.Direction, p peer.ID, _ network.ConnMultiaddrs) bool {
	if !g.admits(p) {
		g.log.Debug("connection refused", "peer", p)
		return false
	}
	return true
}

// InterceptUpgraded is asked when the connection is about to be registered.
func (g *gater) InterceptUpgraded(c network.Conn) (bool, control.DisconnectReason) {
	if !g.admits(c.RemotePeer()) {
		return false, 0
	}
	g.trusted.add(c.RemotePeer(), c.RemoteMultiaddr())
	return true, 0
}
