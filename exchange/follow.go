package exchange

import (
	"context"
	"errors"
	"time"

	"dxd/crypto"
	"dxd/partner"
	"dxd/record"
)

// follower sends a document to one recipient while it is still being read.
type follower struct {
	x     *Exchange
	spool *spool
	org   record.OrgID
	id    record.TransferID
	key   crypto.FileKey
	nonce record.BodyNonce
	wire  int64 // went over it in attempts that failed
}

// run follows until the transfer is delivered, given up, or the ordinary
// worker's.
func (f *follower) run(ctx context.Context) {
	defer f.leave()
	defer context.AfterFunc(ctx, func() { f.spool.settle(givenUp) })()
	if f.await(func(size int64) bool { return size >= maxEarly }) != undecided {
		return // it is small, and takes the ordinary way
	}
	if f.follow(ctx) || f.await(neverEnough) != promised {
		return
	}
	if err := f.x.countWire(ctx, f.id, &progress{wire: f.wire}); err != nil && ctx.Err() == nil {
		f.x.Log.Error("couldn't count what went over the wire", "transfer", f.id, "error", err)
	}
}

// follow sends the document as it comes, until it is delivered or can't be
// sent this way any more. A cut link is opened anew; a recipient that says no
// is asked again by the worker, behind C1: by then there is a transfer that
// can take the answer.
func (f *follower) follow(ctx context.Context) (delivered bool) {
	for pause := f.x.Retry.pauses(); ; {
		err := f.attempt(ctx)
		switch {
		case err == nil:
			return true
		case errors.Is(err, errDecided), errors.Is(err, errGivenUp):
			return false
		}
		f.x.logFailure(f.org, docWork, err)
		if !isOfLink(err) || f.sleep(pause.NextBackOff()) != undecided {
			return false
		}
	}
}

// leave hands the transfer to the ordinary worker, if there is one.
func (f *follower) leave() {
	f.spool.letGo()
	f.x.relays.leave(f.id)
	f.x.wake(f.org, docWork)
}

// await returns once there is enough of the document, or its fate is decided.
func (f *follower) await(enough func(size int64) bool) fate {
	for {
		size, fate, changed := f.spool.look()
		if fate != undecided || enough(size) {
			return fate
		}
		<-changed
	}
}

func neverEnough(int64) bool { return false }

// sleep is over after a while, or once the document's fate is decided.
func (f *follower) sleep(d time.Duration) fate {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		_, fate, changed := f.spool.look()
		if fate != undecided {
			return fate
		}
		select {
		case <-changed:
		case <-timer.C:
			return undecided
		}
	}
}

// isOfLink tells whether an attempt failed by no fault of what was sent or
// said, so that another one is worth its while.
func isOfLink(err error) bool {
	var r *refusedError
	if errors.As(err, &r) {
		return false
	}
	switch record.KindOf(err) {
	case record.Invalid, record.Damaged, record.Conflict, record.Refused:
		return false
	}
	return true
}

// attempt sends the document over one stream. If its fate is decided before
// there is one, nothing is sent.
func (f *follower) attempt(ctx context.Context) error {
	to, err := f.recipient(ctx)
	if err != nil {
		return err
	}
	c, err := f.parcel(to)
	if err != nil {
		return err
	}
	stream, err := f.x.open(ctx, to, ProtocolTransfer)
	if err != nil {
		return err
	}
	defer closeQuietly(stream)
	if _, fate, _ := f.spool.look(); fate != undecided {
		stream.Reset()
		return errDecided
	}
	c.complete = func() (parcel, error) { return f.complete(ctx, to) }
	return f.sendOver(ctx, stream, c)
}

// errDecided says that the document was whole, or given up, before a stream
// was there.
var errDecided = errors.New("too late to send it while it is read")

// parcel is what is known of the transfer before the document is whole.
func (f *follower) parcel(to partner.Partner) (parcel, error) {
	header, err := crypto.SealHeader(f.key, to.Card.Body.Recipients[0])
	return parcel{
		Transfer: Transfer{ID: f.id, Kind: record.Document, SealedLength: unknownLength, BodyNonce: f.nonce},
		file:     f.spool, key: f.key, header: header,
	}, err
}

