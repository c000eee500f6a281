package exchange

import (
	"context"
	"errors"

	"dxd/blobstore"
	"dxd/partner"
	"dxd/record"
)

// errLater says that a partner takes no message for now.
var errLater = record.Errorf(record.Unavailable, "the partner takes messages later")

// idle tells whether a message to the partner can be on its way at once:
// nothing is on its way or waits before it, and the partner was there when it
// was last looked for. If it is gone since, nothing is lost but that the
// message waits alone in its bundle.
func (x *Exchange) idle(tx blobstore.ReadTx, org record.OrgID) (bool, error) {
	w := x.outbox.find(org, msgWork)
	if w == nil {
		return false, nil
	}
	head, free := w.lane()
	if !free {
		return false, nil // without a look at the queue, whose deleted places cost
	}
	for _, err := range tx.Scan(laneKey(tx, prefixQueue, org, record.LaneMsg), head, false) {
		return false, err
	}
	return true, nil
}

// deliverInOrder delivers what waits in the partner's lane of messages, one
// payload at a time: the next one moves only once the one before it has ended,
// in a receipt or in a void. So whatever else goes wrong stops the lane until
// its pause is over.
func (x *Exchange) deliverInOrder(ctx context.Context, p partner.Partner, self *worker) error {
	defer self.rests()
	for {
		head, _ := self.lane()
		t, key, err := x.nextWaiting(ctx, p.Org, record.LaneMsg, head, none)
		if key == "" {
			self.takeReady(record.TransferID{}) // of a submission that failed
			return err
		}
		self.begins(key)
		if err == nil {
			err = x.deliverHead(ctx, p, t, self)
		} else {
			err = x.passOver(ctx, p.Org, key, err)
		}
		self.found(err == nil)
		if err != nil {
			return err
		}
		self.passes()
		if p, err = x.Book.ByOrg(p.Org); err != nil || p.State != partner.Active {
			return nil
		}
	}
}

// deliverHead delivers what stands at the head of the lane, or ends it.
func (x *Exchange) deliverHead(ctx context.Context, p partner.Partner, t Transfer, self *worker) error {
	defer x.roads.enter()()
	ready := self.takeReady(t.ID)
	if x.Now().UnixMilli() >= t.Expires {
		return x.giveUp(ctx, t.ID, Failed, reasonExpired)
	}
	var err error
	if t.Record.IsZero() {
		err = x.deliverNew(ctx, p, &t, self)
	} else {
		err = x.deliver(ctx, p, t, ready)
	}
	var r *refusedError
	switch {
	case errors.As(err, &r) && !r.Retry:
		return x.giveUp(ctx, t.ID, Failed, knownReason(r.Reason))
	case errors.As(err, &r):
		x.Log.Info("a partner takes messages later", "transfer", t.ID, "reason", record.Printable(r.Reason, 80))
		return errLater
	}
	return err
}

// deliverNew numbers what waits at the head of the lane once a stream to the
// partner is up, so that as much as possible travels together, and delivers it.
func (x *Exchange) deliverNew(ctx context.Context, p partner.Partner, t *Transfer, self *worker) error {
	stream, err := x.openTransfer(ctx, p)
	if err != nil {
		return err
	}
	c, b, err := x.commit(ctx, p, *t, self)
	if err != nil || c.ID.IsZero() {
		stream.Reset()
		return err
	}
	*t = c
	parcel, err := x.packOr(ctx, p, c, b)
	if err != nil {
		stream.Reset()
		return x.unsendable(ctx, c, err)
	}
	defer closeQuietly(parcel.file)
	return x.deliverOver(ctx, stream, parcel)
}

// commit is Cb: the carrier that it makes of what waits from t on is numbered
// and signed before a byte of it is sent, so that a retry sends the same. It is
// zero if t ended instead. b is what it was made of, if it is a bundle.
func (x *Exchange) commit(ctx context.Context, p partner.Partner, t Transfer, self *worker) (c Transfer, b *bundle, err error) {
	if err := x.maySign(); err != nil {
		return c, nil, err
	}
	if t.small() {
		head, _ := self.lane()
		if b, err = x.gather(ctx, p.Org, head); err != nil {
			return c, nil, x.unsendable(ctx, t, err)
		}
		if len(b.members) == 0 {
			return c, nil, nil // t is no longer the head
		}
		b.sealHeader(p)
	}
	x.at(BeforeBundled)
	err = x.Journal.Update(ctx, func(tx blobstore.Tx) (err error) {
		if b == nil {
			c, err = x.numberLarge(tx, t.ID, p)
			return err
		}
		err = x.putBundle(tx, b, p)
		c = b.row
		return err
	})
	if errors.Is(err, errTaken) {
		return Transfer{}, nil, nil // and the next look at the queue finds what is left
	}
	if err != nil {
		return Transfer{}, nil, err
	}
	// At this point the payload has its number; a crash after this delivers it
	// as it is.
	x.at(AfterBundled)
	if b != nil {
		self.reaches(b.places[len(b.places)-1])
	}
	return c, b, nil
}

// numberLarge is Cb of a message that travels alone. It is zero if the message
// ended meanwhile.
func (x *Exchange) numberLarge(tx blobstore.Tx, id record.TransferID, p partner.Partner) (Transfer, error) {
	t, err := getTransfer(tx, id)
	if err != nil || t.State != Queued {
		return Transfer{}, err
	}
	if err := x.numberAlone(tx, &t, p); err != nil {
		return Transfer{}, err
	}
	return t, t.put(tx)
}

// passOver takes out of the lane what can't even be read: it must not hold up
// the rest for ever.
func (x *Exchange) passOver(ctx context.Context, org record.OrgID, key blobstore.Key, err error) error {
	switch record.KindOf(err) {
	case record.NotFound, record.Damaged:
		x.logFailure(org, msgWork, err)
		return x.Journal.Update(ctx, func(tx blobstore.Tx) error { return tx.Delete(key) })
	}
	return err
}
