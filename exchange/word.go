package exchange

import (
	"context"
	"unicode/utf8"

	"dxd/blobstore"
	"dxd/event"
	"dxd/hashanchor/queue"
	"dxd/record"
)

// Word is what the application says of a transfer that it received. It is
// final: there is one on each item.
type Word struct {
	State       State  // Accepted or Refused
	Reason      string // of a refusal: printable, from 1 to record.MaxReason bytes
	Application string // means nothing to dxd: UTF-8 of up to record.MaxApplication bytes
}

func (w Word) check() error {
	if len(w.Application) > record.MaxApplication {
		return record.WithHint(record.Errorf(record.Invalid, "the application's string is longer than %d bytes", record.MaxApplication),
			"send a document, and name its digest here")
	}
	if !utf8.ValidString(w.Application) {
		return record.WithHint(record.Errorf(record.Invalid, "the application's string is not UTF-8"), "encode bytes as base64")
	}
	switch {
	case w.State == Refused:
		return record.CheckText("the reason", w.Reason, record.MaxReason)
	case w.State != Accepted:
		return record.Errorf(record.Invalid, "a transfer is accepted or refused, not %q", record.Printable(string(w.State), 40))
	case w.Reason != "":
		return record.Errorf(record.Invalid, "only a refusal has a reason")
	}
	return nil
}

// entry is the word as a receipt has it.
func (w Word) entry(index int64) record.Entry {
	return record.Entry{
		First: index, Last: index, Status: record.ReceiptStatus(w.State), Reason: w.Reason, Application: w.Application,
	}
}

// Say signs the application's word on a transfer that came in, as the next
// receipt about its manifest, and has its sender told. The same once more is
// told once more, since a sender whose state was put back has forgotten it, and
// changes nothing; anything else after it is a Conflict.
func (x *Exchange) Say(ctx context.Context, id record.TransferID, w Word) (View, error) {
	if err := w.check(); err != nil {
		return View{}, err
	}
	if err := x.maySign(); err != nil {
		return View{}, err
	}
	x.at(BeforeSaid)
	err := x.Journal.Update(ctx, func(tx blobstore.Tx) error {
		t, err := getItem(tx, id)
		if err != nil {
			return err
		}
		c, index, err := x.carrier(tx, t)
		if err != nil {
			return err
		}
		said, err := x.mayBeSaid(tx, t, w.entry(index))
		if err != nil {
			return err
		}
		if err := (push{Transfer: t.ID, Word: true}).put(tx, t.Partner); err != nil || said {
			return err
		}
		return x.putSaid(tx, t, c, w.entry(index))
	})
	if err != nil {
		return View{}, err
	}
	// At this point the word is said; a crash after this tells it all the same.
	x.at(AfterSaid)
	return x.Get(ctx, id)
}

// mayBeSaid refuses a word where there is nothing to say it of, or where there
// is another one already; said is true if there is this very one.
func (x *Exchange) mayBeSaid(tx blobstore.ReadTx, t Transfer, e record.Entry) (said bool, err error) {
	switch {
	case t.Direction == Out:
		return false, record.Errorf(record.Conflict, "it went out: only its recipient can accept or refuse it")
	case t.Direction != In:
		return false, record.Errorf(record.Conflict, "a notarisation has no sender who could be told")
	case t.State == Received:
		return false, nil
	case !t.State.Said():
		return false, record.WithHint(record.Errorf(record.Conflict, "only what was received can be accepted or refused: the transfer is %s", t.State),
			"`dxd transfer "+t.ID.String()+"` shows how far it is")
	}
	before, err := x.wordOn(tx, t)
	switch {
	case err != nil:
		return false, err
	case before == e:
		return true, nil
	case before.Status != e.Status:
		err = record.Errorf(record.Conflict, "the transfer is %s already, and that is final", t.State)
	default:
		err = record.Errorf(record.Conflict, "the transfer is %s already, with another reason or another string of the application", t.State)
	}
	return false, record.WithHint(err, "`dxd transfer "+t.ID.String()+"` shows what was said; to add to it, send a message or a document")
}

