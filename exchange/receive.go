package exchange

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"dxd/blobstore"
	"dxd/crypto"
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
			x.Log.Debug("a transfer broke off", "error", err)
			s.Reset()
			return
		}
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
	switch record.KindOf(err) {
	case record.Full:
		return refusal{reasonFull, true}, true
	case record.Damaged:
		return refusal{reasonDamaged, false}, true
	case record.Invalid, record.Conflict:
		return refusal{reasonRejected, false}, true
	case record.Refused:
		return refusal{reasonPolicy, true}, true // who is suspended may be resumed
	case record.Quota:
		return refusal{reasonPolicy, false}, true
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
}

func (x *Exchange) receive(ctx context.Context, from partner.Partner, l *link) error {
	if from.Expired(x.Now()) {
		return refuseForNow(reasonCard)
	}
	a := &arrival{link: l, from: from}
	if err := a.readOffer(); err != nil {
		return err
	}
	id := arriving{from.Org, a.offer.ID}
	in, claim, err := x.inbox.take(ctx, id, resetter(l))
	if err != nil {
		return err
	}
	a.in = in
	defer func() { x.inbox.release(id, claim, x.worthKeeping(a)) }()
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
	if o.Lane != record.LaneDoc {
		return record.Errorf(record.Invalid, "an offer in lane %q", record.Printable(string(o.Lane), 20))
	}
	if _, err := crypto.PlainLength(o.SealedLength); err != nil {
		return err
	}
	if o.Early != min(o.SealedLength, maxEarly) || len(o.Header) > crypto.MaxHeader {
		return record.Errorf(record.Invalid, "an offer that is out of bounds")
	}
	return nil
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
			return nil
		}
		if err == nil && t.State == Received {
			receipt, err = firstReceipt(tx, t.ID)
		}
		return err
	})
	switch {
	case err != nil:
		return receipt, err
	case t.ID.IsZero():
		return receipt, nil
	case t.Direction != In || t.Partner != a.from.Org:
		return receipt, record.Errorf(record.Conflict, "the id belongs to another transfer")
	case t.State == Cancelled:
		return receipt, refuse(reasonCancelled)
	case t.State == Receiving:
		a.row = t
		return receipt, nil
	case t.BodyNonce != a.offer.BodyNonce:
		x.Log.Error("alarm: a partner offers other content under an id that it used", "transfer", t.ID)
		return receipt, record.Errorf(record.Conflict, "the id was used for other content")
	}
	return receipt, nil
}

