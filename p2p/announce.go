package p2p

import (
	"slices"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"dxd/record"
)

// Reachable lists the addresses that a host listening on listen would have, as
// Addrs does, without listening: "every address" becomes those of the
// machine's interfaces. A port that is only chosen at the start is left out.
func Reachable(listen []string) ([]string, error) {
	addrs, err := parseAll(listen, checkListen)
	if err != nil {
		return nil, err
	}
	addrs = slices.DeleteFunc(addrs, func(a ma.Multiaddr) bool { return port(a) == 0 })
	if len(addrs) == 0 {
		return nil, nil
	}
	if addrs, err = manet.ResolveUnspecifiedAddresses(addrs, nil); err != nil {
		return nil, record.Errorf(record.Internal, "couldn't list the addresses of the interfaces: %w", err)
	}
	out := make([]string, 0, len(addrs))
	for _, a := range addrs {
		out = append(out, a.String())
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}
