//go:build unix

package client

import (
	"net"
	"os"
	"syscall"
)

// passFile sends a part of p, and the descriptor with it.
func passFile(conn net.Conn, p []byte, f *os.File) (n int, err error) {
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, nil
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	failed := raw.Control(func(fd uintptr) { n, _, err = u.WriteMsgUnix(p, syscall.UnixRights(int(fd)), nil) })
	if failed != nil {
		return 0, failed
	}
	return n, err
}
