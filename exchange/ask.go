package exchange

import (
	"context"

	"dxd/blobstore"
	"dxd/event"
	"dxd/record"
)

// What to do when a partner asks that something be erased here.
const (
	OnRequestAsk    = "ask"    // tell people and applications, who answer
	OnRequestAlways = "always" // erase it, unless it is on hold: then ask
	OnRequestNever  = "never"  // refuse
)

// AnswerUnknown is what is noted of a partner that does not know the transfer,
// or is of a version that knows no such request.
const AnswerUnknown record.ErasureAnswer = "unknown"

// Asking is what the two sides of a transfer asked each other to erase. Times
// are in ms since 1970.
type Asking struct {
	Asked    int64                `json:"asked,omitzero"`    // when we asked the partner
	Answer   record.ErasureAnswer `json:"answer,omitzero"`   // its answer, "" as long as there is none
	Answered int64                `json:"answered,omitzero"` // when that came
	Reason   string               `json:"reason,omitzero"`   // why it refused

	Requested int64                `json:"requested,omitzero"` // when the partner asked us
	Said      record.ErasureAnswer `json:"said,omitzero"`      // our answer
}

func askingKey(id record.TransferID) blobstore.Key { return prefixAsking + blobstore.Key(id[:]) }

// Where the signed answers stand: the partner's, and ours.
func theirErasureKey(id record.TransferID) blobstore.Key {
	return prefixErasure + blobstore.Key(id[:]) + "/in"
}
func ownErasureKey(id record.TransferID) blobstore.Key {
	return prefixErasure + blobstore.Key(id[:]) + "/out"
}

func askingOf(tx blobstore.ReadTx, id record.TransferID) (a Asking, err error) {
	raw, err := tx.Get(askingKey(id))
	if record.KindOf(err) == record.NotFound {
		return a, nil
	}
	if err != nil {
		return a, err
	}
	if err := record.Load(raw, &a); err != nil {
		return a, record.Errorf(record.Damaged, "what was asked about transfer %s: %w", id, err)
	}
	return a, nil
}

func (a Asking) put(tx blobstore.Tx, id record.TransferID) error {
	raw, err := record.Marshal(a)
	if err != nil {
		return err
	}
	return tx.Set(askingKey(id), raw)
}

// ask queues the request to the partner. Whoever has asked before asks again
// only where there is no answer that stands for good.
func (x *Exchange) ask(tx blobstore.Tx, t Transfer) error {
	now, _, err := x.settled(tx, t)
	switch {
	case err != nil:
		return err
	case t.Direction == None:
		return record.Errorf(record.Conflict, "a notarisation has no partner who could be asked")
	case !now.State.across():
		return record.Errorf(record.Conflict, "the transfer is %s: the partner has nothing of it that it could erase", now.State)
	}
	a, err := askingOf(tx, t.ID)
	if err != nil || a.Answer == record.AnswerErased || a.Asked != 0 && a.Answer == "" {
		return err
	}
	a.Asked, a.Answer, a.Answered, a.Reason = x.Now().UnixMilli(), "", 0, ""
	if err := a.put(tx, t.ID); err != nil {
		return err
	}
	return push{Transfer: t.ID, Ask: true, At: x.Now().UnixNano()}.put(tx, t.Partner)
}

// asked notes what came of telling the partner, where that was no request it
// could take.
func asked(tx blobstore.Tx, now int64, d answered) error {
	var p push
	if err := record.Load(d.Value[32:], &p); err != nil || !p.Ask || d.taken {
		return nil
	}
	a, err := askingOf(tx, p.Transfer)
	if err != nil || a.Answer != "" {
		return err
	}
	a.Answer, a.Answered = AnswerUnknown, now
	return a.put(tx, p.Transfer)
}

