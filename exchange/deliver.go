package exchange

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"dxd/blobstore"
	"dxd/crypto"
	"dxd/event"
	"dxd/partner"
	"dxd/record"
)

// parcel is all that is sent of one transfer.
type parcel struct {
	Transfer
	file     blobstore.File
	key      crypto.FileKey
	header   []byte
	manifest record.Envelope
	openings []byte
	complete func() (parcel, error) // all of it, for a document that was still read when it was packed
}

// errAway says that no stream to the partner came up, so that no other
// document can be delivered either.
var errAway = errors.New("couldn't reach the partner")

// deliver sends one payload and takes the receipt. It returns nil once the
// transfer needs no more of it: delivered, or cancelled in the meantime. ready
// is the payload if it is in memory, else nil.
func (x *Exchange) deliver(ctx context.Context, p partner.Partner, t Transfer, ready *bundle) error {
	t, err := x.renew(ctx, p, t)
	if err != nil {
		return x.unsendable(ctx, t, err)
	}
	if ready != nil && (ready.row.Record != t.Record || ready.card != p.Card.ID()) {
		ready = nil // it was signed anew, or the partner has another card since
	}
	parcel, err := x.packOr(ctx, p, t, ready)
	if err != nil {
		return x.unsendable(ctx, t, err)
	}
	defer closeQuietly(parcel.file)
	stream, err := x.openTransfer(ctx, p)
	if err != nil {
		return err
	}
	return x.deliverOver(ctx, stream, parcel)
}

func (x *Exchange) openTransfer(ctx context.Context, p partner.Partner) (Stream, error) {
	stream, err := x.open(ctx, p, ProtocolTransfer)
	if err != nil {
		return nil, record.Errorf(record.KindOf(err), "%w: %w", errAway, err)
	}
	return stream, nil
}

// deliverOver is deliver over a stream, which it closes.
func (x *Exchange) deliverOver(ctx context.Context, stream Stream, parcel parcel) error {
	t := parcel.Transfer
	defer closeQuietly(stream)
	defer resetWith(ctx, stream)()
	prog, ended := x.flight.begin(t.ID, resetter(stream))
	defer ended()
	if over, err := x.isOver(ctx, t.ID); over || err != nil {
		return err // cancelled before its stream was known
	}
	receipt, err := x.send(newLink(stream), parcel, prog)
	if err != nil {
		stream.Reset()
		if err := x.countWire(ctx, t.ID, prog); err != nil {
			return err
		}
		if over, err := x.isOver(ctx, t.ID); over || err != nil {
			return err
		}
		var r *refusedError
		if errors.As(err, &r) && r.Retry {
			x.flight.putOff(t.ID, r.Reason)
		}
		return x.afterRefusal(ctx, parcel, err)
	}
	return x.delivered(ctx, t.ID, receipt, prog)
}

// packOr is pack, unless all of it is in memory.
func (x *Exchange) packOr(ctx context.Context, p partner.Partner, t Transfer, ready *bundle) (parcel, error) {
	if ready != nil {
		return ready.pack()
	}
	return x.pack(ctx, p, t)
}

// pack gathers what is to be sent. The header is made anew each time, for the
// recipient's current key; everything else was fixed at C1.
func (x *Exchange) pack(ctx context.Context, p partner.Partner, t Transfer) (parcel, error) {
	c := parcel{Transfer: t}
	var wrapped, openings, manifest, sealed []byte
	err := x.Journal.View(ctx, func(tx blobstore.ReadTx) (err error) {
		if wrapped, err = tx.Get(keyKey(t.ID)); err != nil {
			return err
		}
		if openings, err = tx.Get(openingKey(t.ID)); err != nil {
			return err
		}
		if manifest, err = tx.Get(recordKey(t.ID)); err != nil {
			return err
		}
		if t.Kind == bundleKind {
			sealed, err = tx.Get(contentKey(t.ID))
		}
		return err
	})
	if err != nil {
		return c, err
	}
	if c.manifest, err = record.ParseEnvelope(manifest); err != nil {
		return c, err
	}
	if c.key, err = x.Keys.UnwrapFileKey(wrapped, t.ID[:]); err != nil {
		return c, err
	}
	if c.header, err = crypto.SealHeader(c.key, p.Card.Body.Recipients[0]); err != nil {
		return c, err
	}
	if t.Kind == bundleKind {
		c.file = memoryFile{bytes.NewReader(sealed)}
	} else {
		openings = packOpenings(openings)
		c.file, err = x.Files.Open(t.Payload)
	}
	c.openings = crypto.SealOpenings(c.key, openings)
	if err == nil && c.file.Size() != t.SealedLength {
		closeQuietly(c.file)
		err = record.Errorf(record.Damaged, "the sealed file has %d bytes, not %d", c.file.Size(), t.SealedLength)
	}
	return c, err
}

