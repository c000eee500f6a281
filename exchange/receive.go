package exchange

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"dxd/blobstore"
	"dxd/crypto"
	"dxd/event"
	"dxd/hashanchor/queue"
	"dxd/partner"
	"dxd/record"
)

// ServeTransfer is the recipient's part of a stream of ProtocolTransfer.
func (x *Exchange) ServeTransfer(ctx context.Context, s Stream) {
	x.serve(ctx, s, func(from partner.Partner, l *link) {
		err := x.receive(ctx, from, l)
		if err == nil {
			return
		}
		r, ok := asRefusal(err)
		if !ok {
			x.regret(ctx, from.Org, err)
			s.Reset()
			return
		}
		x.raise(ctx, from.Org, err)
		x.warnOfQuota(ctx, from.Org, err)
		x.complain(from.Org, "refused a partner's transfer", err)
		x.sayNo(l, r)
	})
}

// asRefusal is what the sender is told of an error; what is only the link's or
// our own trouble resets the stream, and the sender tries again.
func asRefusal(err error) (refusal, bool) {
	var r *refusedError
	if errors.As(err, &r) {
		return r.refusal, true
	}
	var c *contradictionError
	if errors.As(err, &c) && c.stops != "" {
		return refusal{reasonNumber, true}, true
	}
	switch record.KindOf(err) {
	case record.Full:
		return refusal{reasonFull, true}, true
	case record.Damaged:
		return refusal{reasonDamaged, false}, true
	case record.Invalid, record.Conflict:
		return refusal{reasonRejected, false}, true
	case record.Refused:
		return refusal{reasonPolicy, true}, true // who is suspended may be resumed
	}
	return refusal{}, false
}

// lastWords is how long a refused sender has to notice.
const lastWords = 10 * time.Second

// sayNo sends the refusal and takes what the sender still has under way, so
// that it reads the refusal before the stream ends.
func (x *Exchange) sayNo(l *link, r refusal) {
	if l.send(frameRefusal, r) != nil || l.CloseWrite() != nil || l.SetReadDeadline(time.Now().Add(lastWords)) != nil {
		l.Reset()
		return
	}
	if _, err := io.Copy(io.Discard, io.LimitReader(l, 64*maxFrame)); err != nil {
		l.Reset()
	}
}

// arrival is one stream's part in receiving a payload.
type arrival struct {
	*link
	from  partner.Partner
	offer offer
	early []byte
	key   crypto.FileKey
	row   Transfer // Receiving, or zero if there is none
	in    *incoming
	prog  *progress

	flying   int64 // bytes that count as in flight
	reserved int64 // of the quota, for a body whose length is not known
}

func (x *Exchange) receive(ctx context.Context, from partner.Partner, l *link) error {
	if from.Expired(x.Now()) {
		return refuseForNow(reasonCard)
	}
	a := &arrival{link: l, from: from}
	if err := a.readOffer(); err != nil {
		return err
	}
	if a.offer.Lane == record.LaneMsg {
		defer x.roads.enter()()
	}
	id := arriving{from.Org, a.offer.ID}
	in, claim, err := x.inbox.take(ctx, id, resetter(l))
	if err != nil {
		return err
	}
	a.in = in
	defer func() {
		x.fed(ctx, a)
		x.inbox.release(id, claim, x.worthKeeping(a))
	}()
	receipt, err := x.lookUp(ctx, a)
	if err != nil {
		return err
	}
	if !receipt.IsZero() {
		return a.send(frameAnswer, answer{Receipt: receipt})
	}
	var ended func()
	a.prog, ended = x.flight.begin(a.offer.ID, resetter(l))
	defer ended()
	return x.takeIn(ctx, a)
}

// worthKeeping is what the next stream can go on with. A payload that no row
// knows came along with its offer, and will again.
func (x *Exchange) worthKeeping(a *arrival) *incoming {
	if a.in == nil || a.in.written && !a.in.torn {
		return a.in
	}
	a.in.close()
	if a.in.written {
		return nil // the next stream reads the file again
	}
	if err := x.Files.Remove(a.in.file); err != nil {
		x.Log.Warn("couldn't remove a payload that did not hold", "error", err) // the next start's sweep will
	}
	return nil
}