// takeRequest notes that the partner asks us to erase, and does what the
// configuration says. One that asks again changes nothing but that it is told
// the answer once more.
func (x *Exchange) takeRequest(ctx context.Context, from record.OrgID, n news) error {
	var garbage blobstore.FileID
	x.at(BeforeErased)
	err := x.Journal.Update(ctx, func(tx blobstore.Tx) (err error) {
		garbage, err = x.request(tx, from, n.Transfer)
		return err
	})
	if err != nil {
		return err
	}
	x.at(AfterErased)
	if garbage.IsZero() {
		return nil
	}
	return x.Files.Remove(garbage)
}

func (x *Exchange) request(tx blobstore.Tx, from record.OrgID, id record.TransferID) (garbage blobstore.FileID, err error) {
	t, err := getItem(tx, id)
	if record.KindOf(err) == record.NotFound || err == nil && t.Partner != from {
		return garbage, record.Errorf(record.Refused, "a request to erase what is not of this partner")
	}
	if err != nil {
		return garbage, err
	}
	now, _, err := x.settled(tx, t)
	if err != nil {
		return garbage, err
	}
	if !now.State.across() {
		return garbage, record.Errorf(record.Unavailable, "a request to erase what is %s here", now.State)
	}
	a, err := askingOf(tx, id)
	if err != nil {
		return garbage, err
	}
	if a.Said != "" {
		return garbage, push{Transfer: id, Erasure: true, At: x.Now().UnixNano()}.put(tx, from)
	}
	first := a.Requested == 0
	if first {
		a.Requested = x.Now().UnixMilli()
		if err := a.put(tx, id); err != nil {
			return garbage, err
		}
	}
	held, err := isHeld(tx, id)
	switch {
	case err != nil:
		return garbage, err
	case t.bare():
		return garbage, x.answerRequest(tx, t, record.AnswerErased, "")
	case x.OnRequest == OnRequestNever:
		return garbage, x.answerRequest(tx, t, record.AnswerRefused, "")
	case x.OnRequest == OnRequestAlways && !held:
		return x.forget(tx, t, byPartner)
	case first:
		return garbage, x.tellBy(tx, event.EraseRequested, t, byPartner)
	}
	return garbage, nil
}

// byPartner is who asked, where the partner did.
const byPartner = "partner"

// RefuseErase answers a partner's request to erase with no, for good unless it
// is erased later all the same.
func (x *Exchange) RefuseErase(ctx context.Context, id record.TransferID, reason string) (View, error) {
	if reason != "" {
		if err := record.CheckText("the reason", reason, record.MaxReason); err != nil {
			return View{}, err
		}
	}
	err := x.Journal.Update(ctx, func(tx blobstore.Tx) error {
		t, err := getItem(tx, id)
		if err != nil {
			return err
		}
		a, err := askingOf(tx, id)
		switch {
		case err != nil:
			return err
		case a.Requested == 0:
			return record.Errorf(record.Conflict, "the partner has not asked to have it erased")
		case a.Said == record.AnswerRefused:
			return nil
		case a.Said != "":
			return record.Errorf(record.Conflict, "it is erased, and the partner is told so")
		}
		return x.answerRequest(tx, t, record.AnswerRefused, reason)
	})
	if err != nil {
		return View{}, err
	}
	return x.Get(ctx, id)
}

// answerRequest signs the answer to the partner's request, and queues it.
func (x *Exchange) answerRequest(tx blobstore.Tx, t Transfer, answer record.ErasureAnswer, reason string) error {
	c, index, err := x.carrier(tx, t)
	if err != nil {
		return err
	}
	a, err := askingOf(tx, t.ID)
	if err != nil {
		return err
	}
	signed, err := x.Keys.SignErasure(record.Erasure{
		Header: record.Header{Card: x.Book.Self().ID(), Created: x.Now().UnixMilli()},
		Asker:  t.Partner, Manifest: c.Record, Item: index, Answer: answer, Reason: reason,
	})
	if err != nil {
		return err
	}
	a.Said = answer
	if err := a.put(tx, t.ID); err != nil {
		return err
	}
	if err := tx.Set(ownErasureKey(t.ID), signed.Bytes()); err != nil {
		return err
	}
	return push{Transfer: t.ID, Erasure: true, At: x.Now().UnixNano()}.put(tx, t.Partner)
}

