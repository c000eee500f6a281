package p2p

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// options are the send buffer of a connection, and how much it holds that is
// not on its way.
func options(t *testing.T, c *net.TCPConn) (buffer, unsent int) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) {
		var first, second error
		buffer, first = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF)
		unsent, second = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT)
		if first != nil || second != nil {
			t.Error(first, second)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return buffer, unsent
}

func TestOnlyLongLinksAreWidened(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := conn.(*net.TCPConn)
	buffer, unsent := options(t, c)
	widen(c)
	if b, u := options(t, c); b != buffer || u != unsent {
		t.Errorf("on loopback it has a buffer of %d and not %d bytes, and holds %d and not %d", b, buffer, u, unsent)
	}
	if given := kernelGives(wideBuffer); given > autotuned() { // as here usually; where the kernel gives less it stays
		buffer, unsent = given, maxUnsent
	}
	widenFrom(c, time.Microsecond)
	if b, u := options(t, c); b != buffer || u != unsent {
		t.Errorf("on a long link it has a buffer of %d and not %d bytes, and holds %d and not %d", b, buffer, u, unsent)
	}
}