// memoryFile is a payload that is kept in no file of its own.
type memoryFile struct{ *bytes.Reader }

func (memoryFile) Close() error { return nil }

// unsendable ends a transfer whose own parts are lost or damaged here: no
// retry can mend that.
func (x *Exchange) unsendable(ctx context.Context, t Transfer, err error) error {
	switch record.KindOf(err) {
	case record.NotFound, record.Damaged:
		x.Log.Error("a queued document is damaged on our own disk", "transfer", t.ID, "error", err)
		return x.giveUp(ctx, t.ID, Failed, reasonDamaged)
	}
	return err
}

// open opens a stream to the first of the partner's nodes that answers.
func (x *Exchange) open(ctx context.Context, p partner.Partner, protocol string) (Stream, error) {
	err := record.Errorf(record.Unavailable, "the partner has no address")
	for _, node := range p.Card.Body.Nodes {
		var s Stream
		if s, err = x.Network.Open(ctx, node, p.Addresses(node), protocol); err == nil {
			return s, nil
		}
	}
	return nil, err
}

// reply is what the recipient said, read while the body is being sent.
type reply struct {
	answer
	err error
}

// send speaks the sender's part of the protocol and returns the receipt,
// unverified.
func (x *Exchange) send(l *link, c parcel, prog *progress) (record.Envelope, error) {
	l.sending = true
	early := min(c.file.Size(), maxEarly)
	err := l.send(frameOffer, offer{
		Version: wireVersion, ID: c.ID, Lane: laneOf(c.Kind), SealedLength: c.SealedLength,
		BodyNonce: c.BodyNonce, Header: c.header, Early: early, Alone: c.Kind == record.Message,
	})
	if err != nil {
		return record.Envelope{}, err
	}
	answers, receipts := make(chan reply, 1), make(chan reply, 1)
	var reader sync.WaitGroup
	reader.Go(func() {
		answers <- readAnswer(l)
		receipts <- readReceipt(l)
	})
	defer reader.Wait()
	defer l.stopReading()
	if err := x.sendBody(l, c, 0, early, prog, answers); err != nil {
		return record.Envelope{}, refusalBehind(err, answers)
	}
	if early == c.SealedLength { // all of it went along: one round trip
		if err := sendClosing(l, c); err != nil {
			return record.Envelope{}, refusalBehind(err, answers)
		}
	}
	got := <-answers
	if got.err != nil || !got.Receipt.IsZero() { // refused, or here already
		return got.Receipt, got.err
	}
	if early != c.SealedLength {
		if err := x.sendRest(l, c, early, got.Offset, prog, receipts); err != nil {
			return record.Envelope{}, refusalBehind(err, receipts)
		}
	}
	got = <-receipts
	return got.Receipt, got.err
}

// sendRest sends what the recipient does not have yet, and the closing.
func (x *Exchange) sendRest(l *link, c parcel, early, at int64, prog *progress, receipts chan reply) error {
	if size := c.file.Size(); at < early || at > size {
		return record.Errorf(record.Invalid, "the partner asks to go on at %d of %d", at, size)
	}
	if c.SealedLength == unknownLength {
		return x.sendGrowing(l, c, at, prog, receipts)
	}
	if err := x.sendBody(l, c, at, c.SealedLength, prog, receipts); err != nil {
		return err
	}
	return sendClosing(l, c)
}

