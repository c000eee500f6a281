package p2p

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/quic-go/quic-go"
)

// The tests in this file look at the wire from outside: a proxy records what
// passes, and the key exchange is read from the server's hello.

func TestTCPHandshakeIsPostQuantum(t *testing.T) {
	a, b := newHost(t, newDoor()), newHost(t, newDoor(), overTCP)
	b.Handle(testProtocol, echo)
	proxy := newTCPProxy(t, b.Addrs()[0])
	secret := bytes.Repeat([]byte("marked value "), 100)
	c, err := a.Open(testContext(t), b.Node(), []string{proxy.addr}, testProtocol)
	if err != nil {
		t.Fatal(err)
	}
	roundTrip(t, c, secret)
	up, down := proxy.recorded()
	for _, side := range [][]byte{up, down} {
		if bytes.Contains(side, secret[:13]) || bytes.Contains(side, []byte(testProtocol)) || bytes.Contains(side, []byte(yamuxName)) {
			t.Error("the wire shows what should be sealed")
		}
	}
	hello, err := tcpServerHello(down)
	if err != nil {
		t.Fatal(err)
	}
	if group, err := keyShareGroup(hello); err != nil || group != tls.X25519MLKEM768 {
		t.Errorf("key exchange %v (%v), want X25519MLKEM768", group, err)
	}
}

// yamuxName would be on the wire if the multiplexer were negotiated before or
// outside TLS; as TLS's ALPN it is visible in the client's hello only.
const yamuxName = "/multistream/1.0.0\n\r/yamux"

func TestQUICHandshakeIsPostQuantum(t *testing.T) {
	a, b := newHost(t, newDoor()), newHost(t, newDoor(), overQUIC)
	b.Handle(testProtocol, echo)
	proxy := newUDPProxy(t, b.Addrs()[0])
	c, err := a.Open(testContext(t), b.Node(), []string{proxy.addr}, testProtocol)
	if err != nil {
		t.Fatal(err)
	}
	roundTrip(t, c, []byte("over quic"))

	// What the TLS stack says of itself,
	var q *quic.Conn
	if !c.stream.Conn().As(&q) {
		t.Fatal("not a QUIC connection")
	}
	state := q.ConnectionState().TLS
	if state.CurveID != tls.X25519MLKEM768 || state.Version != tls.VersionTLS13 {
		t.Errorf("key exchange %v with %s, want X25519MLKEM768", state.CurveID, tls.VersionName(state.Version))
	}
	// and what an observer sees.
	hello, err := quicServerHello(proxy.recorded())
	if err != nil {
		t.Fatal(err)
	}
	if group, err := keyShareGroup(hello); err != nil || group != tls.X25519MLKEM768 {
		t.Errorf("key exchange %v on the wire (%v), want X25519MLKEM768", group, err)
	}
}

// tcpProxy passes connections on to a target and keeps a copy.
type tcpProxy struct {
	addr     string
	mu       sync.Mutex
	up, down bytes.Buffer
	conns    []net.Conn
}

func newTCPProxy(t *testing.T, target string) *tcpProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tcpProxy{addr: "/ip4/127.0.0.1/tcp/" + strconv.Itoa(l.Addr().(*net.TCPAddr).Port)}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", hostPort(target))
			if err != nil {
				_ = in.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, in, out)
			p.mu.Unlock()
			wg.Go(func() { p.pass(out, in, &p.up) })
			wg.Go(func() { p.pass(in, out, &p.down) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); p.cut(); wg.Wait() })
	return p
}

