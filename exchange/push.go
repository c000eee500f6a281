package exchange

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"dxd/blobstore"
	"dxd/hashanchor"
	"dxd/hashanchor/queue"
	"dxd/partner"
	"dxd/record"
)

// push is one thing that a partner is to be told, as the journal holds it
// behind the partner's key: the proof of a record that both have, a void, the
// application's word, that we ask it to erase, our answer to that, or, of a
// partner that was restored, its own answer.
type push struct {
	Transfer record.TransferID `json:"transfer,omitzero"` // zero: it is about a card
	Proof    record.RecordID   `json:"proof,omitzero"`
	Void     bool              `json:"void,omitzero"`
	Word     bool              `json:"word,omitzero"`
	Ask      bool              `json:"ask,omitzero"`
	Erasure  bool              `json:"erasure,omitzero"`
	Reminder bool              `json:"reminder,omitzero"`
	// At is when, of what may have to be told once more: such an entry takes the
	// place of the one before, and is not forgotten with it. In ns since 1970.
	At int64 `json:"at,omitzero"`
}

// put queues it; the same once more changes nothing.
func (p push) put(tx blobstore.Tx, org record.OrgID) error {
	raw, err := record.Marshal(p)
	if err != nil {
		return err
	}
	p.At = 0
	what, err := record.Marshal(p)
	if err != nil {
		return err
	}
	return tx.Set(orgKey(tx, prefixPush, org)+tx.Index("push", what), append(org.Key(), raw...))
}

func pushVoid(tx blobstore.Tx, t Transfer) error {
	return push{Transfer: t.ID, Void: true}.put(tx, t.Partner)
}

// pushIfProven queues the proof of a record, if it is there already, for a
// partner that has the record from now on.
func (x *Exchange) pushIfProven(tx blobstore.Tx, org record.OrgID, id record.RecordID) error {
	_, err := queue.ProofOf(tx, id)
	if record.KindOf(err) == record.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	return x.Proven(tx, id, true)
}

// Proven is to be called in the update that journals the proof of a record:
// if it is our own, and the partner has the record, it will be told.
func (x *Exchange) Proven(tx blobstore.Tx, id record.RecordID, own bool) error {
	if !own {
		return nil
	}
	t, ok, err := x.ownerOf(tx, id)
	if err != nil {
		return err
	}
	if !ok {
		return x.cardProven(tx, id)
	}
	shared, err := isShared(tx, t, id)
	if !shared || err != nil {
		return err
	}
	return push{Transfer: t.ID, Proof: id}.put(tx, t.Partner)
}

// isShared tells whether the partner has, or will be told, this record of the
// transfer: all of what was delivered, but only the void of what was not.
func isShared(tx blobstore.ReadTx, t Transfer, id record.RecordID) (bool, error) {
	if _, err := tx.Get(formerKey(t.ID, id)); record.KindOf(err) != record.NotFound {
		return id == t.Record && t.State.across(), err
	}
	if t.State.across() {
		return true, nil
	}
	void, err := getRecord(tx, voidKey(t.ID))
	if record.KindOf(err) == record.NotFound {
		return false, nil
	}
	return err == nil && void.ID() == id, err
}

// transferOf finds the transfer that a record belongs to.
func transferOf(tx blobstore.ReadTx, id record.RecordID) (Transfer, error) {
	raw, err := tx.Get(byRecordKey(tx, id))
	if err != nil {
		return Transfer{}, err
	}
	return getTransfer(tx, record.TransferID(raw))
}

// ownerOf is transferOf where many records are gone through: none is held up by
// another whose transfer's row is damaged. ok is false for that one, and for a
// record that is of no transfer.
func (x *Exchange) ownerOf(tx blobstore.ReadTx, id record.RecordID) (t Transfer, ok bool, err error) {
	t, err = transferOf(tx, id)
	switch record.KindOf(err) {
	case record.NotFound:
		return t, false, nil
	case record.Damaged:
		x.Log.Error("the row of a record's transfer is damaged", "record", id, "error", err)
		return t, false, nil
	}
	return t, err == nil, err
}

