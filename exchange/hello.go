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
	Heads   record.Envelope   `json:"heads"`            // how far the numbers between the two sides have come
	Shown   []record.Envelope `json:"shown,omitzero"`   // the other side's records that prove it for its numbers
	Has     record.RecordID   `json:"has,omitzero"`     // the other side's card that the sender has, if it has those before it
	History []record.Envelope `json:"history,omitzero"` // cards of the sender before the one in File, newest first
	Yours   []record.Envelope `json:"yours,omitzero"`   // cards of the other side: the one that the sender has, and those that Shown names
	// Unanchored says that the sender has no chain: whoever has one may anchor
	// what the sender signs.
	Unanchored bool `json:"unanchored,omitzero"`
	// Restored is the epoch that began when the sender's state was restored from
	// a backup: it asks to be reminded of what was erased since.
	Restored record.Epoch `json:"restored,omitzero"`
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
	told, err := x.sendHello(ctx, l, p.Org, p.Knows)
	if err != nil {
		return err
	}
	_, err = x.takeHello(ctx, p.Org, l, &told)
	return err
}

// Call says hello to a partner at once. The error says why it can't be reached.
func (x *Exchange) Call(ctx context.Context, p partner.Partner) error { return x.sayHello(ctx, p) }

// ServeHello answers a partner's call.
func (x *Exchange) ServeHello(ctx context.Context, s Stream) {
	x.serve(ctx, s, func(from partner.Partner, l *link) {
		has, err := x.takeHello(ctx, from.Org, l, nil)
		later := record.KindOf(err) == record.Quota
		if err == nil || later {
			_, err = x.sendHello(ctx, l, from.Org, has)
		}
		if err != nil {
			x.complain(from.Org, "couldn't exchange cards with a partner", err)
			s.Reset()
			return
		}
		// To get the cards that were not taken yet, or to hear that the newer one
		// of ours has come.
		if later || !has.IsZero() && has != x.Book.Self().ID() {
			x.wake(from.Org, callWork)
		}
	})
}

// sendHello tells a partner who we are, and returns the heads that it told.
// has is the card of ours that the partner has.
func (x *Exchange) sendHello(ctx context.Context, l *link, to record.OrgID, has record.RecordID) (told record.Heads, err error) {
	file, err := x.Book.CardFile(x.Addrs())
	if err != nil {
		return told, err
	}
	h := hello{Version: wireVersion, File: file.File(), Unanchored: !x.Anchors()}
	heads, shown, err := x.ownHeads(ctx, to)
	if err != nil {
		return told, err
	}
	h.Heads, h.Shown = heads.Envelope, shown
	if h.Restored, err = x.restoredIn(ctx); err != nil {
		return told, err
	}
	if h.Yours, err = x.cardsOf(ctx, to, shown); err != nil {
		return told, err
	}
	if h.Has, err = x.Book.Has(ctx, to); err != nil {
		return told, err
	}
	if h.History, err = x.Book.History(ctx, has); err != nil {
		return told, err
	}
	return heads.Body, l.send(frameHello, h)
}

// takeHello learns what the partner says of itself, and which card of ours it
// has. The connection vouches that one of its nodes says it; the signatures of
// cards and heads vouch for the rest. told is what we said along with the call
// that this answers; nil if the partner called. An error of kind Quota says that
// all was taken but cards, for which it is to be called again.
func (x *Exchange) takeHello(ctx context.Context, from record.OrgID, l *link, told *record.Heads) (has record.RecordID, err error) {
	var h hello
	if err := l.expect(frameHello, &h); err != nil {
		return has, err
	}
	if h.Version != wireVersion {
		return has, record.Errorf(record.Invalid, "a hello of version %d", h.Version)
	}
	if err := x.catchUp(ctx, from, h.Yours); err != nil {
		return has, err
	}
	opened, err := h.File.Open()
	if err != nil {
		return has, err
	}
	later := x.learn(ctx, from, opened, h.History)
	if later != nil && record.KindOf(later) != record.Quota {
		return has, later
	}
	if err := x.toldCard(ctx, from, h.Has); err != nil {
		return has, err
	}
	x.wards.set(from, h.Unanchored)
	if err := x.takeHeads(ctx, from, h, opened.Card, told); err != nil {
		x.raise(ctx, from, err)
		return has, err
	}
	if err := x.remind(ctx, from, h.Restored); err != nil {
		return has, err
	}
	x.heard(from)
	return h.Has, later
}

// learn takes over a partner's card, with those before it, and its presence.
// An error of kind Quota says that they hold, but are too many for now.
func (x *Exchange) learn(ctx context.Context, from record.OrgID, file record.OpenedCardFile, history []record.Envelope) error {
	err := x.learnFile(ctx, from, file)
	if err == nil {
		err = x.Book.LearnHistory(ctx, from, history)
	}
	if record.KindOf(err) == record.Quota {
		x.tellOfBound(ctx, from, "a partner brings new cards faster than they are taken: what it signs under those waits")
	}
	return err
}

// learnFile takes over a partner's card and presence. What does not hold is not
// taken; but if the card was accepted before, it is the partner that we know,
// whose clock is wrong, or whose state is an older copy of itself.
func (x *Exchange) learnFile(ctx context.Context, from record.OrgID, file record.OpenedCardFile) error {
	err := x.Book.Learn(ctx, from, file)
	switch {
	case err == nil:
		return nil
	case partner.IsAlarm(err):
		x.raise(ctx, from, contradiction(record.TransferID{}, err.Error()))
		return err
	}
	if p, e := x.Book.ByOrg(from); e != nil || p.State != partner.Active {
		return err
	}
	if known, e := x.Book.Card(ctx, file.Card.ID()); e != nil || known.Body.Org != from {
		return err
	}
	x.complain(from, "couldn't take a partner's card or addresses", err)
	return nil
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
