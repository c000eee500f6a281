// Package e2e runs real daemons in processes of their own, over loopback,
// and does to them what life does: kill -9 at each commit point and in the
// middle of a file, a chain that is away, flipped bits, and an observer of the
// wire, the disks and the logs.
//
// It never reaches into a daemon that runs: it has the client, the state
// directory, the network, signals, and the seam that ends the process at a
// commit point.
package e2e