// sendBody sends the sealed bytes from one offset to another. A reply that
// comes meanwhile can only be a refusal, or say that the rest is not needed.
func (x *Exchange) sendBody(l *link, c parcel, from, to int64, prog *progress, replies chan reply) error {
	road := x.roads.crosser(c.Kind)
	for from < to {
		n := int(min(bodyFrame, to-from))
		road.cross(n)
		if _, err := c.file.ReadAt(l.buffer(n), from); err != nil && err != io.EOF {
			return record.Errorf(record.Damaged, "couldn't read a sealed file: %w", err)
		}
		if err := l.flush(frameBody, n); err != nil {
			return err
		}
		from += int64(n)
		x.flight.add(prog, int64(frameHeader+n), from)
		select {
		case r := <-replies:
			replies <- r // whoever waits for it reads it again
			if r.err != nil {
				return r.err
			}
		default:
		}
	}
	return nil
}

func sendClosing(l *link, c parcel) error {
	l.buffer(0)
	if err := l.flush(frameBody, 0); err != nil {
		return err
	}
	if err := l.send(frameClosing, closing{Manifest: c.manifest, Openings: c.openings}); err != nil {
		return err
	}
	if err := l.CloseWrite(); err != nil {
		return err
	}
	return l.SetReadDeadline(time.Now().Add(receiptTimeout))
}

// refusalBehind prefers what the partner said to the error of a write that
// broke off because of it.
func refusalBehind(err error, replies chan reply) error {
	switch record.KindOf(err) {
	case record.Damaged, record.Invalid: // it was not the link
		return err
	}
	if r := <-replies; r.err != nil {
		if _, ok := r.err.(*refusedError); ok {
			return r.err
		}
	}
	return err
}

func readAnswer(l *link) reply {
	t, content, err := l.next()
	if err != nil {
		return reply{err: err}
	}
	var r reply
	switch t {
	case frameAnswer:
		r.err = decodeFrame(content, &r.answer)
	case frameRefusal:
		r.err = decodeRefusal(content)
	default:
		r.err = record.Errorf(record.Invalid, "a frame of type %d where an answer was due", t)
	}
	return r
}

func readReceipt(l *link) reply {
	t, content, err := l.next()
	if err != nil {
		return reply{err: err}
	}
	var r reply
	switch t {
	case frameReceipt:
		var f receiptFrame
		r.err = decodeFrame(content, &f)
		r.Receipt = f.Receipt
	case frameRefusal:
		r.err = decodeRefusal(content)
	default:
		r.err = record.Errorf(record.Invalid, "a frame of type %d where a receipt was due", t)
	}
	if r.err == nil && r.Receipt.IsZero() {
		r.err = record.Errorf(record.Invalid, "an empty receipt")
	}
	return r
}

func decodeRefusal(content []byte) error {
	var r refusal
	if err := decodeFrame(content, &r); err != nil {
		return err
	}
	return &refusedError{r}
}

// afterRefusal looks at the sealed file when the partner says that it does not
// open, or that what came does not hold: if it is damaged here, no retry helps.
func (x *Exchange) afterRefusal(ctx context.Context, c parcel, err error) error {
	var r *refusedError
	if errors.As(err, &r) && r.Reason == reasonNumber {
		return errors.Join(errHeld, x.hold(ctx, c.Partner, laneOf(c.Kind), c.ID))
	}
	if !errors.As(err, &r) || r.Reason != reasonDamaged && r.Reason != reasonRejected {
		return err
	}
	damage := checkSealed(ctx, c)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case damage != nil:
		x.Log.Error("a queued document is damaged on our own disk", "transfer", c.ID, "error", damage)
		return refuse(reasonDamaged)
	case r.Reason == reasonDamaged:
		return refuseForNow(reasonDamaged) // it was not our file
	}
	return err
}

