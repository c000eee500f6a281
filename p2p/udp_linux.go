package p2p

import (
	"encoding/binary"
	"net"

	"github.com/quic-go/quic-go"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

const (
	// runsAtOnce is how many runs one system call reads.
	runsAtOnce = 4
	// maxRun is the largest datagram, and with that the longest run, in bytes.
	maxRun = 64 << 10
	// oobSize has room for what is told of a run: its mark of congestion, the
	// address that it was sent to, the size of its packets.
	oobSize = 128
)

// runConn is a UDP socket that gets packets of one sender which follow each
// other from the kernel in one piece, a run (UDP_GRO, udp(7)), and takes it
// apart for quic-go: the way of each packet through the kernel is a good part
// of what QUIC costs.
type runConn struct {
	*net.UDPConn
	runs *ipv4.PacketConn // of IPv6, too
	read [runsAtOnce]ipv4.Message
	left []ipv4.Message // of read, not yet given on
	done int            // bytes of left[0] that were
}

var _ quic.OOBCapablePacketConn = (*runConn)(nil)

// inRuns has a socket read runs, if its kernel can.
func inRuns(c *net.UDPConn) net.PacketConn {
	raw, err := c.SyscallConn()
	if err != nil {
		return c
	}
	var refused error
	err = raw.Control(func(fd uintptr) {
		refused = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_GRO, 1)
	})
	if err != nil || refused != nil {
		return c
	}
	r := &runConn{UDPConn: c, runs: ipv4.NewPacketConn(c)}
	for i := range r.read {
		r.read[i].Buffers = [][]byte{make([]byte, maxRun)}
		r.read[i].OOB = make([]byte, oobSize)
	}
	return r
}

// ReadBatch is what quic-go reads packets with, in one goroutine.
func (r *runConn) ReadBatch(ms []ipv4.Message, flags int) (int, error) {
	if len(r.left) == 0 {
		n, err := r.runs.ReadBatch(r.read[:], flags)
		if err != nil {
			return 0, err
		}
		r.left = r.read[:n]
	}
	n := 0
	for ; n < len(ms) && len(r.left) > 0; n++ {
		r.next(&ms[n])
	}
	return n, nil
}

// next gives the next packet on. What does not fit is cut off, as the kernel
// does it.
func (r *runConn) next(m *ipv4.Message) {
	run := &r.left[0]
	packet := run.Buffers[0][r.done:run.N]
	if size := sizeInRun(run.OOB[:run.NN]); size > 0 && size < len(packet) {
		packet = packet[:size]
	}
	m.N = copy(m.Buffers[0], packet)
	m.NN = copy(m.OOB, run.OOB[:run.NN])
	m.Addr, m.Flags = run.Addr, run.Flags
	if r.done += len(packet); r.done == run.N {
		r.left, r.done = r.left[1:], 0
	}
}

// sizeInRun is the size of each packet of a run but its last one, or 0 where a
// packet came alone.
func sizeInRun(oob []byte) int {
	for len(oob) > 0 {
		h, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			return 0
		}
		if h.Level == unix.SOL_UDP && h.Type == unix.UDP_GRO && len(data) >= 4 {
			return int(binary.NativeEndian.Uint32(data))
		}
		oob = rest
	}
	return 0
}
