//go:build !unix

package p2p

import "net"

// receiveBuffer can't be told here.
func receiveBuffer(*net.UDPConn) (size int, ok bool) { return 0, false }