// checkSealed opens and hashes the whole sealed file again.
func checkSealed(ctx context.Context, c parcel) error {
	var nonce record.BodyNonce
	if _, err := c.file.ReadAt(nonce[:], 0); err != nil || nonce != c.BodyNonce {
		return record.Errorf(record.Damaged, "the sealed file begins with another nonce")
	}
	plain, err := crypto.OpenBody(c.key, io.NewSectionReader(c.file, 0, c.SealedLength))
	if err != nil {
		return err
	}
	_, digest, err := digestInto(ctx, io.Discard, plain, c.Size)
	if err == nil && digest != c.Digest && c.Kind != bundleKind { // whose messages have their own
		err = record.Errorf(record.Damaged, "the sealed file holds another document")
	}
	return err
}

// checkReceipt verifies the first receipt about a manifest of ours.
func (x *Exchange) checkReceipt(ctx context.Context, e record.Envelope, t Transfer) error {
	r, err := x.openReceipt(ctx, t.Partner, e)
	if err != nil {
		return err
	}
	whole := slices.Equal(r.Body.Entries, []record.Entry{{First: 0, Last: max(t.Items, 1) - 1, Status: record.StatusReceived}})
	if r.Body.Manifest != t.Record || !whole {
		return record.Errorf(record.Invalid, "the receipt is not about this document, or does not say that it was received")
	}
	return nil
}

// delivered is C2: the receipt holds, so the transfer is over.
func (x *Exchange) delivered(ctx context.Context, id record.TransferID, receipt record.Envelope, prog *progress) error {
	sent, err := x.row(ctx, id)
	if err != nil {
		return err
	}
	if sent.Direction != Out {
		return record.Errorf(record.Invalid, "a receipt from the sender itself")
	}
	if sent, err = x.withFormer(ctx, sent, receipt); err != nil {
		return err
	}
	if err := x.checkReceipt(ctx, receipt, sent); err != nil {
		return err
	}
	x.at(BeforeDelivered)
	err = x.Journal.Update(ctx, func(tx blobstore.Tx) error {
		t, err := getTransfer(tx, id)
		if err != nil || t.State.across() {
			return err
		}
		if t.Record != sent.Record {
			if err := x.takeFormer(tx, &t, sent.Record); err != nil {
				return err
			}
		}
		t.WireBytes += prog.wire
		return x.putDelivered(tx, t, receipt)
	})
	if err != nil {
		return err
	}
	// At this point the transfer is delivered; a crash after this changes nothing.
	x.at(AfterDelivered)
	x.wake(sent.Partner, pushWork)
	return nil
}

// putDelivered ends a transfer with its first receipt. One that was cancelled
// too late was delivered all the same: the receipt is the truth.
func (x *Exchange) putDelivered(tx blobstore.Tx, t Transfer, receipt record.Envelope) error {
	x.end(&t, Delivered, "")
	if err := x.endNumber(tx, t); err != nil {
		return err
	}
	if err := t.settle(tx); err != nil {
		return err
	}
	if err := putReceipt(tx, t.ID, receiptFirst, receipt); err != nil {
		return err
	}
	if err := x.anchorFor(tx, t.Partner, receipt); err != nil {
		return err
	}
	if err := tx.Delete(queueKey(tx, t)); err != nil {
		return err
	}
	if err := dropPayload(tx, t); err != nil {
		return err
	}
	if err := x.pushIfProven(tx, t.Partner, t.Record); err != nil {
		return err
	}
	if err := x.tell(tx, event.TransferDelivered, t); err != nil {
		return err
	}
	return t.put(tx)
}

// countWire adds to the row what went over the wire in a failed attempt.
func (x *Exchange) countWire(ctx context.Context, id record.TransferID, prog *progress) error {
	if prog.wire <= maxEarly+frameHeader {
		return nil // not worth a sync
	}
	return x.Journal.Update(ctx, func(tx blobstore.Tx) error {
		t, err := getTransfer(tx, id)
		if err != nil {
			return err
		}
		t.WireBytes += prog.wire
		return t.put(tx)
	})
}
