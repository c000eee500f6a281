package p2p

import (
	"slices"
	"sync"

	"dxd/record"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// change is one call of one watcher.
type change struct {
	tell      func(record.NodeID, bool)
	node      record.NodeID
	connected bool
}

// watchers count the connections to each node and tell of the first that
// comes up and the last that goes, in order, from one goroutine.
type watchers struct {
	mu     sync.Mutex // guards all below
	wake   *sync.Cond
	tell   []func(record.NodeID, bool)
	conns  map[peer.ID]int
	queue  []change
	closed bool

	done chan struct{}
}

func newWatchers() *watchers {
	w := &watchers{conns: map[peer.ID]int{}, done: make(chan struct{})}
	w.wake = sync.NewCond(&w.mu)
	go w.run()
	return w
}

// run tells what is queued until close, and what is left by then.
func (w *watchers) run() {
	defer close(w.done)
	for {
		w.mu.Lock()
		for len(w.queue) == 0 && !w.closed {
			w.wake.Wait()
		}
		queue := w.queue
		w.queue = nil
		w.mu.Unlock()
		if len(queue) == 0 {
			return
		}
		for _, c := range queue {
			c.tell(c.node, c.connected)
		}
	}
}

func (w *watchers) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.wake.Broadcast()
	<-w.done
}

// count adds by to the number of connections and tells whether it went from
// or to none.
func (w *watchers) count(p peer.ID, by int) (edge bool) {
	node, ok := nodeOf(p)
	if !ok {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.conns[p]
	w.conns[p] = before + by
	if w.conns[p] == 0 {
		delete(w.conns, p)
	}
	if before != 0 && before+by != 0 {
		return false
	}
	for _, tell := range w.tell {
		w.queue = append(w.queue, change{tell, node, by > 0})
	}
	w.wake.Broadcast()
	return true
}

func (w *watchers) add(tell func(record.NodeID, bool)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tell = append(slices.Clone(w.tell), tell)
	for p := range w.conns {
		if node, ok := nodeOf(p); ok {
			w.queue = append(w.queue, change{tell, node, true})
		}
	}
	w.wake.Broadcast()
}

// Watch has f told of each node's first connection and of the end of its
// last, in order and from one goroutine, beginning with the nodes that are
// connected now. f must not block. A connection that came and went quickly
// is told as both.
func (h *Host) Watch(f func(node record.NodeID, connected bool)) { h.watch.add(f) }

func (h *Host) connected(_ network.Network, c network.Conn) {
	h.watch.count(c.RemotePeer(), 1)
	// The gate may have closed between its last word and now, and Drop have
	// missed this connection. From here on, Drop finds it.
	if !h.gate.admits(c.RemotePeer()) {
		h.gate.forget(c.RemotePeer())
		h.closeConn(c)
	}
}

func (h *Host) disconnected(_ network.Network, c network.Conn) {
	if h.watch.count(c.RemotePeer(), -1) {
		// The node may come back as another version with other protocols.
		h.net.forget(c.RemotePeer())
		if !h.gate.admits(c.RemotePeer()) { // a key that was rotated out, for one
			h.gate.forget(c.RemotePeer())
		}
	}
}

func (h *Host) closeConn(c network.Conn) {
	if err := c.Close(); err != nil {
		h.log.Debug("closing a connection", "peer", c.RemotePeer(), "error", err)
	}
}
