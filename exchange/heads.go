package exchange

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"dxd/blobstore"
	"dxd/record"
)

// Heads tell each side of a connection how far the other's memory goes. What
// a node says of itself is compared with what it is known to have signed: so
// a record that is missing is seen, and so is a state directory that was put
// back to an older copy of itself.
//
// Each of the two compares in one of two ways. What the partner knows of us
// and we do not is true whenever we hear it. What it does not know of us can
// only be held against what we told it along with the call that it answers:
// all else may have happened since it spoke.

// greeted knows the partners that heads were exchanged with since this process
// started. Nothing is sent to another: our state may be an older copy of
// itself, whose numbers are used up.
type greeted struct {
	mu   sync.Mutex            // guards orgs
	orgs map[record.OrgID]bool // partners only, so it stays small
}

func (g *greeted) add(org record.OrgID) { g.set(org, true) }

func (g *greeted) set(org record.OrgID, in bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.orgs[org] = in
}

func (g *greeted) has(org record.OrgID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.orgs[org]
}

// maySend tells whether a worker may tell the partner anything. If heads were
// not exchanged yet, the partner is called, and hearing from it wakes; so does
// a person who resumes a lane that is held.
func (x *Exchange) maySend(ctx context.Context, org record.OrgID, w work) (bool, error) {
	if w == callWork {
		return true, nil
	}
	if !x.known.has(org) {
		x.wake(org, callWork)
		return false, nil
	}
	if w.lane() == "" {
		return true, nil
	}
	held, err := x.isHeld(ctx, org, w.lane())
	return !held, err
}

// ownHeads signs how far the numbers between us and a partner have come, and
// finds the records that prove it for the partner's.
func (x *Exchange) ownHeads(ctx context.Context, org record.OrgID) (signed record.Signed[record.Heads], shown []record.Envelope, err error) {
	var heads record.Heads
	err = x.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		heads, shown = record.Heads{Partner: org}, nil
		for _, lane := range lanes {
			if err := addSent(tx, &heads, lane); err != nil {
				return err
			}
			e, err := addReceived(tx, &heads, lane)
			if err != nil {
				return err
			}
			if !e.IsZero() {
				shown = append(shown, e)
			}
		}
		return nil
	})
	if err != nil {
		return signed, nil, err
	}
	heads.Header = record.Header{Card: x.Book.Self().ID(), Created: x.Now().UnixMilli()}
	signed, err = x.Keys.SignHeads(heads)
	return signed, shown, err
}

// addSent adds the head of our own numbers in a lane, if there are any.
func addSent(tx blobstore.ReadTx, heads *record.Heads, lane record.Lane) error {
	h, err := headOf(tx, heads.Partner, lane)
	if err != nil || h.Sequence == 0 && len(h.Left) == 0 {
		return err
	}
	s := record.SentHead{Epoch: h.Epoch, Lane: lane, Sequence: h.Sequence}
	s.Acknowledged, s.Settled, err = acknowledged(tx, heads.Partner, h)
	heads.Sent = append(heads.Sent, s)
	return err
}

// addReceived adds the head of the partner's numbers in a lane, if there are
// any, and gives the partner's own record of the highest one.
func addReceived(tx blobstore.ReadTx, heads *record.Heads, lane record.Lane) (record.Envelope, error) {
	t, err := tailOf(tx, heads.Partner, lane)
	if err != nil || t.Sequence == 0 {
		return record.Envelope{}, err
	}
	h, err := t.head(tx, heads.Partner, lane)
	if err != nil {
		return record.Envelope{}, err
	}
	heads.Received = append(heads.Received, h)
	e, err := numbered(tx, heads.Partner, t.Record)
	switch record.KindOf(err) {
	case record.NotFound, record.Damaged, record.Invalid:
		return record.Envelope{}, nil // the partner will have to believe it
	}
	return e, err
}

// numbered finds the partner's record with the number of a manifest: the
// manifest itself, or the void of it.
func numbered(tx blobstore.ReadTx, org record.OrgID, manifest record.RecordID) (record.Envelope, error) {
	e, err := getRecord(tx, voidedKey(tx, org, manifest))
	if record.KindOf(err) != record.NotFound {
		return e, err
	}
	t, err := transferOf(tx, manifest)
	if err != nil {
		return record.Envelope{}, err
	}
	return getRecord(tx, recordKey(t.ID))
}