// recipient is the partner, if it may be sent to now.
func (f *follower) recipient(ctx context.Context) (partner.Partner, error) {
	p, err := f.x.Book.ByOrg(f.org)
	if err != nil {
		return p, err
	}
	if p.State != partner.Active {
		return p, record.Errorf(record.Refused, "the partner is %s", p.State)
	}
	may, err := f.x.maySend(ctx, f.org, docWork)
	if err == nil && !may {
		err = record.Errorf(record.Unavailable, "the partner can't be told anything yet")
	}
	return p, err
}

// sendOver sends what there is and will be, and takes the receipt.
func (f *follower) sendOver(ctx context.Context, stream Stream, c parcel) error {
	prog, ended := f.x.flight.begin(f.id, resetter(stream))
	defer ended()
	defer context.AfterFunc(ctx, func() { f.hangUp(stream) })()
	f.x.flight.add(prog, f.wire, 0)
	receipt, err := f.x.send(newLink(stream), c, prog)
	if err != nil {
		stream.Reset()
		f.wire = prog.wire
		return err
	}
	return f.x.delivered(ctx, f.id, receipt, prog)
}

// farewell is how long a daemon that stops has to tell a recipient that the
// document which it is receiving is given up.
const farewell = 2 * time.Second

// hangUp ends the stream of a daemon that stops. What was promised goes on
// after the next start; the rest ends here, and the recipient is told.
func (f *follower) hangUp(stream Stream) {
	if f.spool.settle(givenUp) == givenUp {
		time.AfterFunc(farewell, resetter(stream))
		return
	}
	stream.Reset()
}

// complete gathers what became known of the transfer at C1.
func (f *follower) complete(ctx context.Context, to partner.Partner) (parcel, error) {
	t, err := f.x.row(ctx, f.id)
	if err != nil {
		return parcel{}, err
	}
	if t.State != Queued {
		return parcel{}, record.Errorf(record.Conflict, "the transfer is %s", t.State)
	}
	if t, err = f.x.renew(ctx, to, t); err != nil {
		return parcel{}, err
	}
	c, err := f.x.pack(ctx, to, t)
	if err == nil {
		closeQuietly(c.file)
	}
	return c, err
}

// sendGrowing sends what comes of a document while it is read, and the closing
// once C1 has passed. Where nothing comes for a while, it says so.
func (x *Exchange) sendGrowing(l *link, c parcel, at int64, prog *progress, replies chan reply) error {
	breath := time.NewTicker(stallTimeout / 2)
	defer breath.Stop()
	for {
		size, fate, changed := c.file.(*spool).look()
		switch {
		case fate == givenUp:
			return giveUpOver(l)
		case at < size:
			err := x.sendBody(l, c, at, size, prog, replies)
			if err == nil {
				at = size
			} else if !errors.Is(err, errGivenUp) { // of which the next look tells
				return err
			}
			continue
		case fate == promised:
			return sendComplete(l, c, at)
		}
		select {
		case <-changed:
		case r := <-replies:
			replies <- r // whoever waits for it reads it again
			return tooSoon(r)
		case <-breath.C:
			l.buffer(0)
			if err := l.flush(frameWait, 0); err != nil {
				return err
			}
		}
	}
}

// tooSoon is what is wrong with a reply that came before the document's end.
func tooSoon(r reply) error {
	if r.err == nil {
		return record.Errorf(record.Invalid, "a receipt before the document was whole")
	}
	return r.err
}

// sendComplete closes the body with what C1 has settled.
func sendComplete(l *link, c parcel, at int64) error {
	whole, err := c.complete()
	if err != nil {
		return err
	}
	if whole.SealedLength != at {
		return record.Errorf(record.Damaged, "the sealed file has %d bytes, not %d", at, whole.SealedLength)
	}
	return sendClosing(l, whole)
}

// giveUpOver tells the recipient that the document will never be whole, and
// gives it the time to hear that.
func giveUpOver(l *link) error {
	if err := l.send(frameRefusal, refusal{Reason: reasonCancelled}); err != nil {
		return err
	}
	if err := l.CloseWrite(); err != nil {
		return err
	}
	if err := l.SetReadDeadline(time.Now().Add(lastWords)); err != nil {
		return err
	}
	return errGivenUp
}
