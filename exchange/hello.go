package exchange

import (
	"context"

	"dxd/partner"
	"dxd/record"
)

// hello is the frame that both sides of ProtocolHello send: the sender's card
// and where it is.
type hello struct {
	Version int               `json:"v"`
	File    record.CardFile   `json:"file"`
	Has     record.RecordID   `json:"has,omitzero"`     // the other side's card that the sender has, if it has those before it
	History []record.Envelope `json:"history,omitzero"` // cards of the sender before the one in File, newest first
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
	if err := x.sendHello(ctx, l, p.Org, p.Knows); err != nil {
		return err
	}
	_, err = x.takeHello(ctx, p.Org, l)
	return err
}

// ServeHello answers a partner's call.
func (x *Exchange) ServeHello(ctx context.Context, s Stream) {
	x.serve(ctx, s, func(from partner.Partner, l *link) {
		has, err := x.takeHello(ctx, from.Org, l)
		if err == nil {
			err = x.sendHello(ctx, l, from.Org, has)
		}
		if err != nil {
			x.complain(from.Org, "couldn't exchange cards with a partner", err)
			s.Reset()
			return
		}
		if !has.IsZero() && has != x.Book.Self().ID() {
			x.wake(from.Org, callWork) // to hear that the newer one has come
		}
	})
}

// sendHello tells a partner who we are. has is the card of ours that it has.
func (x *Exchange) sendHello(ctx context.Context, l *link, to record.OrgID, has record.RecordID) error {
	file, err := x.Book.CardFile(x.Addrs())
	if err != nil {
		return err
	}
	h := hello{Version: wireVersion, File: file.File()}
	if h.Has, err = x.Book.Has(ctx, to); err != nil {
		return err
	}
	if h.History, err = x.Book.History(ctx, has); err != nil {
		return err
	}
	return l.send(frameHello, h)
}

// takeHello learns what the partner says of itself, and which card of ours it
// has. The connection vouches that one of its nodes says it; the card's own
// signatures vouch for the rest.
func (x *Exchange) takeHello(ctx context.Context, from record.OrgID, l *link) (has record.RecordID, err error) {
	var h hello
	if err := l.expect(frameHello, &h); err != nil {
		return has, err
	}
	if h.Version != wireVersion {
		return has, record.Errorf(record.Invalid, "a hello of version %d", h.Version)
	}
	opened, err := h.File.Open()
	if err != nil {
		return has, err
	}
	if err := x.Book.Learn(ctx, from, opened); err != nil {
		if partner.IsAlarm(err) {
			x.raise(ctx, from, contradiction(record.TransferID{}, err.Error()))
		}
		return has, err
	}
	if err := x.Book.LearnHistory(ctx, from, h.History); err != nil {
		return has, err
	}
	if err := x.Book.Told(ctx, from, h.Has); err != nil {
		return has, err
	}
	x.heard(from)
	return h.Has, nil
}

// CallAll has every active partner called now, and again until it answers: our
// card is a new one.
func (x *Exchange) CallAll() {
	for _, p := range x.Book.List() {
		if p.State != partner.Active {
			continue
		}
		if worker := x.worker(p.Org, callWork); worker != nil {
			token(worker.connected)
		}
	}
}