// putSaid writes the signed receipt, its leaf and the state that it makes.
func (x *Exchange) putSaid(tx blobstore.Tx, t, carrier Transfer, e record.Entry) error {
	previous, err := lastReceipt(tx, carrier.ID)
	if err != nil {
		return err
	}
	receipt, err := x.Keys.SignReceipt(record.Receipt{
		Header: record.Header{Card: x.Book.Self().ID(), Created: x.Now().UnixMilli()},
		Sender: t.Partner, Manifest: carrier.Record, Previous: previous, Entries: []record.Entry{e},
	})
	if err != nil {
		return err
	}
	id := receipt.ID()
	if err := tx.Set(lastKey(carrier.ID), id[:]); err != nil {
		return err
	}
	if err := queue.Add(tx, id, receipt.Leaf()); err != nil {
		return err
	}
	return x.putWord(tx, t, receipt)
}

// putWord keeps a word, and makes and tells the state that follows from it, at
// either end. Its reason was found printable and short when the receipt was
// made or verified.
func (x *Exchange) putWord(tx blobstore.Tx, t Transfer, receipt record.Signed[record.Receipt]) error {
	if err := putReceipt(tx, t.ID, receiptWord, receipt.Envelope); err != nil {
		return err
	}
	e := receipt.Body.Entries[0]
	x.end(&t, State(e.Status), e.Reason)
	what := event.TransferAccepted
	if t.State == Refused {
		what = event.TransferRefused
	}
	if err := x.tell(tx, what, t); err != nil {
		return err
	}
	return t.put(tx)
}

// wordOn reads back the word on a transfer's item.
func (x *Exchange) wordOn(tx blobstore.ReadTx, t Transfer) (record.Entry, error) {
	e, err := getReceipt(tx, t.ID, receiptWord)
	if err != nil {
		return record.Entry{}, err
	}
	card, err := x.signersCard(tx, e)
	if err != nil {
		return record.Entry{}, err
	}
	r, err := record.OpenReceipt(e, card)
	if err != nil {
		return record.Entry{}, err
	}
	return r.Body.Entries[0], nil
}

// Application gives the string that came with the word on a transfer, "" if
// there is neither.
func (x *Exchange) Application(ctx context.Context, id record.TransferID) (s string, err error) {
	err = x.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		t, err := getItem(tx, id)
		if err != nil || !t.State.Said() {
			return err
		}
		e, err := x.wordOn(tx, t)
		s = e.Application
		return err
	})
	return s, err
}

// openReceipt verifies a receipt of a partner to us.
func (x *Exchange) openReceipt(ctx context.Context, from record.OrgID, e record.Envelope) (record.Signed[record.Receipt], error) {
	var none record.Signed[record.Receipt]
	_, cardID, err := record.SignerOf(e)
	if err != nil {
		return none, err
	}
	card, err := x.Book.Card(ctx, cardID)
	if record.KindOf(err) == record.NotFound {
		x.wake(from, callWork) // its hello brings it
		return none, record.Errorf(record.Unavailable, "the receipt's card is not known yet")
	}
	if err != nil {
		return none, err
	}
	r, err := record.OpenReceipt(e, card)
	if err != nil {
		return none, err
	}
	if r.Body.Org != from || r.Body.Sender != x.Keys.Org() {
		return none, record.Errorf(record.Invalid, "the receipt is not from this partner to us")
	}
	return r, nil
}

