package p2p

import (
	"testing"

	"dxd/record"
)

func TestAddressesToDial(t *testing.T) {
	const id = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"
	tests := []struct {
		name, addr string
		ok         bool
	}{
		{"tcp over IPv4", "/ip4/192.0.2.7/tcp/4001", true},
		{"tcp over IPv6", "/ip6/2001:db8::7/tcp/4001", true},
		{"quic over IPv4", "/ip4/192.0.2.7/udp/4001/quic-v1", true},
		{"quic by name", "/dns4/node.example.org/udp/4001/quic-v1", true},
		{"tcp by name of either family", "/dns/node.example.org/tcp/4001", true},
		{"nothing", "", false},
		{"host and port", "192.0.2.7:4001", false},
		{"a host alone", "/ip4/192.0.2.7", false},
		{"plain udp", "/ip4/192.0.2.7/udp/4001", false},
		{"a websocket", "/ip4/192.0.2.7/tcp/4001/ws", false},
		{"webtransport", "/ip4/192.0.2.7/udp/4001/quic-v1/webtransport", false},
		{"with a peer", "/ip4/192.0.2.7/tcp/4001/p2p/" + id, false},
		{"a relay", "/ip4/192.0.2.7/tcp/4001/p2p/" + id + "/p2p-circuit", false},
		{"dnsaddr", "/dnsaddr/example.org", false},
		{"a zone", "/ip6zone/eth0/ip6/fe80::1/tcp/4001", false},
		{"a trailing slash", "/ip4/192.0.2.7/tcp/4001/", false},
		{"IPv6 not in canonical form", "/ip6/2001:0db8:0::7/tcp/4001", false},
		{"a port with a leading zero", "/ip4/192.0.2.7/tcp/04001", false},
		{"a port too high", "/ip4/192.0.2.7/tcp/65536", false},
		{"port 0", "/ip4/192.0.2.7/tcp/0", false},
		{"port 0 by name", "/dns4/node.example.org/udp/0/quic-v1", false},
		{"every interface", "/ip4/0.0.0.0/tcp/4001", false},
		{"every interface over IPv6", "/ip6/::/udp/4001/quic-v1", false},
		{"a unix socket", "/unix/run/x.sock", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := checkAddr(tt.addr)
			if tt.ok && err != nil {
				t.Error(err)
			}
			if !tt.ok {
				wantKind(t, err, record.Invalid)
				if record.Hint(err) == "" {
					t.Errorf("%v has no hint", err)
				}
			}
		})
	}
}

func TestIsPrivate(t *testing.T) {
	tests := []struct {
		name, addr string
		private    bool
	}{
		{"public IPv4", "/ip4/8.8.8.8/tcp/1", false},
		{"public IPv6", "/ip6/2a00:1450:4001::1/tcp/1", false},
		{"a name", "/dns4/node.example.org/tcp/1", false},
		{"public behind translation", "/ip6/64:ff9b::808:808/tcp/1", false},
		{"loopback", "/ip4/127.0.0.1/tcp/1", true},
		{"all of loopback", "/ip4/127.9.9.9/udp/1/quic-v1", true},
		{"IPv6 loopback", "/ip6/::1/tcp/1", true},
		{"unspecified", "/ip4/0.0.0.0/tcp/1", true},
		{"IPv6 unspecified", "/ip6/::/tcp/1", true},
		{"10/8", "/ip4/10.1.2.3/tcp/1", true},
		{"172.16/12", "/ip4/172.31.0.1/tcp/1", true},
		{"192.168/16", "/ip4/192.168.0.1/tcp/1", true},
		{"link-local, where clouds keep secrets", "/ip4/169.254.169.254/tcp/80", true},
		{"carrier-grade NAT", "/ip4/100.64.0.1/tcp/1", true},
		{"multicast", "/ip4/224.0.0.1/tcp/1", true},
		{"broadcast", "/ip4/255.255.255.255/tcp/1", true},
		{"unique local IPv6", "/ip6/fd00::1/tcp/1", true},
		{"link-local IPv6", "/ip6/fe80::1/tcp/1", true},
		{"IPv4 loopback as IPv6", "/ip6/::ffff:127.0.0.1/tcp/1", true},
		{"private behind translation", "/ip6/64:ff9b::a00:1/tcp/1", true},
		{"private behind local translation", "/ip6/64:ff9b:1::a00:1/tcp/1", true},
		{"private behind 6to4", "/ip6/2002:7f00:1::/tcp/1", true},
		{"teredo", "/ip6/2001:0:1::1/tcp/1", true},
		{"localhost", "/dns4/localhost/tcp/1", true},
		{"mdns name", "/dns4/printer.local/tcp/1", true},
		{"a circuit", "/p2p-circuit", true},
		{"no address", "nonsense", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := IsPrivate(tt.addr); got != tt.private {
				t.Errorf("IsPrivate(%q) = %v", tt.addr, got)
			}
		})
	}
}
