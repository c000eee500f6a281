package daemon

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"dxd/crypto"
	"dxd/exchange"
	"dxd/p2p"
	"dxd/partner"
	"dxd/record"
)

// gate lets partners in, and whoever comes with a ticket: that one to the
// pairing protocol alone, since every other asks the book.
type gate struct {
	*partner.Book
	tickets *exchange.Tickets
}

func (g gate) Admit(node record.NodeID) bool {
	return g.Book.Admit(node) || g.tickets.Admit(node, time.Now())
}

// doorway is the network between those who are no partners yet.
type doorway struct {
	*Host
	template p2p.Config // of the hosts that visit
}

// Visit goes to the node that issued the ticket, with a host of its own that
// has the ticket's identity and reaches nobody else.
func (d doorway) Visit(ctx context.Context, t crypto.Ticket, protocol string) (exchange.Stream, error) {
	c := d.template
	c.Identity, c.Gate = t.Signer(), oneWay{t}
	host, err := p2p.New(c)
	if err != nil {
		return nil, err
	}
	var met atomic.Bool
	host.Watch(func(record.NodeID, bool) { met.Store(true) })
	stream, err := host.Open(ctx, t.Node, t.Addresses, protocol)
	if err == nil {
		return visit{stream, host}, nil
	}
	err = errors.Join(err, host.Close()) // after which all was told that Watch tells
	if met.Load() {
		return nil, record.Errorf(record.Refused, "the node hung up: %w", err)
	}
	return nil, err
}

// oneWay is the gate of a host that visits one node.
type oneWay struct{ ticket crypto.Ticket }

func (o oneWay) Admit(node record.NodeID) bool { return node == o.ticket.Node }

func (o oneWay) MayDial(node record.NodeID, addr string) bool {
	return o.Admit(node) && slices.Contains(o.ticket.Addresses, addr)
}

// visit is a stream that takes its host along when it is closed.
type visit struct {
	*p2p.Conn
	host *p2p.Host
}

func (v visit) Close() error { return errors.Join(v.Conn.Close(), v.host.Close()) }
