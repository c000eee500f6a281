package daemon

import (
	"context"
	"sync"
	"time"

	"dxd/p2p"
	"dxd/record"
)

// Host is the daemon's place on the network. After a node key was rotated,
// another p2p host serves at the same addresses; everybody else goes on with
// this one. Its methods may be called by several goroutines.
type Host struct {
	begin func(listen []string) (*p2p.Host, error) // a host of the node key in use
	serve func(*p2p.Host)                          // has it serve the protocols

	mu     sync.RWMutex // guards what follows
	now    *p2p.Host
	moving []string // where it was, and will be, while it is being replaced
	closed bool
}

// open begins to listen.
func (h *Host) open(listen []string) (err error) {
	h.now, err = h.begin(listen)
	return err
}

func (h *Host) current() *p2p.Host {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.now
}

// rebind is how long the system may take to give the ports free.
const rebind = 10 * time.Second

// replace ends the host and begins another at the same addresses. Streams that
// are cut go on where they were, as after any cut. It must not be called from
// a handler.
func (h *Host) replace() error {
	old := h.current()
	listen := old.Listening()
	h.mu.Lock()
	h.moving = old.Addrs()
	h.mu.Unlock()
	if err := old.Close(); err != nil {
		return err
	}
	next, err := h.bind(listen)
	if err != nil {
		return err
	}
	h.serve(next)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.moving = nil
	if h.closed { // the daemon stops
		return next.Close()
	}
	h.now = next
	return nil
}

// bind begins a host at addresses that were in use a moment ago.
func (h *Host) bind(listen []string) (*p2p.Host, error) {
	tick := time.NewTicker(rebind / 100)
	defer tick.Stop()
	for end := time.Now().Add(rebind); ; <-tick.C {
		next, err := h.begin(listen)
		if record.KindOf(err) != record.Conflict || time.Now().After(end) {
			return next, err
		}
	}
}

// Node is the node that serves.
func (h *Host) Node() record.NodeID { return h.current().Node() }

// Addrs are the addresses to tell partners.
func (h *Host) Addrs() []string {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.moving != nil {
		return h.moving
	}
	return h.now.Addrs()
}

// Connected tells whether a connection to the node is up.
func (h *Host) Connected(node record.NodeID) bool { return h.current().Connected(node) }

// Drop closes all connections to the node at once.
func (h *Host) Drop(node record.NodeID) { h.current().Drop(node) }

// Open opens a stream to the node.
func (h *Host) Open(ctx context.Context, node record.NodeID, addrs []string, protocol string) (*p2p.Conn, error) {
	return h.current().Open(ctx, node, addrs, protocol)
}

// Close ends all connections and frees the ports.
func (h *Host) Close() error {
	h.mu.Lock()
	h.closed = true
	now := h.now
	h.mu.Unlock()
	if now == nil {
		return nil
	}
	return now.Close()
}