// news is a frame of ProtocolProof.
type news struct {
	Transfer record.TransferID `json:"transfer,omitzero"` // zero: it is about a card of whoever tells
	Proof    jsontext.Value    `json:"proof,omitzero"`
	State    jsontext.Value    `json:"state,omitzero"` // the state proof of its anchor, if there is one
	Void     record.Envelope   `json:"void,omitzero"`
	Receipt  record.Envelope   `json:"receipt,omitzero"` // the application's word on the item
	Erase    bool              `json:"erase,omitzero"`   // the other side is asked to erase it
	Erasure  record.Envelope   `json:"erasure,omitzero"` // the answer to that, of either side
}

// ack answers news, and a hello. Not OK means that it does not hold, or, with
// Retry, that it can't be taken yet. A void that comes too late is answered
// with the receipt.
type ack struct {
	OK      bool            `json:"ok"`
	Retry   bool            `json:"retry,omitzero"`
	Receipt record.Envelope `json:"receipt,omitzero"`
}

// pushWaiting tells a partner what waits for it, each thing once. What it does
// not take now holds nothing up that waits behind it.
func (x *Exchange) pushWaiting(ctx context.Context, p partner.Partner) error {
	var from blobstore.Key
	some := false
	for {
		waiting, err := x.waitingPushes(ctx, p.Org, from)
		if err != nil {
			return err
		}
		if len(waiting) == 0 {
			break
		}
		later, err := x.pushAll(ctx, p, waiting)
		if err != nil {
			return err
		}
		some = some || later
		from = behind(waiting[len(waiting)-1].Key)
	}
	if some {
		return record.Errorf(record.Unavailable, "the partner takes some news later")
	}
	return nil
}

// behind is the first key after this one.
func behind(key blobstore.Key) blobstore.Key { return key + "\x00" }

func (x *Exchange) waitingPushes(ctx context.Context, org record.OrgID, from blobstore.Key) (waiting []blobstore.Entry, err error) {
	err = x.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		waiting = nil
		for e, err := range tx.Scan(orgKey(tx, prefixPush, org), from, false) {
			if err != nil {
				return err
			}
			if waiting = append(waiting, e); len(waiting) == maxPushes {
				break
			}
		}
		return nil
	})
	return waiting, err
}

// maxPushes is how many are told over one stream.
const maxPushes = 256

// pushAll tells these over one stream and forgets those that were taken, or
// never will be. later is true if some are to be told again.
func (x *Exchange) pushAll(ctx context.Context, p partner.Partner, waiting []blobstore.Entry) (later bool, err error) {
	stream, err := x.open(ctx, p, ProtocolProof)
	if err != nil {
		return false, err
	}
	defer closeQuietly(stream)
	defer resetWith(ctx, stream)()
	l := newLink(stream)
	var done []answered
	for _, e := range waiting {
		var a ack
		if a, err = x.pushOne(ctx, l, e); err != nil {
			stream.Reset()
			break
		}
		if a.Retry {
			later = true
			continue
		}
		done = append(done, answered{e, a.OK})
	}
	return later, errors.Join(err, x.forgetPushes(ctx, p.Org, done))
}

// answered is an entry of the queue of news that need not be told again.
type answered struct {
	blobstore.Entry
	taken bool
}

// forgetPushes forgets what was answered. The number of a void that was taken
// has ended, and that a word was not taken is for people to see.
func (x *Exchange) forgetPushes(ctx context.Context, org record.OrgID, done []answered) error {
	if len(done) == 0 {
		return nil
	}
	return x.Journal.Update(ctx, func(tx blobstore.Tx) error {
		for _, d := range done {
			if now, err := tx.Get(d.Key); err == nil && !bytes.Equal(now, d.Value) {
				continue // it is to be told once more
			}
			if err := tx.Delete(d.Key); err != nil {
				return err
			}
			if err := endVoid(tx, org, d); err != nil {
				return err
			}
			if err := asked(tx, x.Now().UnixMilli(), d); err != nil {
				return err
			}
			if err := x.unheard(tx, org, d); err != nil {
				return err
			}
		}
		return nil
	})
}

func endVoid(tx blobstore.Tx, org record.OrgID, d answered) error {
	var p push
	if err := record.Load(d.Value[32:], &p); err != nil || !p.Void || !d.taken {
		return nil // which newsOf has told of
	}
	void, err := getRecord(tx, voidKey(p.Transfer))
	if err != nil {
		return err
	}
	return closeNumber(tx, org, void)
}

