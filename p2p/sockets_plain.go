//go:build !linux

package p2p

import "net"

// inRuns is for Linux.
func inRuns(c *net.UDPConn) net.PacketConn { return c }

// widen is for Linux.
func widen(net.Conn) {}
