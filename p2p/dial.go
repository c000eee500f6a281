package p2p

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"dxd/record"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multistream"
	"github.com/quic-go/quic-go"
)

// Prefer orders the transports of a dial.
type Prefer uint8

const (
	// Auto begins with TCP, which carries bulk about twice as fast, and adds
	// QUIC if TCP is not connected after a short while.
	Auto Prefer = iota
	// TCP tries QUIC only after every TCP address has failed.
	TCP
	// QUIC tries TCP only after every QUIC address has failed.
	QUIC
)

// ParsePrefer reads "auto", "tcp" or "quic".
func ParsePrefer(s string) (Prefer, error) {
	for p := Auto; p <= QUIC; p++ {
		if p.String() == s {
			return p, nil
		}
	}
	return Auto, record.WithHint(record.Errorf(record.Invalid, "not a transport: %q", record.Printable(s, 40)),
		"one of auto, tcp, quic")
}

func (p Prefer) String() string { return [...]string{"auto", "tcp", "quic"}[p] }

const (
	// headStart is what TCP has before QUIC is tried along with it; failures
	// don't wait for it.
	headStart = 2 * time.Second

	// patience is longer than an attempt to connect takes on either
	// transport (5 s each), so the second begins once the first has failed.
	patience = 6 * time.Second

	// openTimeout bounds a dial to all addresses of a node, and negotiateTimeout
	// the choice of a stream's protocol.
	openTimeout      = 20 * time.Second
	negotiateTimeout = 10 * time.Second

	// addrTTL is how long libp2p keeps an address for a dial. The gate is
	// asked whenever it is used.
	addrTTL = 30 * time.Second
)

// rank gives each address the delay after which it is dialled, unless all
// before it have failed sooner. Within a transport it is libp2p's own order
// (RFC 8305).
func (p Prefer) rank(addrs []ma.Multiaddr) []network.AddrDelay {
	var first, second []ma.Multiaddr
	for _, a := range addrs {
		if isQUIC(a) == (p == QUIC) {
			first = append(first, a)
		} else {
			second = append(second, a)
		}
	}
	wait := patience
	if p == Auto {
		wait = headStart
	}
	if len(first) == 0 {
		wait = 0
	}
	ranked := swarm.DefaultDialRanker(first)
	for _, d := range swarm.DefaultDialRanker(second) {
		ranked = append(ranked, network.AddrDelay{Addr: d.Addr, Delay: d.Delay + wait})
	}
	return ranked
}

// Open opens a stream to the node for the protocol. A connection that is up is
// used whatever its transport; otherwise the addresses are dialled by
// preference, and calls at the same time share one dial.
//
// The error is of kind Refused if the gate here is against it, Unavailable if
// no address answers as that node or the node closed the connection (which is
// all that its own refusal looks like), Timeout if ctx ends first, Invalid if
// an argument is malformed.
func (h *Host) Open(ctx context.Context, node record.NodeID, addrs []string, protocol string) (*Conn, error) {
	p, err := peerOf(node)
	if err != nil {
		return nil, err
	}
	if node == h.node {
		return nil, record.Errorf(record.Invalid, "a node doesn't connect to itself")
	}
	if !h.gate.admits(p) {
		return nil, record.Errorf(record.Refused, "the node is not one of an active partner")
	}
	if !h.Connected(node) {
		if err := h.dial(ctx, p, node, addrs); err != nil {
			return nil, err
		}
	}
	s, err := h.net.swarm.NewStream(network.WithNoDial(ctx, "just dialled"), p)
	if err != nil {
		return nil, noStreamError(ctx, err)
	}
	return h.negotiate(ctx, s, node, protocol)
}

func (h *Host) dial(ctx context.Context, p peer.ID, node record.NodeID, addrs []string) error {
	allowed, err := h.dialable(ctx, p, node, addrs)
	if err != nil {
		return err
	}
	h.net.peers.AddAddrs(p, allowed, addrTTL)
	// Callers have their own backoff, and know when a new try makes sense;
	// libp2p's would refuse for up to five minutes.
	h.net.swarm.Backoff().Clear(p)
	if _, err := h.net.swarm.DialPeer(network.WithDialPeerTimeout(ctx, openTimeout), p); err != nil {
		return dialError(ctx, err)
	}
	return nil
}

// dialable parses the addresses, leaves out those that the gate forbids, and
// resolves names. The gater asks once more when libp2p comes to dial.
func (h *Host) dialable(ctx context.Context, p peer.ID, node record.NodeID, addrs []string) ([]ma.Multiaddr, error) {
	parsed, err := parseAll(addrs, checkAddr)
	if err != nil {
		return nil, err
	}
	if len(parsed) == 0 {
		return nil, record.Errorf(record.Unavailable, "no address of the node is known")
	}
	var allowed []ma.Multiaddr
	refused := false
	for _, a := range parsed {
		if !h.gate.gate.MayDial(node, a.String()) {
			refused = true
			continue
		}
		found, err := h.lookUp(ctx, p, a)
		if err != nil {
			h.log.Debug("couldn't resolve an address", "node", node, "error", err)
			continue
		}
		allowed = append(allowed, found...)
	}
	switch {
	case len(allowed) > 0:
		return allowed, nil
	case ctx.Err() != nil:
		return nil, dialError(ctx, ctx.Err())
	case refused:
		return nil, record.WithHint(record.Errorf(record.Refused, "none of the node's addresses may be dialled"),
			"private addresses are dialled only for partners that they are allowed for")
	}
	return nil, record.Errorf(record.Unavailable, "no address of the node could be resolved")
}

