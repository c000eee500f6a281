// Package e2e runs real daemons in processes of their own, over loopback,
// and does to them what life does: kill -9 at each commit point and in the
// middle of a file, a chain that is away, flipped bits, and an observer of the
// wire, the disks and the logs.
//
// It never reaches into a daemon that runs, and has of its own only what one of
// its tests needs: what suites share is in test/party.
package e2e
