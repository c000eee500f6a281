package p2p

import (
	"net/netip"
	"testing"

	ma "github.com/multiformats/go-multiaddr"
)

// FuzzAddresses reads what a partner may announce: what is taken has one form
// and one of four shapes, and nothing that leads to a special network counts as
// public.
func FuzzAddresses(f *testing.F) {
	for _, seed := range []string{
		"/ip4/192.0.2.7/tcp/4001", "/ip4/127.0.0.1/udp/4001/quic-v1", "/dns4/node.example.org/tcp/4001", "/ip6/::1/tcp/1", "/ip6/::ffff:10.0.0.1/tcp/1",
		"/ip6/64:ff9b::7f00:1/tcp/1", "/ip6/2002:7f00:1::/tcp/1", "/ip6zone/eth0/ip6/fe80::1/tcp/1", "/ip4/1.1.1.1/tcp/0", "/ip4/0.0.0.0/tcp/1", "/dns/localhost/tcp/1",
		"/ip4/1.1.1.1/tcp/1/p2p/12D3KooWGC8yXvn3zFRnwJrG1iWqz5Z8eoYb6Qj9pW4aF8q1a6dT/p2p-circuit", "/unix/tmp/x", "/ip4/010.0.0.1/tcp/1", "", "/", "\x00",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, addr string) {
		private := IsPrivate(addr)
		if _, err := checkAddr(addr); err != nil {
			return
		}
		a, err := ma.NewMultiaddr(addr)
		if err != nil || a.String() != addr || len(a) < 2 || len(a) > 3 {
			t.Fatalf("taken is %q (%v)", addr, err)
		}
		if port(a) == 0 {
			t.Errorf("%q has no port", addr)
		}
		if isName(a) {
			return
		}
		ip := addrIP(a)
		if ip.IsUnspecified() {
			t.Errorf("%q is nowhere", addr)
		}
		if special := leadsHome(ip); special && !private {
			t.Errorf("%q counts as public", addr)
		}
	})
}

// leadsHome tells whether an address, or the IPv4 address in it, is of the
// networks that nobody outside may send us into.
func leadsHome(ip netip.Addr) bool {
	plain := plainIP(ip).Unmap()
	return plain.IsLoopback() || plain.IsPrivate() || plain.IsLinkLocalUnicast() || plain.IsMulticast() || plain.IsUnspecified() ||
		netip.MustParsePrefix("100.64.0.0/10").Contains(plain) || plain.Is4() && netip.MustParsePrefix("0.0.0.0/8").Contains(plain)
}