func (h *Host) lookUp(ctx context.Context, p peer.ID, a ma.Multiaddr) ([]ma.Multiaddr, error) {
	if !isName(a) {
		return []ma.Multiaddr{a}, nil
	}
	found, err := resolve(ctx, a)
	if err != nil {
		return nil, err
	}
	for _, f := range found {
		h.gate.remember(p, f.String(), a.String())
	}
	return found, nil
}

// dialError gives libp2p's error a kind. No error of libp2p is wrapped: callers
// can't test for it.
func dialError(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return record.Errorf(record.Timeout, "couldn't connect in time: %w", context.Cause(ctx))
	case gated(err):
		return record.Errorf(record.Refused, "couldn't connect: the gate is closed: %v", err)
	}
	// On one line, as people are told: libp2p gives each address one of its own.
	text := strings.Join(strings.Fields(err.Error()), " ")
	if anyCause(err, isRefusal) {
		return closedError(errors.New(text))
	}
	failed := record.Errorf(record.Unavailable, "couldn't connect: %s", text)
	if anyCause(err, isStrange) {
		return record.WithHint(failed, "another node answers at this address: the partner may have put back an older copy of its state, from before its node key changed")
	}
	return failed
}

// noStreamError gives the error of a stream that could not be opened its kind.
// The connection was up a moment ago: if it is gone, the other side has closed
// it, as it does when it refuses.
func noStreamError(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, network.ErrResourceLimitExceeded) {
		return dialError(ctx, err)
	}
	return closedError(err)
}

// closedError says that the node closed the connection, which is all that its
// refusal looks like.
func closedError(err error) error {
	return record.WithHint(record.Errorf(record.Unavailable, "the node closed the connection: %v", err),
		"the partner may not have accepted this organisation's card, or may have suspended it")
}

// anyCause tells whether any address failed with such an error.
func anyCause(err error, such func(error) bool) bool {
	var d *swarm.DialError
	return errors.As(err, &d) && slices.ContainsFunc(d.DialErrors, func(e swarm.TransportError) bool { return such(e.Cause) })
}

// isStrange tells whether the address leads to a node with another key.
func isStrange(err error) bool {
	var other sec.ErrPeerIDMismatch
	return errors.As(err, &other)
}

// isRefusal tells whether the node refuses us so soon that there never was a
// connection: over QUIC its word may come with the end of the handshake.
func isRefusal(err error) bool {
	var closed *quic.ApplicationError
	return errors.As(err, &closed) && closed.Remote && closed.ErrorCode == quic.ApplicationErrorCode(network.ConnGated)
}

// gated tells whether this host's own gate is why nothing was dialled.
func gated(err error) bool {
	var d *swarm.DialError
	if !errors.As(err, &d) {
		return false
	}
	if errors.Is(d.Cause, swarm.ErrGaterDisallowedConnection) {
		return true
	}
	for _, e := range d.DialErrors {
		if !errors.Is(e.Cause, swarm.ErrGaterDisallowedConnection) {
			return false
		}
	}
	return len(d.DialErrors) > 0
}

// negotiate settles the stream's protocol. The first stream of a protocol asks
// and waits for the answer, so that a node that refuses or lacks the protocol
// is noticed here; later ones begin at once and save the round trip.
func (h *Host) negotiate(ctx context.Context, s network.Stream, node record.NodeID, name string) (*Conn, error) {
	id := protocol.ID(name)
	if err := s.SetProtocol(id); err != nil {
		h.reset(s)
		return nil, record.Errorf(record.Unavailable, "too many streams: %v", err)
	}
	known, err := h.net.peers.SupportsProtocols(s.Conn().RemotePeer(), id)
	if err == nil && len(known) > 0 {
		return newConn(s, multistream.NewMSSelect(s, id), node), nil
	}
	if err := h.ask(ctx, s, id); err != nil {
		h.reset(s)
		return nil, err
	}
	if err := h.net.peers.AddProtocols(s.Conn().RemotePeer(), id); err != nil {
		h.log.Debug("couldn't remember a protocol", "error", err)
	}
	return newConn(s, s, node), nil
}

func (h *Host) ask(ctx context.Context, s network.Stream, id protocol.ID) error {
	ctx, cancel := context.WithTimeoutCause(ctx, negotiateTimeout, errNoAnswer)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { h.reset(s) })
	err := multistream.SelectProtoOrFail(id, s)
	if !stop() {
		return askTimeout(ctx)
	}
	var lacks multistream.ErrNotSupported[protocol.ID]
	switch {
	case errors.As(err, &lacks):
		return record.WithHint(record.Errorf(record.Unavailable, "the node does not speak %s", id),
			"it may run another version of dxd")
	case err != nil:
		return closedError(err)
	}
	return nil
}

// errNoAnswer is why ask gives up although its caller would wait.
var errNoAnswer = errors.New("no answer")

func askTimeout(ctx context.Context) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, errNoAnswer) {
		return record.Errorf(record.Unavailable, "the node is connected but does not answer")
	}
	return record.Errorf(record.Timeout, "couldn't open a stream in time: %w", cause)
}

func (h *Host) reset(s network.Stream) {
	if err := s.Reset(); err != nil {
		h.log.Debug("resetting a stream", "error", err)
	}
}