// takeErasure keeps the partner's answer to our request.
func (x *Exchange) takeErasure(ctx context.Context, from record.OrgID, n news) error {
	signed, err := x.openErasure(ctx, from, n.Erasure)
	if err != nil {
		return err
	}
	return x.Journal.Update(ctx, func(tx blobstore.Tx) error {
		t, err := getItem(tx, n.Transfer)
		if record.KindOf(err) == record.NotFound || err == nil && t.Partner != from {
			return record.Errorf(record.Refused, "an answer about what is not of this partner")
		}
		if err != nil {
			return err
		}
		c, index, err := x.carrier(tx, t)
		if err != nil {
			return err
		}
		a, err := askingOf(tx, t.ID)
		switch {
		case err != nil:
			return err
		case a.Asked == 0:
			return unasked(tx, t)
		case signed.Body.Item != index:
			return record.Errorf(record.Invalid, "the answer is about another item")
		case a.Answer == signed.Body.Answer:
			return nil
		case a.Answer == record.AnswerErased:
			return contradiction(t.ID, "a partner signed that it had erased a transfer, and now that it has not")
		}
		if err := isManifestOf(tx, c, signed.Body.Manifest); err != nil {
			return err
		}
		a.Answer, a.Answered, a.Reason = signed.Body.Answer, x.Now().UnixMilli(), signed.Body.Reason
		if err := a.put(tx, t.ID); err != nil {
			return err
		}
		if err := tx.Set(theirErasureKey(t.ID), signed.Bytes()); err != nil {
			return err
		}
		e := event.Event{Type: event.EraseAnswered, Time: a.Answered, ID: t.ID, Partner: t.Partner, Kind: t.Kind, State: string(a.Answer), Reason: a.Reason}
		return event.Append(tx, e)
	})
}

// isManifestOf refuses an answer about another manifest than the carrier's, or
// one that another number took the place of.
func isManifestOf(tx blobstore.ReadTx, c Transfer, manifest record.RecordID) error {
	if manifest == c.Record {
		return nil
	}
	_, err := tx.Get(formerKey(c.ID, manifest))
	if record.KindOf(err) == record.NotFound {
		return record.Errorf(record.Invalid, "the answer is about another manifest")
	}
	return err
}

// openErasure verifies an answer of a partner to us.
func (x *Exchange) openErasure(ctx context.Context, from record.OrgID, e record.Envelope) (signed record.Signed[record.Erasure], err error) {
	_, cardID, err := record.SignerOf(e)
	if err != nil {
		return signed, err
	}
	card, err := x.Book.Card(ctx, cardID)
	if record.KindOf(err) == record.NotFound {
		x.wake(from, callWork) // its hello brings it
		return signed, record.Errorf(record.Unavailable, "the answer's card is not known yet")
	}
	if err != nil {
		return signed, err
	}
	if signed, err = record.OpenErasure(e, card); err != nil {
		return signed, err
	}
	if signed.Body.Org != from || signed.Body.Asker != x.Keys.Org() {
		return signed, record.Errorf(record.Invalid, "the answer is not from this partner to us")
	}
	return signed, nil
}

// PartnersErasure gives the partner's signed answer to our request to erase.
func (x *Exchange) PartnersErasure(ctx context.Context, id record.TransferID) (e record.Envelope, err error) {
	err = x.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		if _, err := getItem(tx, id); err != nil {
			return err
		}
		e, err = getRecord(tx, theirErasureKey(id))
		if record.KindOf(err) == record.NotFound {
			return record.Errorf(record.NotFound, "the partner has given no signed answer")
		}
		return err
	})
	return e, err
}
