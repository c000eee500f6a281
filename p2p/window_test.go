package p2p

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

// farPipe is one direction of a link that is as fast as one likes, and long.
type farPipe struct {
	trip time.Duration

	mu      sync.Mutex // guards what follows
	changed *sync.Cond
	packets []farPacket
	closed  bool
}

type farPacket struct {
	due  time.Time
	data []byte
}

func newFarPipe(trip time.Duration) *farPipe {
	p := &farPipe{trip: trip}
	p.changed = sync.NewCond(&p.mu)
	return p
}

func (p *farPipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.packets = append(p.packets, farPacket{time.Now().Add(p.trip), append([]byte(nil), b...)})
	p.changed.Broadcast()
	return len(b), nil
}

func (p *farPipe) Read(b []byte) (int, error) {
	p.mu.Lock()
	for len(p.packets) == 0 && !p.closed {
		p.changed.Wait()
	}
	if p.closed {
		p.mu.Unlock()
		return 0, io.EOF
	}
	due := p.packets[0].due
	p.mu.Unlock()
	time.Sleep(time.Until(due))
	p.mu.Lock()
	defer p.mu.Unlock()
	first := &p.packets[0]
	n := copy(b, first.data)
	if first.data = first.data[n:]; len(first.data) == 0 {
		p.packets = p.packets[1:]
	}
	return n, nil
}

func (p *farPipe) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.changed.Broadcast()
	return nil
}

// farConn is one end of such a link.
type farConn struct {
	net.Conn // for what is not called
	in, out  *farPipe
}

func (c farConn) Read(b []byte) (int, error)  { return c.in.Read(b) }
func (c farConn) Write(b []byte) (int, error) { return c.out.Write(b) }
func (c farConn) Close() error {
	c.in.Close()
	return c.out.Close()
}
func (farConn) SetDeadline(time.Time) error      { return nil }
func (farConn) SetReadDeadline(time.Time) error  { return nil }
func (farConn) SetWriteDeadline(time.Time) error { return nil }
func (farConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (farConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }

// Over a long link the window grows from its first to its last size, in steps
// of which each could leave the sender waiting for good, whatever is read at a
// time. What a link takes that is as fast as one likes are round trips alone.
func TestAStreamOverALongLinkDoesNotStandStill(t *testing.T) {
	const size = 192 << 20
	for _, piece := range []int{1000, 40_000, 65_524, 100_000, 256<<10 + 5, 1 << 20} {
		synctest.Test(t, func(t *testing.T) {
			const trip = 50 * time.Millisecond
			there, back := newFarPipe(trip), newFarPipe(trip)
			near, err := newMuxer().NewConn(farConn{in: back, out: there}, false, &network.NullScope{})
			if err != nil {
				t.Fatal(err)
			}
			far, err := newMuxer().NewConn(farConn{in: there, out: back}, true, &network.NullScope{})
			if err != nil {
				t.Fatal(err)
			}
			defer near.Close()
			defer far.Close()
			time.Sleep(10 * trip) // both know how long it is
			sent, err := near.OpenStream(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				for buf, left := make([]byte, 256<<10), size; left > 0; left -= len(buf) {
					if _, err := sent.Write(buf); err != nil {
						t.Error(err)
						return
					}
				}
			}()
			got, err := far.AcceptStream()
			if err != nil {
				t.Fatal(err)
			}
			check := got.SetReadDeadline(time.Now().Add(time.Minute))
			begun := time.Now()
			if n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{io.LimitReader(got, size)}, make([]byte, piece)); err != nil || n != size || check != nil {
				t.Errorf("in pieces of %d bytes, %d of %d came (%v)", piece, n, size, err)
			}
			// With 16 MiB in each, 12 of them, and some before that.
			if trips := time.Since(begun) / (2 * trip); trips > 40 {
				t.Errorf("in pieces of %d bytes it took %d round trips", piece, trips)
			}
		})
	}
}
