package exchange

import (
	"context"
	"time"

	"dxd/crypto"
	"dxd/record"
)

// Join goes to who issued the ticket, until two people have said yes and each
// side is the other's partner. seen is told of each state.
func (x *Exchange) Join(ctx context.Context, text string, seen func(Pairing)) (Pairing, error) {
	if x.Tickets == nil {
		return Pairing{}, errNoDoorway()
	}
	ticket, err := crypto.ParseTicket(text)
	if err != nil {
		return Pairing{}, err
	}
	if ticket.Node == x.Keys.Node() {
		return Pairing{}, record.WithHint(record.Errorf(record.Conflict, "this is a ticket of your own"), "run `dxd pair TICKET` on the other side")
	}
	p, err := x.Tickets.begin(record.NodeID{}, ticket.Expires)
	if err != nil {
		return Pairing{}, err
	}
	defer x.Tickets.end(p)
	view := Pairing{ID: p.id, State: PairingCalls, Expires: ticket.Expires}
	seen(view)
	s, err := x.Doorway.Visit(ctx, ticket, ProtocolPair)
	if err != nil {
		return Pairing{}, x.noVisit(ctx, ticket, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, pairingPatience, errNobodySaid)
	defer cancel()
	t := x.talk(p, s, view, seen)
	defer t.hangUp()
	err = t.visit(ctx, ticket)
	return t.view, err
}

// noVisit says why the visitor did not get in. The host tells it no more than
// any stranger, so what is said here is what it may be.
func (x *Exchange) noVisit(ctx context.Context, ticket crypto.Ticket, err error) error {
	switch kind := record.KindOf(err); {
	case ctx.Err() != nil:
		return whyEnded(ctx)
	case kind == record.Refused && !x.Now().Before(ticket.Expires):
		return record.WithHint(record.Errorf(record.Refused, "the ticket has expired"), "ask them to run `dxd pair` again")
	case kind == record.Refused:
		return record.WithHint(record.Errorf(record.Refused, "the other side does not know this ticket: it was used, or nobody waits for it any more"),
			"ask them to run `dxd pair` again, and to leave it running")
	case kind == record.Unavailable:
		// With each address, and what became of it there.
		x.Log.Info("couldn't reach who issued a ticket", "error", err)
		return record.WithHint(record.Errorf(record.Unavailable, "couldn't reach the other side at any address of its ticket"),
			"see that their `dxd pair` still waits; if they can't be reached from here, turn it around: run `dxd pair` here, and let them run `dxd pair TICKET`")
	}
	return err
}

// visit is the talk on the side that came with the ticket.
func (t *talk) visit(ctx context.Context, ticket crypto.Ticket) error {
	if err := t.introduce(ctx, ticket); err != nil {
		return err
	}
	answers, err := t.ask(ctx)
	if err != nil {
		return err
	}
	alias, err := t.decided(ctx, answers)
	if err != nil {
		return err
	}
	if err := t.add(ctx, alias); err != nil {
		t.tell(wordNo)
		return record.WithHint(record.Errorf(record.KindOf(err), "couldn't add them, while they have added you: %w", err), "mend that, and pair again")
	}
	t.view.Confirmed = true
	t.tell(wordAdded)
	t.x.PartnerChanged(t.view.Partner.Org)
	t.show(PairingAdded)
	return nil
}

// introduce exchanges cards with the host, whom the connection has shown to be
// the node that the ticket names.
func (t *talk) introduce(ctx context.Context, ticket crypto.Ticket) error {
	defer resetWith(ctx, t.link)()
	visitor, err := ticket.Visitor()
	if err == nil {
		err = t.showCard(t.x.Keys.Node(), t.x.Keys.ProvePairing(visitor, ticket.Node))
	}
	if err == nil {
		err = t.takeCard(func(pairFrame) (record.NodeID, error) { return ticket.Node, nil })
	}
	return err
}

// takeBack bounds how long the host may take to answer a yes that is taken
// back.
const takeBack = 10 * time.Second

// decided waits for the host's decision, which alone counts once the person
// here has said yes: then a no takes that back only if the host gets it first.
func (t *talk) decided(ctx context.Context, answers <-chan verdict) (alias string, err error) {
	said, over := false, ctx.Done()
	var late <-chan time.Time
	for {
		select {
		case a := <-answers:
			if !a.yes {
				t.tell(wordNo)
				return "", errSaidNoHere
			}
			alias, said = a.alias, true
			t.tell(wordYes)
			t.show(PairingAgreed)
		case w, open := <-t.words:
			return alias, t.decision(ctx, w, open, said)
		case <-over:
			t.tell(wordNo)
			if !said {
				return "", whyEnded(ctx)
			}
			over, late = nil, time.After(takeBack)
		case <-late:
			return "", errDoubt
		}
	}
}

// decision is what the host's word, or its end, means to one who has said yes
// or has not.
func (t *talk) decision(ctx context.Context, w word, open, said bool) error {
	switch {
	case !open && said:
		return errDoubt
	case !open:
		return errLeft
	case w == wordAdded && said:
		return nil
	case w == wordAdded:
		t.tell(wordNo)
		return record.Errorf(record.Invalid, "the other side does not keep to the protocol")
	case ctx.Err() != nil:
		return whyEnded(ctx)
	}
	return errSaidNoThere
}
