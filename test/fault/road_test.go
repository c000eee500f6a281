package fault

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"dxd/test/party"
)

// road is all that two daemons have of each other: a proxy in front of each,
// for TCP and for UDP, which does to the traffic what networks do.
type road struct {
	mu     sync.Mutex // guards what follows
	shut   bool       // for new connections and packets, both ways
	noTCP  bool
	noUDP  bool
	lostTo [2]bool // what goes to a, to b, is swallowed
	wires  []*wire
}

// wire is a TCP connection through a proxy.
type wire struct {
	in, out net.Conn
	to      int // the side that was dialled
	silent  bool
}

// newRoad puts proxies between two organisations that do not run yet.
func newRoad(t *testing.T, a, b *party.Org) *road {
	t.Helper()
	r := &road{}
	for side, o := range []*party.Org{a, b} {
		o.Config["listen"] = fmt.Sprintf(`["/ip4/127.0.0.1/tcp/%d", "/ip4/127.0.0.1/udp/%d/quic-v1"]`, o.Port, o.Port)
		o.Config["announce"] = fmt.Sprintf(`["/ip4/127.0.0.1/tcp/%d", "/ip4/127.0.0.1/udp/%d/quic-v1"]`, r.serveTCP(t, o.Port, side), r.serveUDP(t, o.Port, side))
	}
	return r
}

func (r *road) serveTCP(t *testing.T, target, side int) (port int) {
	t.Helper()
	front, err := net.Listen("tcp4", "127.0.0.1:0")
	party.Check(t, err)
	var owned sync.WaitGroup
	owned.Go(func() {
		for {
			in, err := front.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", target))
			w := &wire{in: in, out: out, to: side}
			if err != nil || !r.admit(w) {
				_ = in.Close()
				if err == nil {
					_ = out.Close()
				}
				continue
			}
			owned.Go(func() { r.pass(w, out, in, side) })
			owned.Go(func() { r.pass(w, in, out, 1-side) })
		}
	})
	t.Cleanup(func() {
		_ = front.Close()
		r.cut()
		owned.Wait()
	})
	return front.Addr().(*net.TCPAddr).Port
}

// admit notes a connection, unless none is let through.
func (r *road) admit(w *wire) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.shut || r.noTCP {
		return false
	}
	r.wires = append(r.wires, w)
	return true
}

// pass copies one direction until either end closes. What is swallowed is
// gone: the connection carries nothing from then on, and nobody is told.
func (r *road) pass(w *wire, dst, src net.Conn, to int) {
	buf := make([]byte, 64<<10)
	for {
		n, err := src.Read(buf)
		if r.swallows(w, to) {
			if err != nil {
				return
			}
			continue
		}
		if err == nil {
			_, err = dst.Write(buf[:n])
		}
		if err != nil {
			if !r.swallows(w, to) {
				_ = w.in.Close()
				_ = w.out.Close()
			}
			return
		}
	}
}

func (r *road) swallows(w *wire, to int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	w.silent = w.silent || r.lostTo[to]
	return w.silent
}

func (r *road) serveUDP(t *testing.T, target, side int) (port int) {
	t.Helper()
	front, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	party.Check(t, err)
	var owned sync.WaitGroup
	calls := map[netip.AddrPort]*net.UDPConn{}
	owned.Go(func() {
		buf := make([]byte, 64<<10)
		for {
			n, from, err := front.ReadFromUDPAddrPort(buf)
			if err != nil {
				break
			}
			if !r.carries(side) {
				continue
			}
			c := calls[from]
			if c == nil {
				if c, err = net.DialUDP("udp4", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: target}); err != nil {
					break
				}
				calls[from] = c
				owned.Go(func() { r.answer(front, from, c, 1-side) })
			}
			_, _ = c.Write(buf[:n]) // a packet may get lost
		}
		for _, c := range calls {
			_ = c.Close()
		}
	})
	t.Cleanup(func() { _ = front.Close(); owned.Wait() })
	return front.LocalAddr().(*net.UDPAddr).Port
}

// answer brings back what a side sends, until the proxy closes.
func (r *road) answer(front *net.UDPConn, to netip.AddrPort, c *net.UDPConn, side int) {
	buf := make([]byte, 64<<10)
	for {
		n, err := c.Read(buf)
		switch {
		case err == nil && r.carries(side):
			_, _ = front.WriteToUDPAddrPort(buf[:n], to) // a packet may get lost
		case err != nil && errors.Is(err, net.ErrClosed):
			return
		}
	}
}

func (r *road) carries(to int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.shut && !r.noUDP && !r.lostTo[to]
}

// set changes what the road does, under its lock.
func (r *road) set(change func(r *road)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(r)
}

// cut ends all connections: both ends are told.
func (r *road) cut() {
	r.mu.Lock()
	wires := slices.Clone(r.wires)
	r.wires = nil
	r.mu.Unlock()
	for _, w := range wires {
		_ = w.in.Close()
		_ = w.out.Close()
	}
}

// halfOpen ends all connections at the side that was dialled; who dialled is
// not told.
func (r *road) halfOpen() {
	r.mu.Lock()
	wires := slices.Clone(r.wires)
	for _, w := range wires {
		w.silent = true
	}
	r.mu.Unlock()
	for _, w := range wires {
		_ = w.out.Close()
	}
}
