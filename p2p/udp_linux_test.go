package p2p

import (
	"bytes"
	"net"
	"slices"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

func TestARunOfPacketsIsTakenApart(t *testing.T) {
	for network, ip := range map[string]net.IP{"udp4": net.IPv4(127, 0, 0, 1), "udp6": net.IPv6loopback} {
		t.Run(network, func(t *testing.T) {
			to, from := runsTo(t, network, ip)
			data := bytes.Repeat([]byte("0123456789"), 500)
			from.send(data, 1200)
			from.send(data[:700], 0) // a packet alone
			from.send(nil, 0)
			from.send(data[:1900], 0) // more than quic-go has room for
			from.send(data[:2400], 1200)

			var got [][]byte
			for len(got) < 10 {
				ms := messages(2)
				n, err := to.ReadBatch(ms, 0)
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range ms[:n] {
					if m.Addr.String() != from.LocalAddr().String() {
						t.Errorf("a packet of %s came from %s", m.Addr, from.LocalAddr())
					}
					got = append(got, m.Buffers[0][:m.N])
				}
			}
			want := [][]byte{data[:1200], data[1200:2400], data[2400:3600], data[3600:4800], data[4800:], data[:700], nil, data[:packetRoom], data[:1200], data[1200:2400]}
			for i, w := range want {
				if !bytes.Equal(got[i], w) {
					t.Errorf("packet %d has %d bytes, %d were sent", i, len(got[i]), len(w))
				}
			}
		})
	}
}

func TestWhatIsToldOfARunIsToldOfEachPacket(t *testing.T) {
	to, from := runsTo(t, "udp4", net.IPv4(127, 0, 0, 1))
	from.option(unix.IPPROTO_IP, unix.IP_TOS, 2) // ECT(0) (RFC 3168, section 5)
	socket{t, to.UDPConn}.option(unix.IPPROTO_IP, unix.IP_RECVTOS, 1)
	from.send(make([]byte, 3000), 1000)
	ms := messages(8)
	n, err := to.ReadBatch(ms, 0)
	if err != nil || n != 3 {
		t.Fatalf("%d packets, %v", n, err)
	}
	for i, m := range ms[:n] {
		told, err := unix.ParseSocketControlMessage(m.OOB[:m.NN])
		if err != nil || !slices.ContainsFunc(told, func(c unix.SocketControlMessage) bool {
			return c.Header.Type == unix.IP_TOS && c.Data[0]&3 == 2
		}) {
			t.Errorf("of packet %d is told %v, %v", i, told, err)
		}
	}
}

func TestAReaderOfRunsIsNotKeptByAClosedSocket(t *testing.T) {
	to, _ := runsTo(t, "udp4", net.IPv4(127, 0, 0, 1))
	ended := make(chan error)
	go func() {
		_, err := to.ReadBatch(messages(1), 0)
		ended <- err
	}()
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("a closed socket was read")
	}
}

// packetRoom is what quic-go has for a packet.
const packetRoom = 1452

// messages has room for packets as quic-go gives it.
func messages(n int) []ipv4.Message {
	ms := make([]ipv4.Message, n)
	for i := range ms {
		ms[i] = ipv4.Message{Buffers: [][]byte{make([]byte, packetRoom)}, OOB: make([]byte, oobSize)}
	}
	return ms
}

// socket is one that tests set options of.
type socket struct {
	t *testing.T
	*net.UDPConn
}

func (s socket) option(level, name, value int) {
	s.t.Helper()
	raw, err := s.SyscallConn()
	if err != nil {
		s.t.Fatal(err)
	}
	var refused error
	if err := raw.Control(func(fd uintptr) { refused = unix.SetsockoptInt(int(fd), level, name, value) }); err != nil || refused != nil {
		s.t.Fatal(err, refused)
	}
}

// send sends data as a run of packets of this size (UDP_SEGMENT, udp(7)), or as
// one packet.
func (s socket) send(data []byte, size int) {
	s.t.Helper()
	s.option(unix.SOL_UDP, unix.UDP_SEGMENT, size)
	if _, err := s.Write(data); err != nil {
		s.t.Fatal(err)
	}
}

// runsTo is a socket as QUIC gets it, and one that sends to it.
func runsTo(t *testing.T, network string, ip net.IP) (*runConn, socket) {
	t.Helper()
	c, err := new(transports).listenUDP(network, &net.UDPAddr{IP: ip})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // one test closes it itself
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	from, err := net.DialUDP(network, nil, c.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := from.Close(); err != nil {
			t.Error(err)
		}
	})
	return c.(*runConn), socket{t, from}
}
