package exchange

import (
	"context"
	"errors"

	"dxd/blobstore"
	"dxd/record"
)

// A body may come in that its sender is still sealing: its length is told by
// its end. Until its closing nothing is signed, and the sender may give it up.

// errAborted says that the sender gave up what it was sending.
var errAborted = errors.New("the sender gave the document up before it was whole")

// grows tells whether the body's length is not known yet.
func (o offer) grows() bool { return o.SealedLength == unknownLength }

// checkGrowing is the part of check for a body whose length is not known: only
// a document's, and only one that is larger than what goes along.
func (o offer) checkGrowing() error {
	if o.Lane != record.LaneDoc || o.Alone {
		return record.Errorf(record.Invalid, "an offer without a length in lane %q", o.Lane)
	}
	if o.Early != maxEarly {
		return record.Errorf(record.Invalid, "an offer with %d early bytes", o.Early)
	}
	return nil
}

// nextOfBody takes the next piece of a body, an empty one at its end.
func (a *arrival) nextOfBody() ([]byte, error) {
	for {
		t, content, err := a.next()
		switch {
		case err != nil:
			return nil, linkError(err)
		case t == frameBody:
			return content, nil
		case t == frameRefusal && a.offer.grows():
			return nil, errAborted
		case t != frameWait || !a.offer.grows() || len(content) != 0:
			return nil, record.Errorf(record.Invalid, "a frame of type %d in a body", t)
		}
	}
}

// readClosing takes what stands behind a body.
func (a *arrival) readClosing(c *closing) error {
	t, content, err := a.next()
	switch {
	case err != nil:
		return linkError(err)
	case t == frameClosing:
		return decodeFrame(content, c)
	case t == frameRefusal && a.offer.grows():
		return errAborted
	}
	return record.Errorf(record.Invalid, "a frame of type %d where a closing was due", t)
}

// learnLength notes the length of a body that had none when it was offered
// before: from now on it is one like any other.
func (x *Exchange) learnLength(ctx context.Context, a *arrival) error {
	if a.row.SealedLength != unknownLength || a.offer.grows() {
		return nil
	}
	if err := x.hasSpace(a.offer.SealedLength - a.in.size); err != nil {
		return err
	}
	return x.Journal.Update(ctx, func(tx blobstore.Tx) error {
		t, err := getTransfer(tx, a.offer.ID)
		if err != nil || t.State != Receiving {
			return err
		}
		if err := t.unshelve(tx); err != nil {
			return err
		}
		before, told := t, x.incomingRow(a, Receiving)
		t.Size, t.SealedLength, t.Reserved = told.Size, told.SealedLength, 0
		if err := recharge(tx, before, t); err != nil {
			return err
		}
		if err := x.hasRoom(tx, t); err != nil {
			return err
		}
		t.Expires = x.Now().Add(t.keptOpen()).UnixMilli()
		if err := t.shelve(tx); err != nil {
			return err
		}
		return t.put(tx)
	})
}
