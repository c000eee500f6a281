package exchange

import (
	"context"

	"dxd/partner"
	"dxd/record"
)

// hello is the frame that both sides of ProtocolHello send: the sender's card
// and where it is.
type hello struct {
	Version int             `json:"v"`
	File    record.CardFile `json:"file"`
}

// sayHello calls a partner: each side learns the other's card and addresses.
func (x *Exchange) sayHello(ctx context.Context, p partner.Partner) error {
	stream, err := x.open(ctx, p, ProtocolHello)
	if err != nil {
		return err
	}
	defer closeQuietly(stream)
	defer resetWith(ctx, stream)()
	l := newLink(stream)
	if err := x.sendHello(l); err != nil {
		return err
	}
	return x.takeHello(ctx, p.Org, l)
}

// ServeHello answers a partner's call.
func (x *Exchange) ServeHello(ctx context.Context, s Stream) {
	x.serve(ctx, s, func(from partner.Partner, l *link) {
		err := x.takeHello(ctx, from.Org, l)
		if err == nil {
			err = x.sendHello(l)
		}
		if err != nil {
			x.complain(from.Org, "couldn't exchange cards with a partner", err)
			s.Reset()
		}
	})
}

func (x *Exchange) sendHello(l *link) error {
	file, err := x.Book.CardFile(x.Addrs())
	if err != nil {
		return err
	}
	return l.send(frameHello, hello{Version: wireVersion, File: file.File()})
}

// takeHello learns what the partner says of itself. The connection vouches
// that one of its nodes says it; the card's own signatures vouch for the rest.
func (x *Exchange) takeHello(ctx context.Context, from record.OrgID, l *link) error {
	var h hello
	if err := l.expect(frameHello, &h); err != nil {
		return err
	}
	if h.Version != wireVersion {
		return record.Errorf(record.Invalid, "a hello of version %d", h.Version)
	}
	opened, err := h.File.Open()
	if err != nil {
		return err
	}
	if err := x.Book.Learn(ctx, from, opened); err != nil {
		return err
	}
	x.heard(from)
	return nil
}
