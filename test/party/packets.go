package party

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
)

// PacketLink is a link over UDP that records: a proxy in front of each of two
// organisations.
type PacketLink struct {
	Fronts []string

	mu    sync.Mutex // guards what follows
	calls []*call
}

// call is what one address and one organisation sent each other.
type call struct {
	back *net.UDPConn
	all  []datagram
}

// NewPacketLink puts proxies between two organisations that do not run yet,
// and lets them speak QUIC only.
func NewPacketLink(t testing.TB, a, b *Org) *PacketLink {
	t.Helper()
	l := &PacketLink{}
	for _, o := range []*Org{a, b} {
		port := l.serve(t, o.Port)
		o.Config["listen"] = fmt.Sprintf(`["/ip4/127.0.0.1/udp/%d/quic-v1"]`, o.Port)
		o.Config["announce"] = fmt.Sprintf(`["/ip4/127.0.0.1/udp/%d/quic-v1"]`, port)
	}
	return l
}

func (l *PacketLink) serve(t testing.TB, target int) (port int) {
	t.Helper()
	front, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	Check(t, err)
	l.Fronts = append(l.Fronts, front.LocalAddr().String())
	var owned sync.WaitGroup
	calls := map[netip.AddrPort]*call{}
	owned.Go(func() {
		buf := make([]byte, 64<<10)
		for {
			n, from, err := front.ReadFromUDPAddrPort(buf)
			if err != nil {
				break
			}
			c := calls[from]
			if c == nil {
				if c, err = l.call(target); err != nil {
					break
				}
				calls[from] = c
				owned.Go(func() { l.answer(front, from, c) })
			}
			l.keep(c, false, buf[:n])
			_, _ = c.back.Write(buf[:n]) // a packet may get lost
		}
		for _, c := range calls {
			_ = c.back.Close()
		}
	})
	t.Cleanup(func() { _ = front.Close(); owned.Wait() })
	return front.LocalAddr().(*net.UDPAddr).Port
}

func (l *PacketLink) call(target int) (*call, error) {
	back, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: target})
	if err != nil {
		return nil, err
	}
	c := &call{back: back}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, c)
	return c, nil
}

// answer brings back what the organisation sends, until the proxy closes.
func (l *PacketLink) answer(front *net.UDPConn, to netip.AddrPort, c *call) {
	buf := make([]byte, 64<<10)
	for {
		n, err := c.back.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // nobody listens for now
		}
		l.keep(c, true, buf[:n])
		_, _ = front.WriteToUDPAddrPort(buf[:n], to) // a packet may get lost
	}
}

func (l *PacketLink) keep(c *call, fromServer bool, data []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.all = append(c.all, datagram{fromServer, bytes.Clone(data)})
}

// Tapes are the recorded packets.
func (l *PacketLink) Tapes() (all [][]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.calls {
		for _, d := range c.all {
			all = append(all, d.data)
		}
	}
	return all
}

// Hellos are the first messages of TLS from those who were called.
func (l *PacketLink) Hellos() (all [][]byte, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.calls {
		hello, err := quicServerHello(c.all)
		if err == io.ErrUnexpectedEOF {
			continue // nobody answered, or it ended before
		}
		if err != nil {
			return nil, err
		}
		all = append(all, hello)
	}
	return all, nil
}
