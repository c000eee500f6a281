//go:build fault

package fault

import (
	"context"
	stdcrypto "crypto"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/crypto/pb"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/multiformats/go-multistream"
	"github.com/quic-go/quic-go"
	"golang.org/x/sys/unix"

	"dxd/test/party"
)

// stranger speaks what nodes speak to each other, as far as it wants and from
// whichever address. Its sockets are made in a network namespace, by threads
// that went there for good; everything else is done anywhere.
type stranger struct {
	t      *testing.T
	target netip.AddrPort
	node   peer.ID
	inside chan func()
}

// newStranger gives a stranger in a namespace whose target is the daemon of an
// organisation.
func newStranger(t *testing.T, namespace string, target *party.Org, addr netip.Addr) *stranger {
	t.Helper()
	node, err := peer.Decode(target.Keys.Node().String())
	party.Check(t, err)
	s := &stranger{t: t, target: netip.AddrPortFrom(addr, uint16(target.Port)), node: node, inside: make(chan func())}
	ready := make(chan error)
	const threads = 32
	for range threads {
		go func() { // ends with the test, and its thread with it
			runtime.LockOSThread()
			err := enter(namespace)
			ready <- err
			for err == nil {
				f, more := <-s.inside
				if !more {
					return
				}
				f()
			}
		}()
	}
	for range threads {
		party.Check(t, <-ready)
	}
	t.Cleanup(func() { close(s.inside) })
	return s
}

// enter moves the thread into a namespace.
func enter(namespace string) error {
	ns, err := os.Open("/run/netns/" + namespace)
	if err != nil {
		return err
	}
	defer ns.Close()
	return unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
}

// made has a socket made in the namespace.
func made[T any](s *stranger, f func() (T, error)) (v T, err error) {
	done := make(chan struct{})
	s.inside <- func() { defer close(done); v, err = f() }
	<-done
	return v, err
}

// unheard is how long a stranger waits for its end.
const unheard = 40 * time.Second

func (s *stranger) dial(from netip.Addr) (net.Conn, error) {
	c, err := made(s, func() (net.Conn, error) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from.AsSlice()}, Timeout: unheard}
		return d.DialContext(context.Background(), "tcp4", s.target.String())
	})
	if err == nil {
		err = c.SetDeadline(time.Now().Add(unheard))
	}
	return c, err
}

func (s *stranger) packets(from netip.Addr) (*net.UDPConn, error) {
	return made(s, func() (*net.UDPConn, error) {
		return net.ListenUDP("udp4", &net.UDPAddr{IP: from.AsSlice()})
	})
}

// outlived reads to the end and gives what it was: the daemon has to end it.
func outlived(c net.Conn) error {
	defer c.Close()
	_, err := io.Copy(io.Discard, c)
	if e := net.Error(nil); errors.As(err, &e) && e.Timeout() {
		return fmt.Errorf("still open after %s", unheard)
	}
	return nil
}

// silent connects and says nothing.
func (s *stranger) silent(from netip.Addr) error {
	c, err := s.dial(from)
	if err != nil {
		return nil // refused by the kernel: the queue is full
	}
	return outlived(c)
}

// half stops in the middle of its first message of TLS.
func (s *stranger) half(from netip.Addr) error {
	c, err := s.dial(from)
	if err != nil {
		return nil
	}
	_, _ = c.Write([]byte("\x13/multistream/1.0.0\n\x0b/tls/1.0.0\n\x16\x03\x01\x06\x00\x01\x00\x05\xfc\x03\x03")) // it may be shut already
	return outlived(c)
}

// noise asks for what is not spoken.
func (s *stranger) noise(from netip.Addr) error {
	c, err := s.dial(from)
	if err != nil {
		return nil
	}
	if multistream.SelectProtoOrFail[protocol.ID]("/noise", c) == nil {
		return errors.Join(errors.New("noise is spoken"), c.Close())
	}
	return outlived(c)
}

// key is a node's key around a signer.
type key struct {
	crypto.PubKey
	signer stdcrypto.Signer
}

// caller is a node as whom a stranger comes.
type caller struct {
	overTCP  *libp2ptls.Transport
	overQUIC *libp2ptls.Identity
}

func callerWith(t *testing.T, signer stdcrypto.Signer) (c caller) {
	t.Helper()
	public, err := crypto.UnmarshalEd25519PublicKey(signer.Public().(ed25519.PublicKey))
	party.Check(t, err)
	c.overTCP, err = libp2ptls.New(libp2ptls.ID, key{public, signer}, []upgrader.StreamMuxer{{ID: yamux.ID, Muxer: yamux.DefaultTransport}})
	party.Check(t, err)
	c.overQUIC, err = libp2ptls.NewIdentity(key{public, signer})
	party.Check(t, err)
	return c
}

// nobody has a key that no one knows.
func nobody(t *testing.T) caller {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	party.Check(t, err)
	return callerWith(t, private)
}

func (k key) Type() pb.KeyType         { return pb.KeyType_Ed25519 }
func (k key) GetPublic() crypto.PubKey { return k.PubKey }
func (k key) Raw() ([]byte, error)     { return nil, errors.New("it stays with its signer") }
func (k key) Sign(data []byte) ([]byte, error) {
	return k.signer.Sign(rand.Reader, data, stdcrypto.Hash(0))
}

// answer is what becomes of a whole handshake: how the daemon ended the
// connection, when, and what it served until then.
type answer struct {
	end    string
	after  time.Duration // from the end of the handshake, as this side sees it
	served protocol.ID
}

