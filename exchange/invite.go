package exchange

import (
	"context"
	"time"

	"dxd/crypto"
	"dxd/record"
)

// Invite issues a ticket and waits for its bearer, until two people have said
// yes and each side is the other's partner. seen is told of each state. When
// ctx ends, the ticket is void.
//
// The host decides: it adds the visitor once both have said yes, and only then
// tells it to do the same. So a cut leaves at most the host with a partner
// that does not know of it, which pairing again mends.
func (x *Exchange) Invite(ctx context.Context, seen func(Pairing)) (Pairing, error) {
	if x.Tickets == nil {
		return Pairing{}, errNoDoorway()
	}
	ticket, visitor, err := x.newTicket()
	if err != nil {
		return Pairing{}, err
	}
	p, err := x.Tickets.begin(visitor, ticket.Expires)
	if err != nil {
		return Pairing{}, err
	}
	defer x.Doorway.Drop(visitor)
	defer x.Tickets.end(p)
	view := Pairing{ID: p.id, State: PairingWaits, Ticket: ticket.Text(), Expires: ticket.Expires}
	seen(view)
	s, err := p.await(ctx, ticket.Expires.Sub(x.Now()))
	if err != nil {
		return Pairing{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, pairingPatience, errNobodySaid)
	defer cancel()
	view.Ticket = ""
	t := x.talk(p, s, view, seen)
	defer t.hangUp()
	err = t.host(ctx)
	return t.view, err
}

// newTicket makes a ticket that leads to this node, and its visitor's name.
func (x *Exchange) newTicket() (t crypto.Ticket, visitor record.NodeID, err error) {
	addresses := x.Addrs()
	if len(addresses) == 0 {
		return t, visitor, record.WithHint(record.Errorf(record.Conflict, "this node has no address at which the other side could reach it"),
			"turn it around: let the other side run `dxd pair`, and run `dxd pair TICKET` here")
	}
	if t, err = crypto.NewTicket(x.Keys.Node(), addresses, x.Now().Add(ticketValidity)); err != nil {
		return t, visitor, err
	}
	visitor, err = t.Visitor()
	return t, visitor, err
}

// await waits for the visitor.
func (p *pairing) await(ctx context.Context, validity time.Duration) (Stream, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, validity, errTicketExpired)
	defer cancel()
	select {
	case s := <-p.arrived:
		return s, nil
	case <-ctx.Done():
		return nil, whyEnded(ctx)
	}
}

// ServePair takes a visitor's stream to who waits for it. Everyone else, a
// partner too, is told nothing.
func (x *Exchange) ServePair(ctx context.Context, s Stream) {
	defer closeQuietly(s)
	p := x.Tickets.use(s.Node(), x.Now())
	if p == nil {
		s.Reset()
		return
	}
	p.arrived <- s
	select {
	case <-p.ended:
	case <-ctx.Done():
		s.Reset()
		<-p.ended // who talks over the stream sees that it is gone
	}
}

// host is the talk on the side that issued the ticket.
func (t *talk) host(ctx context.Context) error {
	if err := t.welcome(ctx); err != nil {
		return err
	}
	answers, err := t.ask(ctx)
	if err != nil {
		return err
	}
	alias, err := t.agree(ctx, answers)
	if err == nil {
		err = t.add(ctx, alias)
	}
	if err != nil {
		t.tell(wordNo)
		return err
	}
	t.tell(wordAdded)
	t.view.Confirmed = t.confirmed()
	t.x.PartnerChanged(t.view.Partner.Org)
	t.show(PairingAdded)
	return nil
}

// welcome exchanges cards with the visitor, who has to prove that it comes
// from a node on the card that it shows.
func (t *talk) welcome(ctx context.Context) error {
	defer resetWith(ctx, t.link)()
	err := t.takeCard(func(f pairFrame) (record.NodeID, error) {
		return f.Node, crypto.CheckPairing(f.Node, t.p.visitor, t.x.Keys.Node(), f.Proof)
	})
	if err == nil {
		err = t.showCard(record.NodeID{}, nil)
	}
	return err
}

// agree waits until both sides have said yes. The visitor's yes may be taken
// back until then.
func (t *talk) agree(ctx context.Context, answers <-chan verdict) (alias string, err error) {
	for we, they := false, false; !we || !they; {
		select {
		case a := <-answers:
			if !a.yes {
				return "", errSaidNoHere
			}
			alias, we = a.alias, true
			t.show(PairingAgreed)
		case w, open := <-t.words:
			switch {
			case !open:
				return "", errLeft
			case w != wordYes || they:
				return "", errSaidNoThere
			}
			they = true
		case <-ctx.Done():
			return "", whyEnded(ctx)
		}
	}
	if ctx.Err() != nil {
		return "", whyEnded(ctx)
	}
	return alias, nil
}

// confirmed waits for the visitor's word that it has added us. Its no may have
// crossed ours on the way: then another word follows.
func (t *talk) confirmed() bool {
	timer := time.NewTimer(stallTimeout)
	defer timer.Stop()
	for {
		select {
		case w, open := <-t.words:
			if !open || w == wordAdded {
				return open
			}
		case <-timer.C:
			return false
		}
	}
}
