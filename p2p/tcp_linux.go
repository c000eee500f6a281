package p2p

import (
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// longTrip is from which round trip on a connection is widened.
	longTrip = 20 * time.Millisecond

	// wideBuffer is the send buffer that is asked for, of which the kernel gives
	// twice as much (socket(7), SO_SNDBUF); two thirds of that are data.
	wideBuffer = 4 << 20

	// maxUnsent is how much a wide connection holds that is not on its way yet,
	// in bytes: pings and messages wait behind it.
	maxUnsent = 512 << 10
)

// widen gives a connection over a long link a send buffer that holds all that
// can be on its way there. By itself the kernel stops at 4 MiB
// (net.ipv4.tcp_wmem), which is 27 MB/s at 100 ms. Where it would go further, or
// gives no more, the connection stays as it is.
//
// What goes wrong leaves a connection that is slower, so it is told to nobody.
func widen(c net.Conn) { widenFrom(c, longTrip) }

// widenFrom is widen for round trips from this one on.
func widenFrom(c net.Conn, trip time.Duration) {
	s, ok := c.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		if tripOf(int(fd)) >= trip && kernelGives(wideBuffer) > autotuned() {
			// The bound comes first: without it the buffer must not grow.
			err := unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, maxUnsent)
			if err == nil {
				_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, wideBuffer)
			}
		}
	})
}

// tripOf is how long a round trip took so far, at first that of the handshake.
func tripOf(fd int) time.Duration {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0
	}
	return time.Duration(info.Rtt) * time.Microsecond
}

// kernelGives is the send buffer that a socket gets which asks for so much
// (net.core.wmem_max). It is tried on one that nobody uses, since one that has
// asked is never autotuned again.
func kernelGives(size int) int {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, size); err != nil {
		return 0
	}
	got, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF)
	if err != nil {
		return 0
	}
	return got
}

// autotuned is up to where the kernel sizes send buffers by itself.
func autotuned() int {
	least, first, most := 0, 0, 4<<20 // the default (tcp(7), tcp_wmem)
	if text, err := os.ReadFile("/proc/sys/net/ipv4/tcp_wmem"); err == nil {
		_, _ = fmt.Sscan(string(text), &least, &first, &most)
	}
	return most
}