// readOffer reads the offer and the bytes that came along.
func (a *arrival) readOffer() error {
	if err := a.expect(frameOffer, &a.offer); err != nil {
		return err
	}
	if err := a.offer.check(); err != nil {
		return err
	}
	for int64(len(a.early)) < a.offer.Early {
		t, content, err := a.next()
		if err != nil {
			return err
		}
		if t != frameBody || len(content) == 0 || int64(len(a.early)+len(content)) > a.offer.Early {
			return record.Errorf(record.Invalid, "the early bytes are not as announced")
		}
		a.early = append(a.early, content...)
	}
	if !bytes.HasPrefix(a.early, a.offer.BodyNonce[:]) {
		return record.Errorf(record.Invalid, "the body begins with another nonce than was announced")
	}
	return nil
}

func (o offer) check() error {
	if o.Version != wireVersion {
		return record.Errorf(record.Invalid, "an offer of version %d", o.Version)
	}
	if err := o.ID.Check(); err != nil {
		return err
	}
	if o.Lane != record.LaneDoc && o.Lane != record.LaneMsg {
		return record.Errorf(record.Invalid, "an offer in lane %q", record.Printable(string(o.Lane), 20))
	}
	if len(o.Header) > crypto.MaxHeader {
		return record.Errorf(record.Invalid, "an offer with a header of %d bytes", len(o.Header))
	}
	if o.grows() {
		return o.checkGrowing()
	}
	plain, err := crypto.PlainLength(o.SealedLength)
	if err != nil {
		return err
	}
	if o.SealedLength > record.MaxInteger { // no manifest could say so, and sums of such lengths overflow
		return record.Errorf(record.Invalid, "an offer of %d bytes", o.SealedLength)
	}
	if o.Lane == record.LaneDoc && o.Alone || o.isBundle() && plain > maxBundle || o.Alone && plain > MaxMessage {
		return record.Errorf(record.Invalid, "an offer of %d bytes that is no payload of lane %q", plain, o.Lane)
	}
	if o.Early != min(o.SealedLength, maxEarly) {
		return record.Errorf(record.Invalid, "an offer with %d early bytes", o.Early)
	}
	return nil
}

// isBundle tells a bundle from what has the id of its one item.
func (o offer) isBundle() bool { return o.Lane == record.LaneMsg && !o.Alone }

// kind is that of the row under the offer's id.
func (o offer) kind() record.ItemKind {
	switch {
	case o.isBundle():
		return bundleKind
	case o.Alone:
		return record.Message
	}
	return record.Document
}

// lookUp finds what is known of the offered transfer: its receipt if it is
// here already, else the row of what has come so far.
func (x *Exchange) lookUp(ctx context.Context, a *arrival) (receipt record.Envelope, err error) {
	var t Transfer
	err = x.Journal.View(ctx, func(tx blobstore.ReadTx) (err error) {
		if err := partner.Require(tx, a.from.Org, x.Now()); err != nil {
			return err
		}
		t, err = getTransfer(tx, a.offer.ID)
		if record.KindOf(err) == record.NotFound {
			t = Transfer{}
			if err := x.relays.isReserved(a.offer.ID); err != nil {
				return err
			}
			if err := isGivenUp(tx, a.from.Org, a.offer.ID); err != nil {
				return err
			}
			return mayCome(tx, a.from.Org, a.offer.Lane)
		}
		if err == nil && (t.Direction != In || t.Partner != a.from.Org || t.Kind != a.offer.kind() || t.small()) {
			err = errOthersID()
		}
		switch {
		case err != nil:
		case t.State.across():
			receipt, err = getReceipt(tx, t.ID, receiptFirst)
		case t.State == Receiving:
			err = mayCome(tx, a.from.Org, a.offer.Lane)
		}
		return err
	})
	switch {
	case err != nil:
		return receipt, err
	case t.ID.IsZero():
		return receipt, nil
	case t.State == Cancelled:
		return receipt, refuse(reasonCancelled)
	case t.State == Receiving && a.changesLength(t):
		return receipt, record.Errorf(record.Invalid, "a body whose length was told has another one")
	case t.State == Receiving:
		a.row = t
		return receipt, nil
	case t.BodyNonce != a.offer.BodyNonce:
		return receipt, contradiction(t.ID, "a partner offers other content under an id that it used")
	}
	return receipt, nil
}

// changesLength tells whether the same body is offered with another length than
// the one for which it was let in.
func (a *arrival) changesLength(t Transfer) bool {
	same := t.BodyNonce == a.offer.BodyNonce || a.offer.grows()
	return same && t.SealedLength != unknownLength && t.SealedLength != a.offer.SealedLength
}