func (p *tcpProxy) pass(dst, src net.Conn, record *bytes.Buffer) {
	defer dst.Close()
	defer src.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		record.Write(buf[:n])
		p.mu.Unlock()
		if _, err := dst.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (p *tcpProxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
}

func (p *tcpProxy) recorded() (up, down []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.Clone(p.up.Bytes()), bytes.Clone(p.down.Bytes())
}

// hostPort turns /ip4/127.0.0.1/tcp/N or …/udp/N/… into 127.0.0.1:N.
func hostPort(addr string) string {
	parts := strings.Split(addr, "/")
	return net.JoinHostPort(parts[2], parts[4])
}

// datagram is one packet of the recording.
type datagram struct {
	fromServer bool
	data       []byte
}

// udpProxy passes packets between one client and a target and keeps a copy.
type udpProxy struct {
	addr string
	mu   sync.Mutex
	all  []datagram
}

func newUDPProxy(t *testing.T, target string) *udpProxy {
	t.Helper()
	front, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	to, err := net.ResolveUDPAddr("udp4", hostPort(target))
	if err != nil {
		t.Fatal(err)
	}
	back, err := net.DialUDP("udp4", nil, to)
	if err != nil {
		t.Fatal(err)
	}
	p := &udpProxy{addr: "/ip4/127.0.0.1/udp/" + strconv.Itoa(front.LocalAddr().(*net.UDPAddr).Port) + "/quic-v1"}
	client := make(chan *net.UDPAddr, 1)
	var wg sync.WaitGroup
	wg.Go(func() { p.forward(front, back, client) })
	wg.Go(func() { p.backward(back, front, client) })
	t.Cleanup(func() { _ = front.Close(); _ = back.Close(); wg.Wait() })
	return p
}

func (p *udpProxy) keep(fromServer bool, data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, datagram{fromServer, bytes.Clone(data)})
}