// takeHeads compares what a partner says with what is known here. card is the
// one in its hello, which holds, but may not have been taken yet. told is what we
// said along with the call that this answers; nil if the partner called.
// When it returns without an error, whatever had to be done is durable.
func (x *Exchange) takeHeads(ctx context.Context, from record.OrgID, h hello, card record.Signed[record.Card], told *record.Heads) error {
	_, cardID, err := record.SignerOf(h.Heads)
	if err != nil {
		return err
	}
	if cardID != card.ID() {
		if card, err = x.Book.Card(ctx, cardID); err != nil {
			return err
		}
	}
	theirs, err := record.OpenHeads(h.Heads, card)
	if err != nil {
		return err
	}
	if theirs.Body.Org != from || theirs.Body.Partner != x.Keys.Org() || len(h.Shown) > len(lanes) {
		return record.Errorf(record.Invalid, "heads that are not between this partner and us")
	}
	if told == nil {
		told = &record.Heads{}
	}
	x.at(BeforeGreeted)
	err = x.Journal.Update(ctx, func(tx blobstore.Tx) error {
		for _, lane := range lanes {
			if err := x.compareOurs(tx, from, lane, receivedIn(theirs.Body, lane), sentIn(*told, lane), h.Shown); err != nil {
				return err
			}
			if err := x.compareTheirs(tx, from, lane, sentIn(theirs.Body, lane), receivedIn(*told, lane)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	// At this point no number that the partner has is given again; a crash after
	// this compares the same heads once more and finds nothing to do.
	x.at(AfterGreeted)
	return nil
}

// sentIn finds the head of a lane; zero if there is none.
func sentIn(h record.Heads, lane record.Lane) record.SentHead {
	for _, s := range h.Sent {
		if s.Lane == lane {
			return s
		}
	}
	return record.SentHead{Lane: lane}
}

// receivedIn finds the head of a lane; zero if there is none.
func receivedIn(h record.Heads, lane record.Lane) record.ReceivedHead {
	for _, r := range h.Received {
		if r.Lane == lane {
			return r
		}
	}
	return record.ReceivedHead{Lane: lane}
}

// compareOurs compares our numbers with those that the partner says to have.
func (x *Exchange) compareOurs(tx blobstore.Tx, org record.OrgID, lane record.Lane, theirs record.ReceivedHead, told record.SentHead, shown []record.Envelope) error {
	h, err := headOf(tx, org, lane)
	if err != nil {
		return err
	}
	ahead, err := isAhead(tx, org, h, theirs)
	if err != nil {
		return err
	}
	if ahead {
		return x.fallBack(tx, org, h, theirs, shown)
	}
	if told.Epoch != h.Epoch { // nothing told, or in another epoch
		return nil
	}
	if theirs.Epoch != told.Epoch {
		theirs = record.ReceivedHead{}
	}
	lost, ok := missing(told, theirs, &h.Lost)
	if !ok {
		return nil
	}
	text := fmt.Sprintf("a partner no longer has our numbers %s, for which it signed receipts: its state was put back to an older copy", lost.text(lane))
	if err := x.alarm(tx, org, record.TransferID{}, text); err != nil {
		return err
	}
	return h.put(tx, org)
}

// isAhead tells whether the partner has a number of ours that we did not give,
// or gave to another record.
func isAhead(tx blobstore.ReadTx, org record.OrgID, h head, theirs record.ReceivedHead) (bool, error) {
	switch {
	case theirs.Sequence == 0:
		return false, nil
	case theirs.Epoch != h.Epoch:
		return !h.has(theirs.Epoch), nil
	case theirs.Sequence > h.Sequence:
		return true, nil
	}
	open, err := tx.Get(openKey(tx, org, record.Number{Epoch: h.Epoch, Lane: h.Lane, Sequence: theirs.Sequence}))
	if record.KindOf(err) == record.NotFound {
		return false, nil
	}
	return err == nil && record.RecordID(open) != theirs.Record, err
}

// fallBack is for a copy of our state that is older than what the partner has:
// it goes on in another epoch, behind the partner's head. A head is only
// believed if the partner shows our signature under it, so that each one that
// it names was really given by another copy of our state.
func (x *Exchange) fallBack(tx blobstore.Tx, org record.OrgID, h head, theirs record.ReceivedHead, shown []record.Envelope) error {
	proven := slices.ContainsFunc(shown, func(e record.Envelope) bool { return x.isOurs(tx, org, e, theirs) })
	if !proven {
		return contradiction(record.TransferID{}, fmt.Sprintf(
			"a partner says to have our number %d (%s), which is not known here, and shows no record of ours with it that can be verified: nothing is sent to it",
			theirs.Sequence, laneText(h.Lane, theirs.Epoch)))
	}
	if !h.has(theirs.Epoch) {
		h.Left = append(h.Left, theirs.Epoch)
	}
	next, err := newEpoch(tx, org, h, theirs.Record)
	if err != nil {
		return err
	}
	return x.alarm(tx, org, record.TransferID{}, fmt.Sprintf(
		"a partner has our number %d (%s), which is not known here: this state directory was put back to an older copy; what is sent from now on is numbered in epoch %s",
		theirs.Sequence, laneText(h.Lane, theirs.Epoch), next.Epoch))
}

// isOurs tells whether this is a manifest or a void with the number of the
// head, which we signed for the partner.
func (x *Exchange) isOurs(tx blobstore.ReadTx, org record.OrgID, e record.Envelope, head record.ReceivedHead) bool {
	signer, cardID, err := record.SignerOf(e)
	if err != nil || signer != x.Keys.Org() {
		return false
	}
	card, err := x.cardOf(tx, cardID)
	if err != nil {
		return false
	}
	if v, err := record.OpenVoid(e, card); err == nil {
		return v.Body.Recipient == org && v.Body.Manifest == head.Record && isNumber(v.Body.Number, head)
	}
	m, err := record.OpenManifest(e, card)
	return err == nil && m.Body.Recipient == org && m.ID() == head.Record && isNumber(m.Body.Number, head)
}

func isNumber(n record.Number, head record.ReceivedHead) bool {
	return n.Epoch == head.Epoch && n.Lane == head.Lane && n.Sequence == head.Sequence
}

// compareTheirs compares the partner's numbers, as it says to have given them,
// with those that are here.
func (x *Exchange) compareTheirs(tx blobstore.Tx, org record.OrgID, lane record.Lane, theirs record.SentHead, told record.ReceivedHead) error {
	t, err := tailOf(tx, org, lane)
	if err != nil {
		return err
	}
	late := false
	if !theirs.Epoch.IsZero() && theirs.Epoch != t.Epoch {
		if late, err = knowsEpoch(tx, org, record.Number{Epoch: theirs.Epoch, Lane: lane}); err != nil {
			return err
		}
	}
	var texts []string
	have := record.ReceivedHead{}
	if theirs.Epoch == t.Epoch && t.Sequence > 0 {
		if have, err = t.head(tx, org, lane); err != nil {
			return err
		}
	}
	if gone, ok := missing(theirs, have, &t.Missing); ok && !late {
		texts = append(texts, fmt.Sprintf("a partner says that we acknowledged its numbers %s, which are not here: was this state directory put back to an older copy?", gone.text(lane)))
	}
	if isBehind(theirs, told, late) && t.Left != told.Epoch {
		t.Left = told.Epoch
		texts = append(texts, leftText(lane, told.Epoch, told.Sequence))
	}
	for _, text := range texts {
		if err := x.alarm(tx, org, record.TransferID{}, text); err != nil {
			return err
		}
	}
	if len(texts) == 0 {
		return nil
	}
	return t.put(tx, org, lane)
}

// isBehind tells whether a partner does not know what it sent us. A later
// epoch of which we have nothing, though we acknowledged some, is our lack.
func isBehind(theirs record.SentHead, told record.ReceivedHead, late bool) bool {
	switch {
	case told.Sequence == 0:
		return false
	case theirs.Epoch == told.Epoch:
		return theirs.Sequence < told.Sequence
	}
	return late || theirs.Acknowledged == 0
}

// missing says which numbers were acknowledged to the sender and are not with
// the recipient, unless people were told of them already, which it notes.
func missing(sent record.SentHead, got record.ReceivedHead, told *span) (span, bool) {
	known := *told
	if known.Epoch != sent.Epoch {
		known = span{}
	}
	now := span{sent.Epoch, 0, sent.Acknowledged}
	switch {
	case sent.Settled > got.Complete && known.First != got.Complete+1:
		now.First = got.Complete + 1
		if got.Next > 0 {
			now.Last = got.Next - 1
		}
		*told = now
	case sent.Acknowledged > got.Sequence && (known.First == 0 || known.First > got.Sequence+1 || known.Last < sent.Acknowledged):
		now.First = got.Sequence + 1
		*told = now
		if known.First != 0 {
			told.First = min(known.First, now.First)
		}
	default:
		return span{}, false
	}
	return now, true
}

func (s span) text(lane record.Lane) string {
	return fmt.Sprintf("%d to %d (%s)", s.First, s.Last, laneText(lane, s.Epoch))
}