// takeIn receives the payload, or the rest of it, and answers with the receipt.
func (x *Exchange) takeIn(ctx context.Context, a *arrival) error {
	leave, err := x.admit(ctx, a)
	if err != nil {
		return x.spoiled(ctx, a, err)
	}
	defer leave()
	if a.key, err = x.Keys.OpenHeader(a.offer.Header); err != nil {
		if record.KindOf(err) == record.Refused {
			return refuseForNow(reasonCard) // it used an older card of ours; our hello brings the newer
		}
		return err
	}
	if a.offer.isBundle() {
		return x.takeBundle(ctx, a)
	}
	if err := x.prepare(ctx, a); err != nil {
		return x.spoiled(ctx, a, err)
	}
	a.key = a.in.key // under which the body opens, whatever this stream's header says
	if err := a.send(frameAnswer, answer{Offset: a.in.size}); err != nil {
		return err
	}
	if err := x.takeBody(ctx, a); err != nil {
		return x.spoiled(ctx, a, err)
	}
	var c closing
	if err := a.readClosing(&c); err != nil {
		return x.spoiled(ctx, a, err)
	}
	a.offer.SealedLength = a.in.size // whatever was announced, this is what came
	v, err := x.verify(ctx, a, c)
	if err != nil {
		return x.spoiled(ctx, a, err)
	}
	receipt, err := x.received(ctx, a, v)
	if err != nil {
		return x.spoiled(ctx, a, err)
	}
	a.in = nil // over: nothing waits for another stream
	return a.send(frameReceipt, receiptFrame{receipt})
}

// aheadBlocks is how much of a body is taken off the link before it is written:
// 1 MiB. The link's window opens again with what is taken off, and would else
// stand still while the disk is waited for.
const aheadBlocks = 16

// takeBody takes the rest of the sealed bytes up to the empty frame.
func (x *Exchange) takeBody(ctx context.Context, a *arrival) (err error) {
	x.flight.add(a.prog, int64(len(a.early)), a.in.size)
	ahead := newFeed(aheadBlocks)
	var reader sync.WaitGroup
	here := a.in.size
	reader.Go(func() {
		ahead.end(a.readBody(here, func(content []byte) error { return giveFrame(ahead, content) }))
	})
	defer reader.Wait()
	defer close(ahead.gone)
	road := x.roads.crosser(a.offer.kind())
	for {
		b, err := ahead.next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = x.takeBlock(ctx, a, road, b)
		}
		if err != nil {
			a.stopReading() // of the reader; whoever goes on with the link sets another time
			return err
		}
	}
}

// giveFrame hands a frame of a body on in blocks. Its header went with the first.
func giveFrame(to *feed, content []byte) error {
	header := frameHeader
	return inBlocks(content, func(b *block) error {
		b.wire, header = b.n+header, 0
		return to.give(b)
	})
}

func (x *Exchange) takeBlock(ctx context.Context, a *arrival, road *crosser, b *block) error {
	n, wire := b.n, b.wire
	road.cross(n)
	if a.offer.grows() {
		if err := x.makeRoom(ctx, a, int64(n)); err != nil {
			return err
		}
	}
	if err := a.in.take(b); err != nil {
		return err
	}
	x.flight.add(a.prog, int64(wire), a.in.size)
	return nil
}

// readBody reads what comes of a body behind the bytes that are here, and
// hands it on.
func (a *arrival) readBody(here int64, take func([]byte) error) error {
	for {
		content, err := a.nextOfBody()
		if err != nil {
			return err
		}
		if len(content) == 0 {
			break
		}
		if here += int64(len(content)); here > a.offer.SealedLength && !a.offer.grows() {
			return record.Errorf(record.Invalid, "the body is longer than announced")
		}
		if err := take(content); err != nil {
			return err
		}
	}
	if here != a.offer.SealedLength && !a.offer.grows() {
		return record.Errorf(record.Invalid, "the body is shorter than announced")
	}
	return nil
}

