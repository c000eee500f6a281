package p2p

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"time"

	"dxd/record"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// checkAddr parses an address that the host could dial: an IP address or a
// name, then /tcp/PORT or /udp/PORT/quic-v1, in the one canonical form, without
// /p2p, zones, relays or other transports.
func checkAddr(addr string) (ma.Multiaddr, error) {
	a, err := parseAddr(addr, true)
	if err != nil {
		return nil, err
	}
	if !isName(a) && addrIP(a).IsUnspecified() || port(a) == 0 {
		return nil, record.WithHint(record.Errorf(record.Invalid, "nobody can be reached at %s", addr), addrHint)
	}
	return a, nil
}

// CheckListen tells whether the host could listen on addr: an IP address, which
// may stand for all, then /tcp/PORT or /udp/PORT/quic-v1, with port 0 for any
// free one, in the one canonical form.
func CheckListen(addr string) error {
	_, err := checkListen(addr)
	return err
}

// CheckAnnounce tells whether addr can be told to others: an IP address that
// stands for one machine, or a name, and a port.
func CheckAnnounce(addr string) error {
	_, err := checkAddr(addr)
	return err
}

func checkListen(addr string) (ma.Multiaddr, error) { return parseAddr(addr, false) }

const addrHint = "addresses look like /ip4/192.0.2.7/tcp/4001, /dns4/node.example.org/tcp/4001 or /ip4/192.0.2.7/udp/4001/quic-v1"

func parseAddr(addr string, names bool) (ma.Multiaddr, error) {
	a, err := ma.NewMultiaddr(addr)
	if err != nil {
		return nil, record.WithHint(record.Errorf(record.Invalid, "not an address: %q", record.Printable(addr, 120)), addrHint)
	}
	if a.String() != addr {
		// One form only, since the gate compares text.
		return nil, record.WithHint(record.Errorf(record.Invalid, "not in canonical form: %q", record.Printable(addr, 120)),
			"write "+record.Printable(a.String(), 120))
	}
	if !shapeOf(a, names) {
		return nil, record.WithHint(record.Errorf(record.Invalid, "not an address of a kind that is served: %q", record.Printable(addr, 120)), addrHint)
	}
	return a, nil
}

// shapeOf tells whether the address is host/tcp or host/udp/quic-v1.
func shapeOf(a ma.Multiaddr, names bool) bool {
	codes := make([]int, 0, 3)
	for _, c := range a {
		codes = append(codes, c.Code())
	}
	if len(codes) < 2 || !isHost(codes[0], names) {
		return false
	}
	switch len(codes) {
	case 2:
		return codes[1] == ma.P_TCP
	case 3:
		return codes[1] == ma.P_UDP && codes[2] == ma.P_QUIC_V1
	}
	return false
}

func isHost(code int, names bool) bool {
	switch code {
	case ma.P_IP4, ma.P_IP6:
		return true
	case ma.P_DNS, ma.P_DNS4, ma.P_DNS6:
		return names
	}
	return false
}

func parseAll(addrs []string, parse func(string) (ma.Multiaddr, error)) ([]ma.Multiaddr, error) {
	out := make([]ma.Multiaddr, 0, len(addrs))
	for _, s := range addrs {
		a, err := parse(s)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

func isName(a ma.Multiaddr) bool { return len(a) > 0 && !isHost(a[0].Code(), false) }

func isQUIC(a ma.Multiaddr) bool {
	_, err := a.ValueForProtocol(ma.P_QUIC_V1)
	return err == nil
}

// plainIP takes an IPv4 address out of the IPv6 address that stands for it
// (RFC 6052, section 2.2; RFC 3056, section 2).
func plainIP(ip netip.Addr) netip.Addr {
	b := ip.As16()
	switch {
	case netip.MustParsePrefix("64:ff9b::/96").Contains(ip):
		return netip.AddrFrom4([4]byte(b[12:16]))
	case netip.MustParsePrefix("2002::/16").Contains(ip):
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return ip
}

// IsPrivate tells whether dialling addr could reach something that the public
// internet can't: private, loopback, link-local, shared and otherwise special
// addresses, IPv6 forms of such IPv4 addresses, names of local domains, relay
// circuits, and whatever is not an address at all. What another name resolves
// to is judged when it is dialled.
func IsPrivate(addr string) bool {
	a, err := ma.NewMultiaddr(addr)
	if err != nil || len(a) == 0 {
		return true
	}
	if _, err := a.ValueForProtocol(ma.P_CIRCUIT); err == nil {
		return true
	}
	if isName(a) {
		return !manet.IsPublicAddr(a)
	}
	ip := addrIP(a)
	if !ip.IsValid() {
		return true
	}
	ip = plainIP(ip)
	plain, err := manet.FromIP(ip.AsSlice())
	if err != nil {
		return true
	}
	// Local-use translation (RFC 8215) and Teredo hide where they lead.
	hidden := netip.MustParsePrefix("64:ff9b:1::/48").Contains(ip) || netip.MustParsePrefix("2001::/32").Contains(ip)
	return hidden || !manet.IsPublicAddr(plain)
}

// resolveTimeout bounds the look-up of one name.
const resolveTimeout = 5 * time.Second

// resolve gives the addresses behind a name, as many as maxResolved.
func resolve(ctx context.Context, a ma.Multiaddr) ([]ma.Multiaddr, error) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	family := map[int]string{ma.P_DNS: "ip", ma.P_DNS4: "ip4", ma.P_DNS6: "ip6"}[a[0].Code()]
	ips, err := net.DefaultResolver.LookupNetIP(ctx, family, a[0].Value())
	if err != nil {
		return nil, record.Errorf(record.Unavailable, "couldn't resolve %s: %v", a[0].Value(), err)
	}
	out := make([]ma.Multiaddr, 0, len(ips))
	for _, ip := range ips[:min(len(ips), maxResolved)] {
		host, err := manet.FromIP(ip.Unmap().AsSlice())
		if err != nil {
			return nil, record.Errorf(record.Unavailable, "couldn't resolve %s: %v", a[0].Value(), err)
		}
		out = append(out, ma.Join(host, a[1:]))
	}
	return out, nil
}

// netAddr is the address in the form of package net.
func netAddr(a ma.Multiaddr) net.Addr {
	ip := addrIP(a)
	if isQUIC(a) {
		return net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, port(a)))
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, port(a)))
}

// port is that of TCP or UDP, 0 if there is none.
func port(a ma.Multiaddr) uint16 {
	if len(a) < 2 || len(a[1].RawValue()) != 2 {
		return 0
	}
	return binary.BigEndian.Uint16(a[1].RawValue())
}