func (p *udpProxy) forward(front, back *net.UDPConn, client chan<- *net.UDPAddr) {
	defer close(client)
	buf := make([]byte, 64<<10)
	known := false
	for {
		n, from, err := front.ReadFromUDP(buf)
		if err != nil {
			return
		}
		if !known {
			client <- from
			known = true
		}
		p.keep(false, buf[:n])
		if _, err := back.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (p *udpProxy) backward(back, front *net.UDPConn, client <-chan *net.UDPAddr) {
	to, ok := <-client
	buf := make([]byte, 64<<10)
	for ok {
		n, err := back.Read(buf)
		if err != nil {
			return
		}
		p.keep(true, buf[:n])
		if _, err := front.WriteToUDP(buf[:n], to); err != nil {
			return
		}
	}
}

func (p *udpProxy) recorded() []datagram {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.all)
}

// tcpServerHello skips multistream-select's lines and TLS's record header.
func tcpServerHello(down []byte) ([]byte, error) {
	for len(down) > 0 && down[0] != 0x16 { // a TLS handshake record
		n := int(down[0]) // lines here are shorter than 128 bytes
		if n+1 > len(down) {
			return nil, io.ErrUnexpectedEOF
		}
		down = down[n+1:]
	}
	if len(down) < 5 {
		return nil, io.ErrUnexpectedEOF
	}
	return down[5:], nil
}

var errNoKeyShare = errors.New("no key share in a server's hello")

// keyShareGroup reads the group out of a ServerHello (RFC 8446, section
// 4.1.3), of which only the beginning need be there.
func keyShareGroup(hello []byte) (tls.CurveID, error) {
	const fixed = 1 + 3 + 2 + 32 // type, length, version, random
	if len(hello) < fixed+1 || hello[0] != 2 {
		return 0, errNoKeyShare
	}
	at := fixed + 1 + int(hello[fixed]) + 2 + 1 + 2 // session id, suite, compression, length of extensions
	for at+4 <= len(hello) {
		kind, size := binary.BigEndian.Uint16(hello[at:]), int(binary.BigEndian.Uint16(hello[at+2:]))
		if kind == 51 && at+6 <= len(hello) {
			return tls.CurveID(binary.BigEndian.Uint16(hello[at+4:])), nil
		}
		at += 4 + size
	}
	return 0, errNoKeyShare
}

// quicServerHello opens the server's first Initial packet with the keys that
// everyone can derive from the client's destination id (RFC 9001, section 5.2).
func quicServerHello(all []datagram) ([]byte, error) {
	var dcids [][]byte
	for _, d := range all {
		switch {
		case !isInitial(d.data):
		case !d.fromServer:
			// After a Retry the client has a new destination id, and the keys
			// with it. Once it has heard of the server it takes the server's,
			// and the keys stay.
			dcids = append(dcids, d.data[6:6+int(d.data[5])])
		default:
			for _, dcid := range dcids {
				if plain, err := openInitial(d.data, dcid); err == nil {
					if hello := firstCrypto(plain); hello != nil {
						return hello, nil
					}
				}
			}
		}
	}
	return nil, errors.New("no server's hello in the recording")
}

// isInitial tells whether a packet is long-headed, of version 1 and an Initial.
func isInitial(p []byte) bool {
	return len(p) > 40 && p[0]&0xf0 == 0xc0 && binary.BigEndian.Uint32(p[1:]) == 1
}

func expandLabel(secret []byte, label string, size int) ([]byte, error) {
	info := append([]byte{0, byte(size), byte(len(label) + 6)}, "tls13 "+label...)
	return hkdf.Expand(sha256.New, secret, string(append(info, 0)), size)
}

type initialKeys struct{ key, iv, hp []byte }

func serverInitialKeys(dcid []byte) (k initialKeys, err error) {
	salt, err := hex.DecodeString("38762cf7f55934b34d179ae6a4c80cadccbb7f0a")
	if err != nil {
		return k, err
	}
	secret, err := hkdf.Extract(sha256.New, dcid, salt)
	if err != nil {
		return k, err
	}
	if secret, err = expandLabel(secret, "server in", 32); err != nil {
		return k, err
	}
	var errs [3]error
	k.key, errs[0] = expandLabel(secret, "quic key", 16)
	k.iv, errs[1] = expandLabel(secret, "quic iv", 12)
	k.hp, errs[2] = expandLabel(secret, "quic hp", 16)
	return k, errors.Join(errs[:]...)
}

// openInitial removes header protection and decrypts (RFC 9001, section 5.4).
func openInitial(packet, dcid []byte) ([]byte, error) {
	k, err := serverInitialKeys(dcid)
	if err != nil {
		return nil, err
	}
	p := bytes.Clone(packet)
	at := 6 + int(p[5])            // past the destination id
	at += 1 + int(p[at])           // the source id
	token, n := quicVarint(p[at:]) // the token, empty from a server
	at += n + int(token)
	length, n := quicVarint(p[at:])
	at += n
	block, err := aes.NewCipher(k.hp)
	if err != nil {
		return nil, err
	}
	mask := make([]byte, 16)
	block.Encrypt(mask, p[at+4:at+20])
	p[0] ^= mask[0] & 0x0f
	pnLen := int(p[0]&3) + 1
	nonce := bytes.Clone(k.iv)
	for i := range pnLen {
		p[at+i] ^= mask[1+i]
		nonce[12-pnLen+i] ^= p[at+i]
	}
	if block, err = aes.NewCipher(k.key); err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return aead.Open(nil, nonce, p[at+pnLen:at+int(length)], p[:at+pnLen])
}

func quicVarint(b []byte) (uint64, int) {
	n := 1 << (b[0] >> 6)
	v := uint64(b[0] & 0x3f)
	for _, c := range b[1:n] {
		v = v<<8 | uint64(c)
	}
	return v, n
}

// firstCrypto is the data of a CRYPTO frame at offset 0, after any padding
// and acknowledgements (RFC 9000, section 19).
func firstCrypto(p []byte) []byte {
	for len(p) > 0 {
		switch p[0] {
		case 0: // padding
			p = p[1:]
		case 2: // an acknowledgement without counts
			p = p[1:]
			var fields [4]uint64
			for i := range fields {
				v, n := quicVarint(p)
				fields[i], p = v, p[n:]
			}
			for range fields[2] * 2 {
				_, n := quicVarint(p)
				p = p[n:]
			}
		case 6: // crypto
			offset, n := quicVarint(p[1:])
			size, m := quicVarint(p[1+n:])
			if offset == 0 {
				return p[1+n+m : 1+n+m+int(size)]
			}
			p = p[1+n+m+int(size):]
		default:
			return nil
		}
	}
	return nil
}