// linkError keeps the end of a stream in the middle of a body from looking
// like anything that the sender said.
func linkError(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// received commits the payload and then writes all of C1': the row, the
// opening, the file key, the manifest, the signed receipt, its leaf and the
// event.
func (x *Exchange) received(ctx context.Context, a *arrival, v verified) (record.Envelope, error) {
	x.at(BeforeStored)
	if err := a.in.commit(); err != nil {
		return record.Envelope{}, err
	}
	receipt, unknown, err := x.acknowledge(ctx, v.manifest, func(tx blobstore.Tx, receipt record.Envelope) error {
		return x.putReceived(tx, a, v, receipt)
	})
	if unknown {
		a.unsettled()
	}
	return receipt, err
}

// acknowledge is C1': it signs the first receipt about a manifest and writes
// it together with what put writes. unknown is that of update.
func (x *Exchange) acknowledge(ctx context.Context, m record.Signed[record.Manifest],
	put func(blobstore.Tx, record.Envelope) error) (_ record.Envelope, unknown bool, err error) {
	receipt, err := x.Keys.SignReceipt(record.Receipt{
		Header:   record.Header{Card: x.Book.Self().ID(), Created: x.Now().UnixMilli()},
		Sender:   m.Body.Org,
		Manifest: m.ID(),
		Entries:  []record.Entry{{Last: m.Body.Items - 1, Status: record.StatusReceived}},
	})
	if err != nil {
		return record.Envelope{}, false, err
	}
	x.at(BeforeReceived)
	unknown, err = x.update(ctx, func(tx blobstore.Tx) error {
		if err := partner.Require(tx, m.Body.Org, x.Now()); err != nil {
			return err
		}
		return put(tx, receipt.Envelope)
	})
	if err != nil {
		return record.Envelope{}, unknown, err
	}
	// At this point the payload is received; a crash after this sends the same
	// receipt when the sender asks again.
	x.at(AfterReceived)
	return receipt.Envelope, false, nil
}

func (x *Exchange) putReceived(tx blobstore.Tx, a *arrival, v verified, receipt record.Envelope) error {
	if err := x.mayReceive(tx, v.manifest); err != nil {
		return err
	}
	t := x.incomingRow(a, Received)
	if a.in.written {
		row, err := getTransfer(tx, t.ID)
		if err != nil {
			return err
		}
		if row.State != Receiving {
			return refuse(reasonCancelled)
		}
		t.Created = row.Created
		if err := row.unshelve(tx); err != nil {
			return err
		}
		if err := recharge(tx, row, t); err != nil {
			return err
		}
	}
	if err := t.settle(tx); err != nil {
		return err
	}
	t.Name, t.MediaType, t.Size, t.Digest = v.opening.Name, v.opening.MediaType, v.opening.Length, v.opening.Digest
	t.Record, t.WireBytes = v.manifest.ID(), a.prog.wire
	if err := tx.Set(openingKey(t.ID), v.raw); err != nil {
		return err
	}
	if err := tx.Set(keyKey(t.ID), x.Keys.WrapFileKey(a.key, t.ID[:])); err != nil {
		return err
	}
	if err := x.putAcknowledged(tx, t.ID, v.manifest, receipt); err != nil {
		return err
	}
	if err := x.tell(tx, arrivalOf(t.Kind), t); err != nil {
		return err
	}
	if a.in.written {
		return t.put(tx) // for which there has been room from the offer on
	}
	if err := t.create(tx); err != nil {
		return err
	}
	return x.hasRoom(tx, t)
}

// mayReceive refuses a payload that its sender gave up, whose manifest is here
// under another id, or whose number stands for another record, and notes the
// number.
func (x *Exchange) mayReceive(tx blobstore.Tx, m record.Signed[record.Manifest]) error {
	if _, err := tx.Get(voidedKey(tx, m.Body.Org, m.ID())); record.KindOf(err) != record.NotFound {
		return errors.Join(err, refuse(reasonCancelled))
	}
	known, err := transferOf(tx, m.ID())
	switch {
	case err == nil:
		return contradiction(known.ID, "a partner offers one payload under two ids")
	case record.KindOf(err) != record.NotFound:
		return err
	}
	return x.note(tx, m.Body.Org, m.Body.Number, m.ID())
}

// putAcknowledged keeps a partner's manifest and our first receipt about it,
// whose leaf it queues.
func (x *Exchange) putAcknowledged(tx blobstore.Tx, id record.TransferID, m record.Signed[record.Manifest], receipt record.Envelope) error {
	if err := tx.Set(recordKey(id), m.Bytes()); err != nil {
		return err
	}
	if err := tx.Set(byRecordKey(tx, m.ID()), id[:]); err != nil {
		return err
	}
	if err := putReceipt(tx, id, receiptFirst, receipt); err != nil {
		return err
	}
	if err := x.anchorFor(tx, m.Body.Org, m.Envelope); err != nil {
		return err
	}
	return queue.Add(tx, receipt.ID(), receipt.Leaf())
}

// arrivalOf is the event of what arrived.
func arrivalOf(kind record.ItemKind) event.Type {
	if kind == record.Message {
		return event.MessageReceived
	}
	return event.DocumentReceived
}
