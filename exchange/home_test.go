package exchange_test

import (
	"context"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"dxd/exchange"
	"dxd/p2p"
	"dxd/record"
)

// knocked counts who connects to an address of our own network.
func knocked(t *testing.T) (port string, knocks *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	knocks = new(atomic.Int32)
	var owned sync.WaitGroup
	owned.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			knocks.Add(1)
			c.Close()
		}
	})
	t.Cleanup(func() {
		l.Close()
		owned.Wait()
	})
	_, port, err = net.SplitHostPort(l.Addr().String())
	check(t, err)
	return port, knocks
}

// TestAPartnerCantHaveUsKnockAtHome has a partner whose card file showed no
// address of a private network announce some in a hello, in several forms.
func TestAPartnerCantHaveUsKnockAtHome(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	b.hushed.Store(true) // and tells nobody by itself where it is
	b.host.Handle(exchange.ProtocolHello, func(_ context.Context, c *p2p.Conn) { c.Reset() })
	port, knocks := knocked(t)
	home := []string{
		"/ip4/127.0.0.1/tcp/" + port, "/dns4/localhost/tcp/" + port, "/dns/localhost/tcp/" + port,
		"/ip6/::1/tcp/" + port, "/ip6/::ffff:127.0.0.1/tcp/" + port, "/ip6/64:ff9b::7f00:1/tcp/" + port,
	}
	file, err := a.book.CardFile(a.host.Addrs())
	check(t, err)
	_, err = b.book.Add(t.Context(), file, "anna")
	check(t, err)
	_, err = a.book.Add(t.Context(), record.OpenedCardFile{Card: b.book.Self()}, "bert") // a card and no address
	check(t, err)
	file, err = b.book.CardFile(home)
	check(t, err)
	if !hellos(t, b, a, file.File()) {
		t.Error("the hello is not answered")
	}
	b.halt() // so that anna has to dial
	until(t, "the call is over", func() bool { return !a.host.Connected(b.keys.Node()) })
	p, err := a.book.ByOrg(b.keys.Org())
	check(t, err)
	if !slices.Equal(p.AllAddresses(), home) {
		t.Errorf("the addresses were not learnt, so nothing is shown: %v", p.AllAddresses())
	}
	waits := a.send("bert", []byte("nobody can be reached with it"))
	if err := a.Call(t.Context(), p); err == nil {
		t.Error("the call came through")
	}
	a.stillWaits(waits.ID)
	if n := knocks.Load(); n != 0 {
		t.Errorf("%d connections came home", n)
	}
	// Once a person has accepted a file that shows them, they are dialled.
	_, err = a.book.Add(t.Context(), file, "")
	check(t, err)
	p, err = a.book.ByOrg(b.keys.Org())
	check(t, err)
	if err := a.Call(t.Context(), p); err == nil || knocks.Load() == 0 {
		t.Errorf("what a person allowed is not dialled: %v, %d connections", err, knocks.Load())
	}
}