// pushOne tells one thing and takes the answer. What is damaged here counts as
// taken: it can't be told, and must not hold up the rest.
func (x *Exchange) pushOne(ctx context.Context, l *link, e blobstore.Entry) (ack, error) {
	if err := x.renewVoid(ctx, e); err != nil {
		return ack{}, err
	}
	p, n, err := x.newsOf(ctx, e)
	switch record.KindOf(err) {
	case record.NotFound, record.Damaged:
		x.Log.Error("what a partner is to be told is damaged", "transfer", p.Transfer, "error", err)
		return ack{}, nil
	}
	if err != nil {
		return ack{}, err
	}
	if err := l.send(frameNews, n); err != nil {
		return ack{}, err
	}
	var a ack
	if err := l.expect(frameAck, &a); err != nil {
		return ack{}, err
	}
	if p.Void && !a.Receipt.IsZero() {
		// It was received before it was cancelled: the receipt is the truth.
		err := x.delivered(ctx, p.Transfer, a.Receipt, &progress{})
		if record.KindOf(err) != record.Invalid {
			return ack{OK: true}, err
		}
		a.OK = false
	}
	if !a.OK && !a.Retry {
		x.Log.Warn("a partner did not take what it was told", "transfer", p.Transfer)
	}
	return a, nil
}

// newsOf makes of an entry of the queue what the partner is told.
func (x *Exchange) newsOf(ctx context.Context, e blobstore.Entry) (p push, n news, err error) {
	if err := record.Load(e.Value[32:], &p); err != nil {
		return p, n, record.Errorf(record.Damaged, "an entry of a queue: %w", err)
	}
	n.Transfer = p.Transfer
	err = x.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		if p.Void {
			n.Void, err = getRecord(tx, voidKey(p.Transfer))
			return err
		}
		if p.Ask {
			n.Erase = true
			return nil
		}
		if p.Erasure {
			n.Erasure, err = getRecord(tx, ownErasureKey(p.Transfer))
			return err
		}
		if p.Reminder {
			n.Erasure, err = getRecord(tx, theirErasureKey(p.Transfer))
			return err
		}
		if p.Word {
			n.Receipt, err = getReceipt(tx, p.Transfer, receiptWord)
			return err
		}
		proof, err := queue.ProofOf(tx, p.Proof)
		if err != nil {
			return err
		}
		if n.Proof, err = proof.Bytes(); err != nil {
			return err
		}
		n.State, err = queue.StateProofOf(tx, proof.Anchor)
		return err
	})
	return p, n, err
}

// ServeProof is the receiving part of a stream of ProtocolProof.
func (x *Exchange) ServeProof(ctx context.Context, s Stream) {
	x.serve(ctx, s, func(_ partner.Partner, l *link) {
		for {
			err := x.serveNews(ctx, l)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				x.Log.Debug("a stream of proofs broke off", "error", err)
				s.Reset()
				return
			}
		}
	})
}

// serveNews takes one piece of news and answers it; io.EOF if there is no more.
func (x *Exchange) serveNews(ctx context.Context, l *link) error {
	t, content, err := l.next()
	if err != nil {
		return err
	}
	if t != frameNews {
		return record.Errorf(record.Invalid, "a frame of type %d where news was due", t)
	}
	var n news
	if err := decodeFrame(content, &n); err != nil {
		return err
	}
	from, err := x.Book.ByNode(l.Node()) // asked each time: it may have been suspended
	if err != nil {
		return err
	}
	return l.send(frameAck, x.takeNews(ctx, from.Org, n))
}

