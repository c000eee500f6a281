package p2p

import (
	"context"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
)

const heldProtocol = "/test/held/1"

// holder has each stream of heldProtocol held until the host ends, and tells of it.
func (h *Host) holder() (held <-chan struct{}) {
	all := make(chan struct{})
	h.Handle(heldProtocol, func(ctx context.Context, _ *Conn) {
		select {
		case all <- struct{}{}:
			<-ctx.Done()
		case <-ctx.Done():
		}
	})
	return all
}

// hoard opens streams until no more are given, and waits until they are held.
func (h *Host) hoard(t *testing.T, to *Host, held <-chan struct{}) (n int) {
	t.Helper()
	for {
		c, err := h.Open(testContext(t), to.Node(), to.Addrs(), heldProtocol)
		if err != nil {
			return n
		}
		t.Cleanup(func() { c.Reset() })
		if _, err := c.Write([]byte("here")); err != nil {
			return n
		}
		select {
		case <-held:
			n++
		case <-testContext(t).Done():
			t.Fatal("a stream did not arrive")
		}
	}
}

// TestStreamsOfSomeLeaveOthersTheirs has some nodes open all the streams that they
// get, and hold them.
func TestStreamsOfSomeLeaveOthersTheirs(t *testing.T) {
	for _, tt := range transportsUnderTest {
		t.Run(tt.name, func(t *testing.T) {
			to, honest := newHost(t, newDoor(), tt.listen), newHost(t, newDoor())
			to.Handle(testProtocol, echo)
			held := to.holder()
			roundTrip(t, mustOpen(t, honest, to, testProtocol), []byte("before"))
			before := to.connectionsOf(t, honest)
			for range 5 {
				if n := newHost(t, newDoor()).hoard(t, to, held); n != maxPeerStreams {
					t.Errorf("%d streams of one node", n)
				}
				for range 8 {
					roundTrip(t, mustOpen(t, honest, to, testProtocol), []byte("meanwhile"))
				}
			}
			if after := to.connectionsOf(t, honest); len(after) != 1 || after[0] != before[0] {
				t.Errorf("the connection was lost: %v and then %v", before, after)
			}
		})
	}
}

func (h *Host) connectionsOf(t *testing.T, other *Host) []network.Conn {
	t.Helper()
	p, err := peerOf(other.Node())
	if err != nil {
		t.Fatal(err)
	}
	return h.net.swarm.ConnsToPeer(p)
}
