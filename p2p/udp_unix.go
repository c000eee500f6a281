//go:build unix

package p2p

import (
	"net"
	"syscall"
)

// receiveBuffer is the size of the socket's receive buffer, as the kernel
// tells it.
func receiveBuffer(c *net.UDPConn) (size int, ok bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, false
	}
	var optErr error
	err = raw.Control(func(fd uintptr) {
		size, optErr = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF)
	})
	return size, err == nil && optErr == nil
}