// takeIn receives the payload, or the rest of it, and answers with the receipt.
func (x *Exchange) takeIn(ctx context.Context, a *arrival) error {
	var err error
	if a.key, err = x.Keys.OpenHeader(a.offer.Header); err != nil {
		if record.KindOf(err) == record.Refused {
			return refuseForNow(reasonCard) // it used an older card of ours; our hello brings the newer
		}
		return err
	}
	if err := x.prepare(ctx, a); err != nil {
		return x.spoiled(ctx, a, err)
	}
	a.key = a.in.key // under which the body opens, whatever this stream's header says
	if err := a.send(frameAnswer, answer{Offset: a.in.size}); err != nil {
		return err
	}
	if err := x.takeBody(a); err != nil {
		return x.spoiled(ctx, a, err)
	}
	var c closing
	if err := a.expect(frameClosing, &c); err != nil {
		return err
	}
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

// spoiled throws away what came of a payload that does not hold, so that the
// next attempt begins anew. Other trouble of the link or of ours keeps it.
func (x *Exchange) spoiled(ctx context.Context, a *arrival, err error) error {
	r, refused := asRefusal(err)
	if final := refused && !r.Retry; a.in == nil || !final && !errors.Is(err, errUnsynced) {
		return err
	}
	return errors.Join(err, x.discard(ctx, a))
}

// unsettled lets go of a payload of which nobody knows whether a row needs its
// file. When the sender asks again, the journal says.
func (a *arrival) unsettled() {
	a.in.close()
	a.in = nil
}

// discard removes the partial and its row.
func (x *Exchange) discard(ctx context.Context, a *arrival) error {
	in := a.in
	a.in = nil
	in.close()
	if in.written {
		err := x.Journal.Update(ctx, func(tx blobstore.Tx) error { return forget(tx, a.offer.ID) })
		if err != nil {
			return err
		}
	}
	return x.Files.Remove(in.file)
}

// forget removes the row of a payload that never became whole.
func forget(tx blobstore.Tx, id record.TransferID) error {
	t, err := getTransfer(tx, id)
	if record.KindOf(err) == record.NotFound {
		return nil
	}
	if err != nil || t.State != Receiving {
		return err
	}
	for _, key := range []blobstore.Key{fileKey(t.Payload), timeKey(t), rowKey(t.ID)} {
		if err := tx.Delete(key); err != nil {
			return err
		}
	}
	return nil
}

// prepare brings the incoming payload to where the early bytes are part of it:
// what waited from the last stream, what the file of the last process holds,
// or a new file.
func (x *Exchange) prepare(ctx context.Context, a *arrival) error {
	if a.in != nil && a.in.nonce != a.offer.BodyNonce || a.row.BodyNonce != a.offer.BodyNonce && !a.row.ID.IsZero() {
		if err := x.restart(ctx, a); err != nil {
			return err
		}
	}
	if a.in == nil && !a.row.ID.IsZero() {
		in, err := refeed(ctx, x.Files, a.row, a.key)
		switch {
		case err == nil:
			in.written = true
			a.in = in
		case record.KindOf(err) == record.NotFound || errors.Is(err, errDamaged):
			if err := x.restart(ctx, a); err != nil {
				return err
			}
		default:
			return err
		}
	}
	if a.in == nil {
		if err := x.begin(ctx, a); err != nil {
			return err
		}
	}
	if a.in.size < int64(len(a.early)) {
		return a.in.write(a.early[a.in.size:])
	}
	if a.in.size > a.offer.SealedLength {
		return errDamaged
	}
	return nil
}

// restart gives up what came before: the sender began anew, or it is damaged.
func (x *Exchange) restart(ctx context.Context, a *arrival) error {
	if a.in == nil {
		a.in = &incoming{file: a.row.Payload, written: true, feed: closedPipe()}
	}
	a.row = Transfer{}
	return x.discard(ctx, a)
}

func closedPipe() *io.PipeWriter {
	_, w := io.Pipe()
	return w
}

// begin makes a file for the payload, and a row if more is to come than went
// along with the offer: a small payload becomes durable as a whole, or not.
func (x *Exchange) begin(ctx context.Context, a *arrival) error {
	if free, err := x.Files.Free(); err != nil || free < a.offer.SealedLength {
		return errors.Join(err, record.Errorf(record.Full, "no room for %d bytes", a.offer.SealedLength))
	}
	file := blobstore.NewFileID()
	part, err := x.Files.Create(file)
	if err != nil {
		return err
	}
	a.in = newIncoming(file, part, a.offer.BodyNonce, a.key)
	if int64(len(a.early)) == a.offer.SealedLength {
		return nil
	}
	x.at(BeforeReceiving)
	unknown, err := x.update(ctx, func(tx blobstore.Tx) error {
		return x.incomingRow(a, Receiving).create(tx)
	})
	if unknown {
		a.unsettled()
	}
	if err != nil {
		return err
	}
	// At this point a restart knows the partial file.
	x.at(AfterReceiving)
	a.in.written = true
	return nil
}

func (x *Exchange) incomingRow(a *arrival, s State) Transfer {
	now := x.Now().UnixMilli()
	size, err := crypto.PlainLength(a.offer.SealedLength)
	if err != nil {
		size = 0 // the offer was checked
	}
	return Transfer{
		ID: a.offer.ID, Direction: In, Partner: a.from.Org, Kind: record.Document, Size: size, State: s,
		Created: now, Updated: now, Payload: a.in.file, SealedLength: a.offer.SealedLength, BodyNonce: a.offer.BodyNonce,
	}
}

// takeBody takes the rest of the sealed bytes up to the empty frame.
func (x *Exchange) takeBody(a *arrival) error {
	x.flight.add(a.prog, int64(len(a.early)), a.in.size)
	for {
		t, content, err := a.next()
		if err != nil {
			return linkError(err)
		}
		if t != frameBody {
			return record.Errorf(record.Invalid, "a frame of type %d in a body", t)
		}
		if len(content) == 0 {
			break
		}
		if a.in.size+int64(len(content)) > a.offer.SealedLength {
			return record.Errorf(record.Invalid, "the body is longer than announced")
		}
		if err := a.in.write(content); err != nil {
			return err
		}
		x.flight.add(a.prog, int64(frameHeader+len(content)), a.in.size)
	}
	if a.in.size != a.offer.SealedLength {
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

// verified is a payload that holds in every respect.
type verified struct {
	manifest record.Signed[record.Manifest]
	opening  record.Opening
	raw      []byte // the opening's bytes
}

// verify checks manifest and opening against each other, the parties, and
// what actually came.
func (x *Exchange) verify(ctx context.Context, a *arrival, c closing) (verified, error) {
	var v verified
	o := a.in.finish()
	if o.err != nil {
		return v, o.err
	}
	var err error
	if v.manifest, err = x.openManifest(ctx, a.from.Org, c.Manifest); err != nil {
		return v, err
	}
	packed, err := crypto.OpenOpenings(a.key, c.Openings)
	if err != nil {
		return v, record.Errorf(record.Invalid, "the openings don't open: %w", err)
	}
	list, err := unpackOpenings(packed)
	if err != nil {
		return v, err
	}
	if len(list) != 1 {
		return v, record.Errorf(record.Invalid, "%d openings for a document", len(list))
	}
	v.raw = list[0]
	if v.opening, err = record.ParseOpening(v.raw); err != nil {
		return v, err
	}
	return v, v.check(a, o)
}

// check compares what is signed with what came.
func (v verified) check(a *arrival, o opened) error {
	m := v.manifest.Body
	switch {
	case m.Lane != record.LaneDoc || m.Items != 1:
		return record.Errorf(record.Invalid, "the manifest is not of a document")
	case m.SealedLength != a.in.size || m.BodyNonce != a.offer.BodyNonce:
		return record.Errorf(record.Invalid, "the manifest is of another body")
	case m.Root != record.TreeRoot([]record.Hash{record.LeafHash(v.raw)}):
		return record.Errorf(record.Invalid, "the opening is not of this manifest")
	case v.opening.Transfer != a.offer.ID || v.opening.Index != 0 || v.opening.Kind != record.Document:
		return record.Errorf(record.Invalid, "the opening is of another transfer")
	case v.opening.Length != o.length || v.opening.Digest != o.digest:
		return record.Errorf(record.Invalid, "the document is not the one that was signed")
	}
	return nil
}

// openManifest verifies a manifest from the partner to us.
func (x *Exchange) openManifest(ctx context.Context, from record.OrgID, e record.Envelope) (record.Signed[record.Manifest], error) {
	var none record.Signed[record.Manifest]
	_, cardID, err := record.SignerOf(e)
	if err != nil {
		return none, err
	}
	card, err := x.Book.Card(ctx, cardID)
	if record.KindOf(err) == record.NotFound {
		return none, refuseForNow(reasonCard) // its hello will bring it
	}
	if err != nil {
		return none, err
	}
	m, err := record.OpenManifest(e, card)
	if err != nil {
		return none, err
	}
	if m.Body.Org != from || m.Body.Recipient != x.Keys.Org() {
		return none, record.Errorf(record.Invalid, "the manifest is not from this partner to us")
	}
	own, err := x.Book.Card(ctx, m.Body.RecipientCard)
	if err != nil && record.KindOf(err) != record.NotFound {
		return none, err
	}
	if err != nil || own.Body.Org != x.Keys.Org() {
		return none, record.Errorf(record.Invalid, "the manifest names a card that is not ours")
	}
	return m, nil
}

// received commits the payload and then writes all of C1': the row, the
// opening, the file key, the manifest, the signed receipt and its leaf.
func (x *Exchange) received(ctx context.Context, a *arrival, v verified) (record.Envelope, error) {
	x.at(BeforeStored)
	if err := a.in.commit(); err != nil {
		return record.Envelope{}, err
	}
	receipt, err := x.Keys.SignReceipt(record.Receipt{
		Header:   record.Header{Card: x.Book.Self().ID(), Created: x.Now().UnixMilli()},
		Sender:   a.from.Org,
		Manifest: v.manifest.ID(),
		Entries:  []record.Entry{{Status: record.StatusReceived}},
	})
	if err != nil {
		return record.Envelope{}, err
	}
	x.at(BeforeReceived)
	unknown, err := x.update(ctx, func(tx blobstore.Tx) error {
		if err := partner.Require(tx, a.from.Org, x.Now()); err != nil {
			return err
		}
		return x.putReceived(tx, a, v, receipt.Envelope)
	})
	if unknown {
		a.unsettled()
	}
	if err != nil {
		return record.Envelope{}, err
	}
	// At this point the document is received; a crash after this sends the same
	// receipt when the sender asks again.
	x.at(AfterReceived)
	return receipt.Envelope, nil
}

func (x *Exchange) putReceived(tx blobstore.Tx, a *arrival, v verified, receipt record.Envelope) error {
	if _, err := tx.Get(voidedKey(tx, a.from.Org, v.manifest.ID())); record.KindOf(err) != record.NotFound {
		return errors.Join(err, refuse(reasonCancelled))
	}
	if err := x.checkNumber(tx, v.manifest); err != nil {
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
	}
	t.Name, t.MediaType, t.Size, t.Digest = v.opening.Name, v.opening.MediaType, v.opening.Length, v.opening.Digest
	t.Record, t.WireBytes = v.manifest.ID(), a.prog.wire
	if err := tx.Set(recordKey(t.ID), v.manifest.Bytes()); err != nil {
		return err
	}
	if err := tx.Set(byRecordKey(tx, v.manifest.ID()), t.ID[:]); err != nil {
		return err
	}
	if err := tx.Set(openingKey(t.ID), v.raw); err != nil {
		return err
	}
	if err := tx.Set(keyKey(t.ID), x.Keys.WrapFileKey(a.key, t.ID[:])); err != nil {
		return err
	}
	if err := x.putReceipt(tx, t, receipt); err != nil {
		return err
	}
	if err := queue.Add(tx, receipt.ID(), receipt.Leaf()); err != nil {
		return err
	}
	if a.in.written {
		return t.put(tx)
	}
	return t.create(tx)
}

// checkNumber notes the manifest's number, and refuses a second record with it.
func (x *Exchange) checkNumber(tx blobstore.Tx, m record.Signed[record.Manifest]) error {
	n, id := m.Body.Number, m.ID()
	key := orgKey(tx, prefixNumber, m.Body.Org) + blobstore.Key(n.Lane) + "/" + blobstore.Key(n.Epoch[:]) + bigEndian(n.Sequence)
	known, err := tx.Get(key)
	if record.KindOf(err) == record.NotFound {
		return tx.Set(key, id[:])
	}
	if err == nil && !bytes.Equal(known, id[:]) {
		x.Log.Error("alarm: a partner signed two records with one number", "epoch", n.Epoch, "sequence", n.Sequence)
		return record.Errorf(record.Conflict, "two records with one number")
	}
	return err
}
