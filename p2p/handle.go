package p2p

import (
	"context"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// Handle has serve called, in a goroutine of its own, for each stream that a
// node opens for the protocol. The stream is closed when serve returns. ctx
// ends when Close begins, and Close waits until serve has returned. A later
// call for the same protocol replaces an earlier one.
//
// A panic in serve is not recovered: it ends the process. What it left behind
// in memory can't be known, while everything that was promised is in the
// journal, from which a restart goes on.
func (h *Host) Handle(name string, serve func(ctx context.Context, c *Conn)) {
	h.mux.AddHandler(protocol.ID(name), func(_ protocol.ID, c io.ReadWriteCloser) error {
		serve(h.ctx, c.(*Conn))
		return nil
	})
}

// begin registers a handler that Close will wait for, unless it is too late.
func (h *Host) begin() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.handlers.Add(1)
	return true
}

// accept serves one inbound stream.
func (h *Host) accept(s network.Stream) {
	node, ok := nodeOf(s.Conn().RemotePeer())
	if !ok || !h.gate.admits(s.Conn().RemotePeer()) {
		// Not even the names of protocols for one that was suspended while
		// it was connected.
		h.log.Debug("stream refused", "node", node)
		h.reset(s)
		h.closeConn(s.Conn())
		return
	}
	if !h.begin() {
		h.reset(s)
		return
	}
	defer h.handlers.Done()
	id, serve, err := h.choose(s)
	if err != nil {
		h.log.Debug("stream without a protocol", "node", node, "error", err)
		h.reset(s)
		return
	}
	c := newConn(s, s, node)
	defer c.Close()
	if err := serve(id, c); err != nil {
		h.log.Debug("handler failed", "error", err)
	}
}

type handler = func(protocol.ID, io.ReadWriteCloser) error

func (h *Host) choose(s network.Stream) (protocol.ID, handler, error) {
	if err := s.SetDeadline(time.Now().Add(negotiateTimeout)); err != nil {
		return "", nil, err
	}
	id, serve, err := h.mux.Negotiate(s)
	if err != nil {
		return "", nil, err
	}
	if err := s.SetProtocol(id); err != nil { // counts it among the streams with a protocol
		return "", nil, err
	}
	return id, serve, s.SetDeadline(time.Time{})
}
