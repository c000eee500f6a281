package daemon

import (
	"context"

	"dxd/exchange"
	"dxd/p2p"
	"dxd/partner"
	"dxd/record"
)

// network lets the exchange open streams over the host.
type network struct{ host *Host }

func (n network) Open(ctx context.Context, node record.NodeID, addresses []string, protocol string) (exchange.Stream, error) {
	c, err := n.host.Open(ctx, node, addresses, protocol)
	if err != nil {
		return nil, err // and no typed nil
	}
	return c, nil
}

// openHost starts to listen. No protocol is served before serveNetwork.
func (d *Daemon) openHost() error {
	prefer, err := p2p.ParsePrefer(d.Config.Transport.Prefer)
	if err != nil {
		return err
	}
	d.Host = &Host{serve: d.serveOn, begin: func(listen []string) (*p2p.Host, error) {
		return p2p.New(p2p.Config{
			Identity: d.Keys.NodeSigner(), Listen: listen, Announce: d.Config.Announce,
			Prefer: prefer, Gate: gate{d.Book, &d.tickets}, Log: d.log,
		})
	}}
	d.doorway = doorway{d.Host, p2p.Config{Prefer: prefer, Log: d.log}}
	return d.Host.open(d.Config.Listen)
}

// serveNetwork serves the protocols, and tells the exchange who is there.
func (d *Daemon) serveNetwork() { d.serveOn(d.Host.current()) }

func (d *Daemon) serveOn(host *p2p.Host) {
	host.Handle(exchange.ProtocolTransfer, func(ctx context.Context, c *p2p.Conn) { d.Exchange.ServeTransfer(ctx, c) })
	host.Handle(exchange.ProtocolHello, func(ctx context.Context, c *p2p.Conn) { d.Exchange.ServeHello(ctx, c) })
	host.Handle(exchange.ProtocolProof, func(ctx context.Context, c *p2p.Conn) { d.Exchange.ServeProof(ctx, c) })
	host.Handle(exchange.ProtocolPair, func(ctx context.Context, c *p2p.Conn) { d.Exchange.ServePair(ctx, c) })
	host.Watch(d.connected)
}

// connected notes that a partner's node came or went.
func (d *Daemon) connected(node record.NodeID, up bool) {
	p, err := d.Book.ByNode(node)
	if err != nil {
		return
	}
	if up {
		d.Exchange.Connected(node)
	} else {
		d.Exchange.Disconnected(node)
	}
	d.wg.Go(func() { // the host waits for us, and the journal may take a while
		if err := d.Book.Seen(context.Background(), p.Org); err != nil {
			d.log.Warn("couldn't note when a partner was seen", "error", err)
		}
	})
}

// shutOut drops a node that may not be connected any more.
func (d *Daemon) shutOut(node record.NodeID) {
	if d.Exchange != nil { // else nobody is connected yet
		d.Host.Drop(node)
	}
}

// partnerChanged wakes what waited for a partner to be let in again.
func (d *Daemon) partnerChanged(p partner.Partner) {
	if d.Exchange == nil {
		return
	}
	d.Exchange.PartnerChanged(p.Org)
}