// takeWord takes the receipt by which a partner's application accepts or
// refuses what we sent.
func (x *Exchange) takeWord(ctx context.Context, from record.OrgID, n news) error {
	r, err := x.openReceipt(ctx, from, n.Receipt)
	if err != nil {
		return err
	}
	known := false
	err = x.Journal.View(ctx, func(tx blobstore.ReadTx) (err error) {
		known, err = x.checkWord(tx, from, n.Transfer, r)
		return err
	})
	if err != nil || known {
		return err
	}
	x.at(BeforeHeard)
	err = x.Journal.Update(ctx, func(tx blobstore.Tx) error {
		t, err := getItem(tx, n.Transfer)
		if err != nil {
			return err
		}
		if known, err := isKnownWord(tx, t, r); err != nil || known {
			return err
		}
		if err := x.anchorFor(tx, from, r.Envelope); err != nil {
			return err
		}
		return x.putWord(tx, t, r)
	})
	if err != nil {
		return err
	}
	// At this point the sender knows the word; a crash after this is told it
	// again, and knows it already.
	x.at(AfterHeard)
	return nil
}

// checkWord tells whether a verified receipt is the next one about an item
// that we sent, or is known already.
func (x *Exchange) checkWord(tx blobstore.ReadTx, from record.OrgID, id record.TransferID, r record.Signed[record.Receipt]) (known bool, err error) {
	t, err := getItem(tx, id)
	if err != nil {
		return false, err
	}
	if t.Direction != Out || t.Partner != from {
		return false, record.Errorf(record.Refused, "a word on a transfer that did not go to this partner")
	}
	c, index, err := x.carrier(tx, t)
	if err != nil {
		return false, err
	}
	if !c.State.across() {
		return false, record.Errorf(record.Unavailable, "a word on a transfer that is %s: the first receipt is not here yet", c.State)
	}
	e := r.Body.Entries[0]
	if r.Body.Manifest != c.Record || len(r.Body.Entries) != 1 || e.First != index || e.Last != index || r.Body.Previous.IsZero() {
		return false, record.Errorf(record.Invalid, "the receipt is not the application's word on this item")
	}
	if known, err := isKnownWord(tx, t, r); err != nil || known {
		return known, err
	}
	return false, x.checkPrevious(tx, c, r.Body.Previous)
}

// isKnownWord tells whether this word is here already. Another one contradicts
// it, whatever it says: there is one word on each item.
func isKnownWord(tx blobstore.ReadTx, t Transfer, r record.Signed[record.Receipt]) (bool, error) {
	if !t.State.Said() {
		return false, nil
	}
	before, err := getReceipt(tx, t.ID, receiptWord)
	if err != nil {
		return false, err
	}
	if before.ID() == r.ID() {
		return true, nil
	}
	return false, contradiction(t.ID, "a partner signed two words on one transfer: it was "+string(t.State)+", and now "+string(r.Body.Entries[0].Status))
}

// checkPrevious tells whether a word names the receipt before it. Words on the
// items of one payload come in any order, so that there only the first receipt
// of a single item is known to be the one.
func (x *Exchange) checkPrevious(tx blobstore.ReadTx, carrier Transfer, previous record.RecordID) error {
	m, err := x.ownManifest(tx, carrier)
	if err != nil || m.Items > 1 {
		return err
	}
	first, err := getReceipt(tx, carrier.ID, receiptFirst)
	if err != nil {
		return err
	}
	if first.ID() != previous {
		return record.Errorf(record.Invalid, "the receipt does not name the one before it")
	}
	return nil
}

// unheard is an alarm if the sender did not take the word that was said here:
// it holds to another one then, which we signed and do not know.
func (x *Exchange) unheard(tx blobstore.Tx, org record.OrgID, d answered) error {
	var p push
	if err := record.Load(d.Value[32:], &p); err != nil || !p.Word || d.taken {
		return nil // which newsOf has told of
	}
	_, err := getReceipt(tx, p.Transfer, receiptWord)
	switch record.KindOf(err) {
	case record.NotFound, record.Damaged:
		return nil // likewise
	}
	if err != nil {
		return err
	}
	return x.alarm(tx, org, p.Transfer, "a partner does not take the word that was said here on its transfer: it may have another one that we signed, "+
		"if this state directory was put back to an older copy; what it was told first stands there")
}
