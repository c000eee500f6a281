// Package p2p carries authenticated, encrypted streams between nodes: a host
// that listens and dials over TCP with TLS 1.3 and over QUIC, a gate that is
// asked before anything is served, and limits. What it gives and takes are
// plain connections and node identifiers.
//
// It never knows what a document, a partner or an organisation is, and holds
// no private key: it is handed a signer. It speaks no protocol of its own but
// those that a stream needs, so a stranger learns that a node with this PeerID
// is here, and no more. No type of libp2p leaves it.
package p2p

import (
	"context"
	stdcrypto "crypto"
	"log/slog"
	"slices"
	"sync"

	"dxd/record"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multistream"
)

// Config is what a host needs to run.
type Config struct {
	// Identity signs with the node's Ed25519 key.
	Identity stdcrypto.Signer

	// Listen holds multiaddrs such as /ip4/0.0.0.0/tcp/4001 and
	// /ip4/0.0.0.0/udp/4001/quic-v1. Port 0 takes any free one. With none,
	// the host only dials.
	Listen []string

	// Announce, if not empty, is what Addrs tells instead of the addresses
	// that the host listens on.
	Announce []string

	// Prefer orders the transports when a connection has to be dialled.
	Prefer Prefer

	Gate Gate
	Log  *slog.Logger // nil: nothing is logged
}

// Gate decides who may connect. Both methods are asked often and from many
// goroutines, so they must be fast and must not block.
type Gate interface {
	// Admit tells whether the node may hold a connection. It is asked when a
	// connection is dialled, when it is secured, when it is registered, and
	// for each stream of either direction. Its word counts at once for
	// streams; a connection that is already up ends with Host.Drop.
	Admit(node record.NodeID) bool

	// MayDial tells whether the node may be dialled at the address. For a
	// name, the name is asked about, and then each private address that it
	// resolves to.
	MayDial(node record.NodeID, addr string) bool
}

// Host listens for nodes and dials them.
type Host struct {
	cfg   Config
	log   *slog.Logger
	node  record.NodeID
	net   *transports
	gate  *gater
	mux   *multistream.MultistreamMuxer[protocol.ID]
	watch *watchers

	// ctx is that of every handler; it ends when Close begins.
	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex // guards closed and, with it, growth of handlers
	closed   bool
	handlers sync.WaitGroup

	close func() error
}

// New starts a host: when it returns nil, all addresses of cfg.Listen are
// bound. An address in use is a Conflict.
func New(cfg Config) (*Host, error) {
	if cfg.Gate == nil {
		return nil, record.Errorf(record.Invalid, "a host needs a gate")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	listen, err := parseAll(cfg.Listen, checkListen)
	if err != nil {
		return nil, err
	}
	if _, err := parseAll(cfg.Announce, checkAddr); err != nil {
		return nil, err
	}
	id, err := newIdentity(cfg.Identity)
	if err != nil {
		return nil, err
	}
	h := &Host{cfg: cfg, log: cfg.Log, node: id.node, mux: multistream.NewMultistreamMuxer[protocol.ID]()}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.close = sync.OnceValue(h.shutdown)
	if err := h.start(id, listen); err != nil {
		h.cancel()
		return nil, err
	}
	return h, nil
}

func (h *Host) start(id identity, listen []ma.Multiaddr) error {
	res, trusted, err := newResources()
	if err != nil {
		return err
	}
	h.gate = newGater(h.cfg.Gate, trusted, h.log)
	h.net, err = newTransports(id, res, h.gate, h.cfg.Prefer)
	if err != nil {
		return err
	}
	h.watch = newWatchers()
	h.net.swarm.Notify(&network.NotifyBundle{ConnectedF: h.connected, DisconnectedF: h.disconnected})
	h.net.swarm.SetStreamHandler(h.accept)
	if err := h.net.listen(listen); err != nil {
		h.net.close()
		h.watch.close()
		return err
	}
	h.net.reportBuffers(h.log)
	return nil
}

// Node is this host's own identifier.
func (h *Host) Node() record.NodeID { return h.node }

// Addrs are the addresses to tell partners, in order and without /p2p: those
// configured to be announced, else those that the host listens on, with real
// ports, and with one address for each interface in place of 0.0.0.0 and ::.
func (h *Host) Addrs() []string {
	if len(h.cfg.Announce) > 0 {
		return slices.Clone(h.cfg.Announce)
	}
	addrs, err := h.net.swarm.InterfaceListenAddresses()
	if err != nil {
		h.log.Warn("couldn't list the addresses of the interfaces", "error", err)
		addrs = h.net.swarm.ListenAddresses()
	}
	out := make([]string, 0, len(addrs))
	for _, a := range addrs {
		out = append(out, a.String())
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Listening are the addresses that are bound, as another host could bind them
// after this one: those of Config.Listen, with real ports.
func (h *Host) Listening() []string {
	out := []string{}
	for _, a := range h.net.swarm.ListenAddresses() {
		out = append(out, a.String())
	}
	return out
}

// Connected tells whether a connection to the node is up.
func (h *Host) Connected(node record.NodeID) bool {
	p, err := peerOf(node)
	return err == nil && h.net.swarm.Connectedness(p) == network.Connected
}

// Drop closes all connections to the node at once, and with them all streams.
// If the gate refuses the node by then, a connection that is just being made
// ends, too.
func (h *Host) Drop(node record.NodeID) {
	p, err := peerOf(node)
	if err != nil {
		return
	}
	if err := h.net.swarm.ClosePeer(p); err != nil {
		h.log.Debug("closing a connection", "node", node, "error", err)
	}
	h.gate.forget(p)
}

// Close ends all connections, waits for every handler and watcher, and frees
// the ports. It must not be called from a handler or a watcher.
func (h *Host) Close() error { return h.close() }

func (h *Host) shutdown() error {
	h.mu.Lock()
	h.closed = true // from here on, no handler begins
	h.mu.Unlock()
	h.cancel()
	// Closing the swarm resets all streams, so a handler that reads or
	// writes ends even if it does not look at its context.
	err := h.net.close()
	h.handlers.Wait()
	h.watch.close()
	return err
}
