package party

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
)

// Link is all that two daemons have of each other: a proxy in front of each,
// which the other dials. It counts and can hold what goes from a to b.
type Link struct {
	recording bool

	mu    sync.Mutex // guards what follows
	freed *sync.Cond // limit, dead or a connection's end changed
	sent  int64      // bytes from a to b
	limit int64      // where they are held, if not negative
	held  chan struct{}
	conns []*wire
}

// wire is one connection through a proxy.
type wire struct {
	in, out  net.Conn
	dead     bool
	up, down bytes.Buffer // recorded: from who dialled, and to it
}

// NewLink puts proxies between two organisations that do not run yet, and lets
// them speak TCP only.
func NewLink(t testing.TB, a, b *Org, recording bool) *Link {
	t.Helper()
	l := &Link{recording: recording, limit: -1, held: make(chan struct{})}
	l.freed = sync.NewCond(&l.mu)
	for _, front := range []struct {
		of  *Org
		toB bool
	}{{a, false}, {b, true}} {
		port := l.serve(t, front.of.Port, front.toB)
		front.of.Config["listen"] = fmt.Sprintf(`["/ip4/127.0.0.1/tcp/%d"]`, front.of.Port)
		front.of.Config["announce"] = fmt.Sprintf(`["/ip4/127.0.0.1/tcp/%d"]`, port)
	}
	return l
}

// serve passes connections on to a port and returns its own.
func (l *Link) serve(t testing.TB, target int, toB bool) (port int) {
	t.Helper()
	front, err := net.Listen("tcp4", "127.0.0.1:0")
	Check(t, err)
	var owned sync.WaitGroup
	owned.Go(func() {
		for {
			in, err := front.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", target))
			if err != nil {
				_ = in.Close()
				continue
			}
			w := &wire{in: in, out: out}
			l.mu.Lock()
			l.conns = append(l.conns, w)
			l.mu.Unlock()
			owned.Go(func() { l.pass(w, out, in, &w.up, toB) })
			owned.Go(func() { l.pass(w, in, out, &w.down, !toB) })
		}
	})
	t.Cleanup(func() {
		_ = front.Close()
		l.Cut()
		owned.Wait()
	})
	return front.Addr().(*net.TCPAddr).Port
}

// ToNobody is a connection over a proxy of this link to somebody who listens
// and says nothing.
func (l *Link) ToNobody(t testing.TB) net.Conn {
	t.Helper()
	sink, err := net.Listen("tcp4", "127.0.0.1:0")
	Check(t, err)
	var owned sync.WaitGroup
	owned.Go(func() {
		c, err := sink.Accept()
		if err == nil {
			_, _ = io.Copy(io.Discard, c) // whatever ends it
			_ = c.Close()
		}
	})
	t.Cleanup(func() { _ = sink.Close(); l.Cut(); owned.Wait() })
	port := l.serve(t, sink.Addr().(*net.TCPAddr).Port, true)
	c, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	Check(t, err)
	return c
}

// pass copies one direction until either end closes.
func (l *Link) pass(w *wire, dst, src net.Conn, tape *bytes.Buffer, toB bool) {
	defer l.end(w)
	buf := make([]byte, 64<<10)
	for {
		n, err := src.Read(buf)
		if err != nil || !l.admit(w, buf[:n], tape, toB) {
			return
		}
		if _, err := dst.Write(buf[:n]); err != nil {
			return
		}
	}
}

// admit counts and records bytes, once they may pass; false if they never may.
func (l *Link) admit(w *wire, b []byte, tape *bytes.Buffer, toB bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for toB && l.limit >= 0 && l.sent+int64(len(b)) > l.limit && !w.dead {
		select {
		case <-l.held:
		default:
			close(l.held)
		}
		l.freed.Wait()
	}
	if w.dead {
		return false
	}
	if toB {
		l.sent += int64(len(b))
	}
	if l.recording {
		tape.Write(b)
	}
	return true
}

func (l *Link) end(w *wire) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w.dead = true
	_ = w.in.Close()
	_ = w.out.Close()
	l.freed.Broadcast()
}

// Cut ends all connections.
func (l *Link) Cut() {
	l.mu.Lock()
	conns := slices.Clone(l.conns)
	l.mu.Unlock()
	for _, w := range conns {
		l.end(w)
	}
}

// Hold lets n bytes pass from a to b, and then none. The channel is closed
// when more wait.
func (l *Link) Hold(n int64) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent, l.limit, l.held = 0, n, make(chan struct{})
	return l.held
}

// Release lets everything pass and counts anew.
func (l *Link) Release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent, l.limit = 0, -1
	l.freed.Broadcast()
}

// Passed is how many bytes went from a to b since hold or release.
func (l *Link) Passed() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sent
}

// Tapes are the recordings, each direction of each connection for itself.
func (l *Link) Tapes() (all [][]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.conns {
		all = append(all, bytes.Clone(w.up.Bytes()), bytes.Clone(w.down.Bytes()))
	}
	return all
}

// Hellos are the first messages of TLS from those who were dialled.
func (l *Link) Hellos() (all [][]byte, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.conns {
		if w.down.Len() == 0 {
			continue
		}
		hello, err := tcpServerHello(w.down.Bytes())
		if err == io.ErrUnexpectedEOF {
			continue // it ended before
		}
		if err != nil {
			return nil, err
		}
		all = append(all, hello)
	}
	return all, nil
}

// Connections is how many there were.
func (l *Link) Connections() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}