// errHandshake is that it did not come to an answer.
var errHandshake = errors.New("no handshake")

// overTCP does a whole handshake, asks for the protocols, one stream each, and
// waits for the end.
func (s *stranger) overTCP(from netip.Addr, as caller, ask ...protocol.ID) (a answer, err error) {
	c, err := s.dial(from)
	if err != nil {
		return a, errors.Join(errHandshake, err)
	}
	defer c.Close()
	if err := multistream.SelectProtoOrFail(libp2ptls.ID, io.ReadWriteCloser(c)); err != nil {
		return a, errors.Join(errHandshake, err)
	}
	secured, err := as.overTCP.SecureOutbound(context.Background(), c, s.node)
	if err != nil {
		return a, errors.Join(errHandshake, err)
	}
	begun := time.Now()
	if len(ask) == 0 {
		_, err = io.Copy(io.Discard, secured)
	} else if a.served, err = askOverTCP(secured, ask); a.served != "" {
		return a, nil
	}
	a.after = time.Since(begun)
	switch {
	case err == nil:
		a.end = "closed"
	case errors.Is(err, syscall.ECONNRESET):
		a.end = "reset"
	default:
		a.end = err.Error()
	}
	return a, nil
}

func askOverTCP(secured net.Conn, ask []protocol.ID) (served protocol.ID, err error) {
	m, err := yamux.DefaultTransport.NewConn(secured, false, &network.NullScope{})
	if err != nil {
		return "", err
	}
	defer m.Close()
	for _, id := range ask {
		stream, err := m.OpenStream(context.Background())
		if err != nil {
			continue
		}
		if multistream.SelectProtoOrFail(id, io.ReadWriteCloser(stream)) == nil {
			return id, nil
		}
	}
	return "", syscall.ECONNRESET // of which the multiplexer tells in other words
}

// overQUIC is overTCP over QUIC.
func (s *stranger) overQUIC(from netip.Addr, as caller, ask ...protocol.ID) (a answer, err error) {
	udp, err := s.packets(from)
	if err != nil {
		return a, err
	}
	defer udp.Close()
	c, end, err := s.dialQUIC(udp, as)
	if err != nil {
		return a, errors.Join(errHandshake, err)
	}
	defer end()
	begun := time.Now()
	for _, id := range ask {
		stream, err := c.OpenStreamSync(c.Context())
		if err != nil {
			continue
		}
		if multistream.SelectProtoOrFail(id, io.ReadWriteCloser(stream)) == nil {
			a.served = id
			return a, nil
		}
	}
	<-c.Context().Done()
	a.after, a.end = time.Since(begun), context.Cause(c.Context()).Error()
	return a, nil
}

func (s *stranger) dialQUIC(udp net.PacketConn, as caller) (c *quic.Conn, end func(), err error) {
	conf, _ := as.overQUIC.ConfigForPeer(s.node)
	conf.NextProtos = []string{"libp2p"}
	t := &quic.Transport{Conn: udp}
	ctx, cancel := context.WithTimeout(context.Background(), unheard)
	defer cancel()
	c, err = t.Dial(ctx, net.UDPAddrFromAddrPort(s.target), conf, &quic.Config{MaxIdleTimeout: unheard})
	if err != nil {
		return nil, nil, errors.Join(err, t.Close())
	}
	return c, func() { _ = c.CloseWithError(0, ""); _ = t.Close() }, nil
}

// whole does a handshake over TCP, and wholeQUIC over QUIC.
func (s *stranger) whole(as caller) func(netip.Addr) error {
	return func(from netip.Addr) error { _, err := s.overTCP(from, as); return unlessTurnedAway(err) }
}

func (s *stranger) wholeQUIC(as caller) func(netip.Addr) error {
	return func(from netip.Addr) error { _, err := s.overQUIC(from, as); return unlessTurnedAway(err) }
}

func unlessTurnedAway(err error) error {
	if errors.Is(err, errHandshake) {
		return nil
	}
	return err
}

// muted lets a few packets out and then none.
type muted struct {
	net.PacketConn // and no *net.UDPConn, which would have other ways out
	left           atomic.Int64
}

func (m *muted) WriteTo(b []byte, to net.Addr) (int, error) {
	if m.left.Add(-1) < 0 {
		return len(b), nil
	}
	return m.PacketConn.WriteTo(b, to)
}

// halfQUIC proves its address and says all of its first message, which takes two
// times two packets, and no more.
func (s *stranger) halfQUIC(as caller) func(netip.Addr) error {
	return func(from netip.Addr) error {
		udp, err := s.packets(from)
		if err != nil {
			return err
		}
		defer udp.Close()
		m := &muted{PacketConn: udp}
		m.left.Store(4)
		if _, end, err := s.dialQUIC(m, as); err == nil {
			end() // of which nobody hears
		}
		return nil
	}
}

// initial sends one packet that looks like the first of QUIC.
func (s *stranger) initial(from netip.Addr) error {
	udp, err := s.packets(from)
	if err != nil {
		return err
	}
	defer udp.Close()
	p := make([]byte, 1250)
	_, _ = rand.Read(p) // never fails
	copy(p, "\xc3\x00\x00\x00\x01\x08")
	copy(p[14:], "\x00\x00\x44\xd0") // no source id, no token, 1,232 bytes follow
	_, err = udp.WriteTo(p, net.UDPAddrFromAddrPort(s.target))
	return err
}
