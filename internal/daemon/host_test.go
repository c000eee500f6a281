package daemon

import (
	"context"
	"slices"
	"strings"
	"testing"

	"dxd/crypto"
	"dxd/p2p"
	"dxd/record"
)

// everybody is a gate that keeps nobody out.
type everybody struct{}

func (everybody) Admit(record.NodeID) bool           { return true }
func (everybody) MayDial(record.NodeID, string) bool { return true }

const echo = "/test/echo/1"

// newHost is a host of a keyring on loopback that answers with its first byte.
func newHost(t *testing.T, keys *crypto.Keyring) *Host {
	t.Helper()
	h := &Host{
		begin: func(listen []string) (*p2p.Host, error) {
			return p2p.New(p2p.Config{Identity: keys.NodeSigner(), Listen: listen, Gate: everybody{}})
		},
		serve: func(host *p2p.Host) {
			host.Handle(echo, func(_ context.Context, c *p2p.Conn) {
				var b [1]byte
				if _, err := c.Read(b[:]); err == nil {
					_, _ = c.Write(b[:]) // whoever asked sees whether it came
				}
			})
		},
	}
	check(t, h.open([]string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"}))
	h.serve(h.current())
	t.Cleanup(func() { check(t, h.Close()) })
	return h
}

// asks fails unless the node answers at these addresses.
func asks(t *testing.T, from *Host, node record.NodeID, addrs []string) {
	t.Helper()
	c, err := from.Open(t.Context(), node, addrs, echo)
	check(t, err)
	defer c.Close()
	_, err = c.Write([]byte{7})
	check(t, err)
	var b [1]byte
	if _, err := c.Read(b[:]); err != nil || b[0] != 7 {
		t.Errorf("answered %v, %v", b, err)
	}
}

func TestAnotherNodeServesAtTheSameAddresses(t *testing.T) {
	keys, other := generate(t), generate(t)
	h, visitor := newHost(t, keys), newHost(t, other)
	old, where := h.Node(), h.Addrs()
	asks(t, visitor, old, where)
	next, err := keys.With(crypto.RoleNode)
	check(t, err)
	next, err = next.Without(crypto.RoleNode, old.String())
	check(t, err)
	keys.Become(next)
	check(t, h.replace())
	if h.Node() != keys.Node() || h.Node() == old || !slices.Equal(h.Addrs(), where) {
		t.Errorf("%s serves at %v, not %s at %v", h.Node(), h.Addrs(), keys.Node(), where)
	}
	for _, addr := range where { // over each transport
		asks(t, visitor, keys.Node(), []string{addr})
	}
	visitor.current().Drop(old) // it may not have noticed yet that this connection is gone
	if _, err := visitor.Open(t.Context(), old, where, echo); record.KindOf(err) != record.Unavailable || !strings.Contains(record.Hint(err), "another node answers") {
		t.Errorf("the old node answers: %v (%s)", err, record.Hint(err))
	}
}

func TestAHostThatWasClosedIsNotBegunAgain(t *testing.T) {
	keys := generate(t)
	h := newHost(t, keys)
	where := h.Addrs()
	check(t, h.Close())
	check(t, h.replace()) // as a rotation does that the end of the daemon overtook
	again, err := p2p.New(p2p.Config{Identity: keys.NodeSigner(), Listen: where, Gate: everybody{}})
	if err != nil {
		t.Fatalf("it still listens: %v", err)
	}
	check(t, again.Close())
}

func generate(t *testing.T) *crypto.Keyring {
	t.Helper()
	keys, err := crypto.Generate()
	check(t, err)
	return keys
}
