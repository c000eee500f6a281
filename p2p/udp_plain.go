//go:build !linux

package p2p

import "net"

// inRuns is for Linux.
func inRuns(c *net.UDPConn) net.PacketConn { return c }