// takeNews does with one piece of news what there is to do, and says how it went.
func (x *Exchange) takeNews(ctx context.Context, from record.OrgID, n news) ack {
	var a ack
	var err error
	switch {
	case len(n.Proof) > 0:
		err = x.takeProof(ctx, from, n)
	case !n.Receipt.IsZero():
		err = x.takeWord(ctx, from, n)
	case n.Erase:
		err = x.takeRequest(ctx, from, n)
	case !n.Erasure.IsZero() && x.signedByUs(n.Erasure):
		err = x.takeReminder(ctx, from, n)
	case !n.Erasure.IsZero():
		err = x.takeErasure(ctx, from, n)
	default:
		a.Receipt, err = x.takeVoid(ctx, from, n)
	}
	switch record.KindOf(err) {
	case record.Invalid, record.Conflict, record.Refused:
		x.raise(ctx, from, err)
		x.complain(from, "a partner sent news that does not hold", err)
		return ack{}
	}
	if err != nil {
		x.warnOfQuota(ctx, from, err)
		x.Log.Debug("couldn't take a partner's news", "error", err)
		return ack{Retry: true}
	}
	a.OK = true
	return a
}

// takeProof hands a proof of a record that we share with the partner to the
// queue, which asks the chain before it believes it. A state proof that comes
// along serves whoever has no chain to ask; to which block it leads, only the
// verifier of evidence can judge.
func (x *Exchange) takeProof(ctx context.Context, from record.OrgID, n news) error {
	state, err := x.checkState(n)
	if err != nil {
		return err
	}
	p, err := hashanchor.ParseProof(n.Proof)
	if err != nil {
		return err
	}
	// Cards are verified for it: not in the update, for which all others wait.
	var leaf record.Hash
	err = x.Journal.View(ctx, func(tx blobstore.ReadTx) (err error) {
		leaf, err = x.provable(tx, from, n, p)
		return err
	})
	if err == nil {
		err = x.Journal.Update(ctx, func(tx blobstore.Tx) error {
			return queue.Receive(tx, n.Proof, state, func(record.RecordID, record.Account) (record.Hash, error) { return leaf, nil })
		})
	}
	if errors.Is(err, errNotNeeded) {
		return nil
	}
	return err
}

// provable is the leaf of the record that a partner tells the proof of, if we
// share that record, and the account may anchor it.
func (x *Exchange) provable(tx blobstore.ReadTx, from record.OrgID, n news, p hashanchor.Proof) (record.Hash, error) {
	e, err := x.sharedRecord(tx, from, p.Record)
	if n.Transfer.IsZero() && record.KindOf(err) == record.NotFound {
		// Told of a card, by one to which we said that we have it or
		// a later one: it will not come any more.
		err = record.Errorf(record.Refused, "the proof of a card that is not known here")
	}
	if err != nil {
		return record.Hash{}, err
	}
	if e.Name() != "card" && x.signedByUs(e) && x.Anchors() {
		return record.Hash{}, errNotNeeded
	}
	return e.Leaf(), x.checkAnchorer(tx, e, p.Anchor.Account)
}

// checkState follows the state proof of a proof that a partner tells; nil if
// there is none, or nothing here can follow one.
func (x *Exchange) checkState(n news) (*hashanchor.State, error) {
	if len(n.State) == 0 || x.CheckState == nil {
		return nil, nil
	}
	p, err := hashanchor.ParseProof(n.Proof)
	if err != nil {
		return nil, err
	}
	var s hashanchor.State
	if err := record.Unmarshal(n.State, &s); err != nil {
		return nil, err
	}
	if len(s.Slots) != 1 {
		return nil, record.Errorf(record.Invalid, "a state proof of %d slots for one anchor", len(s.Slots))
	}
	if _, err := x.CheckState(p.Anchor, s.Header, s.Account, s.Slots[0]); err != nil {
		return nil, err
	}
	return &s, nil
}

// errNotNeeded is that a partner anchored a record of ours that we anchor
// ourselves: it heard that we do not, some time ago.
var errNotNeeded = errors.New("we anchor our own records")

// sharedRecord finds a record that we and the partner have: of a transfer
// between us, or a void or a card of its own.
func (x *Exchange) sharedRecord(tx blobstore.ReadTx, from record.OrgID, id record.RecordID) (record.Envelope, error) {
	t, err := transferOf(tx, id)
	if record.KindOf(err) == record.NotFound {
		e, err := voidByID(tx, from, id)
		if record.KindOf(err) == record.NotFound {
			return partnersCard(tx, from, id)
		}
		return e, err
	}
	if err != nil {
		return record.Envelope{}, err
	}
	if t.Partner != from {
		return record.Envelope{}, record.Errorf(record.Refused, "the proof of another partner's record")
	}
	return x.recordOf(tx, t, id)
}
