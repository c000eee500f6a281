package exchange

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"dxd/blobstore"
	"dxd/record"
)

// The numbers that a partner gives. Each stands for one manifest, delivered or
// voided, and is noted in the update that makes it durable here.

// tail is what is here of a partner's numbers in a lane, in the epoch that it
// began last.
type tail struct {
	Epoch    record.Epoch    `json:"epoch,omitzero"` // zero: nothing yet
	Sequence int64           `json:"sequence"`       // the highest that is here
	Complete int64           `json:"complete"`       // all up to here are
	Record   record.RecordID `json:"record,omitzero"`
	Stopped  bool            `json:"stopped,omitzero"` // two records with one number: nothing is taken
	Missing  span            `json:"missing,omitzero"` // that the partner says we had: as people were told
	Left     record.Epoch    `json:"left,omitzero"`    // that the partner turned its back on: as people were told
}

// span is some numbers of an epoch.
type span struct {
	Epoch record.Epoch `json:"epoch"`
	First int64        `json:"first"`
	Last  int64        `json:"last"`
}

func tailKey(tx blobstore.ReadTx, org record.OrgID, lane record.Lane) blobstore.Key {
	return orgKey(tx, prefixTail, org) + blobstore.Key(lane)
}

func tailOf(tx blobstore.ReadTx, org record.OrgID, lane record.Lane) (tail, error) {
	var t tail
	raw, err := tx.Get(tailKey(tx, org, lane))
	if record.KindOf(err) == record.NotFound {
		return t, nil
	}
	if err != nil {
		return t, err
	}
	if err := record.Load(raw, &t); err != nil {
		return t, record.Errorf(record.Damaged, "what came in a lane: %w", err)
	}
	return t, nil
}

func (t tail) put(tx blobstore.Tx, org record.OrgID, lane record.Lane) error {
	raw, err := record.Marshal(t)
	if err != nil {
		return err
	}
	return tx.Set(tailKey(tx, org, lane), raw)
}

// head is the tail as the partner is told of it.
func (t tail) head(tx blobstore.ReadTx, org record.OrgID, lane record.Lane) (record.ReceivedHead, error) {
	h := record.ReceivedHead{Epoch: t.Epoch, Lane: lane, Sequence: t.Sequence, Complete: t.Complete, Record: t.Record}
	if t.Complete == t.Sequence {
		return h, nil
	}
	prefix := epochKey(tx, prefixNumber, org, record.Number{Epoch: t.Epoch, Lane: lane})
	for e, err := range tx.Scan(prefix, prefix+bigEndian(t.Complete+1), false) {
		if err != nil {
			return h, err
		}
		h.Next = sequenceOf(e.Key)
		break
	}
	return h, nil
}

// errStopped refuses what comes in a lane that is stopped.
func errStopped() error { return refuseForNow(reasonNumber) }

// mayCome refuses what is offered in a lane that is stopped.
func mayCome(tx blobstore.ReadTx, org record.OrgID, lane record.Lane) error {
	t, err := tailOf(tx, org, lane)
	if err == nil && t.Stopped {
		err = errStopped()
	}
	return err
}

// note takes down that a partner's number stands for this manifest. A second
// manifest with the number is a contradiction, which stops the lane.
func (x *Exchange) note(tx blobstore.Tx, org record.OrgID, n record.Number, manifest record.RecordID) error {
	t, err := tailOf(tx, org, n.Lane)
	if err != nil {
		return err
	}
	if t.Stopped {
		return errStopped()
	}
	key := epochKey(tx, prefixNumber, org, n) + bigEndian(n.Sequence)
	known, err := tx.Get(key)
	switch {
	case err == nil && !bytes.Equal(known, manifest[:]):
		return clash(n, record.RecordID(known), manifest)
	case record.KindOf(err) != record.NotFound:
		return err // nil: it is noted
	}
	late, err := isLate(tx, org, n, t)
	if err != nil {
		return err
	}
	if err := tx.Set(key, manifest[:]); late || err != nil {
		return err
	}
	if t.Epoch != n.Epoch {
		if t, err = x.turn(tx, org, n, t); err != nil {
			return err
		}
	}
	if n.Sequence > t.Sequence {
		t.Sequence, t.Record = n.Sequence, manifest
	}
	if n.Sequence == t.Complete+1 {
		t.Complete, err = completeFrom(tx, org, n, t.Sequence)
	} else {
		err = joinRuns(tx, org, n)
	}
	if err != nil {
		return err
	}
	return t.put(tx, org, n.Lane)
}

// clash is the contradiction of two manifests with one number.
func clash(n record.Number, known, manifest record.RecordID) error {
	text := fmt.Sprintf("a partner signed two records with the number %d (%s): %s and %s; nothing more is taken from it in this lane",
		n.Sequence, laneText(n.Lane, n.Epoch), known, manifest)
	return stopping(n.Lane, text)
}

// isLate tells whether the number is of an epoch that its sender has left.
func isLate(tx blobstore.ReadTx, org record.OrgID, n record.Number, t tail) (bool, error) {
	if n.Epoch == t.Epoch {
		return false, nil
	}
	return knowsEpoch(tx, org, n)
}

// knowsEpoch tells whether some number of this epoch was noted.
func knowsEpoch(tx blobstore.ReadTx, org record.OrgID, n record.Number) (bool, error) {
	for _, err := range tx.Scan(epochKey(tx, prefixNumber, org, n), "", false) {
		return err == nil, err
	}
	return false, nil
}

// turn begins another epoch of a partner's. All but the first are a sign that
// its state was put back.
func (x *Exchange) turn(tx blobstore.Tx, org record.OrgID, n record.Number, t tail) (tail, error) {
	next := tail{Epoch: n.Epoch, Missing: t.Missing, Left: t.Left}
	if t.Epoch.IsZero() || t.Left == t.Epoch {
		return next, nil
	}
	next.Left = t.Epoch
	return next, x.alarm(tx, org, record.TransferID{}, leftText(n.Lane, t.Epoch, t.Sequence))
}

// leftText tells that a partner left an epoch.
func leftText(lane record.Lane, e record.Epoch, sequence int64) string {
	return fmt.Sprintf("a partner does not go on from its number %d (%s), which is here: its state was put back to an older copy; what it sends from now on is numbered in another epoch",
		sequence, laneText(lane, e))
}

func laneText(lane record.Lane, e record.Epoch) string {
	return fmt.Sprintf("lane %s, epoch %s", lane, e)
}

// completeFrom says up to where all numbers are noted from this one on, where
// highest is the highest of them. It takes one step for each run.
func completeFrom(tx blobstore.Tx, org record.OrgID, n record.Number, highest int64) (int64, error) {
	last := n.Sequence
	for last < highest {
		n.Sequence = last + 1
		end, err := takeRun(tx, org, n)
		if record.KindOf(err) == record.NotFound { // or it was noted before there were runs
			_, err = tx.Get(epochKey(tx, prefixNumber, org, n) + bigEndian(n.Sequence))
			end = n.Sequence
		}
		if record.KindOf(err) == record.NotFound {
			break
		}
		if err != nil {
			return 0, err
		}
		last = end
	}
	return last, nil
}

// Numbers behind a gap are kept as runs, which have none. Each of the two ends
// of a run names the other one: so a gap is closed in a few steps, however much
// came behind it.

// joinRuns makes a run of a number behind a gap and of the runs beside it.
func joinRuns(tx blobstore.Tx, org record.OrgID, n record.Number) error {
	first, err := takeBeside(tx, org, n, -1)
	if err != nil {
		return err
	}
	last, err := takeBeside(tx, org, n, 1)
	if err != nil {
		return err
	}
	if err := tx.Set(runKey(tx, org, first), []byte(bigEndian(last.Sequence))); err != nil {
		return err
	}
	return tx.Set(runKey(tx, org, last), []byte(bigEndian(first.Sequence)))
}

// takeBeside removes the run on one side of a number, and gives its far end;
// the number itself if there is none.
func takeBeside(tx blobstore.Tx, org record.OrgID, n record.Number, step int64) (far record.Number, err error) {
	far = n
	n.Sequence += step
	end, err := takeRun(tx, org, n)
	if record.KindOf(err) == record.NotFound {
		return far, nil
	}
	far.Sequence = end
	return far, err
}

// takeRun removes the run that has an end here, and gives its other end;
// NotFound if there is none.
func takeRun(tx blobstore.Tx, org record.OrgID, n record.Number) (end int64, err error) {
	key := runKey(tx, org, n)
	raw, err := tx.Get(key)
	if err != nil {
		return 0, err
	}
	if len(raw) != 8 {
		return 0, record.Errorf(record.Damaged, "a run of numbers is cut off")
	}
	if err := tx.Delete(key); err != nil {
		return 0, err
	}
	n.Sequence = int64(binary.BigEndian.Uint64(raw))
	return n.Sequence, tx.Delete(runKey(tx, org, n))
}

func runKey(tx blobstore.ReadTx, org record.OrgID, n record.Number) blobstore.Key {
	return epochKey(tx, prefixRun, org, n) + bigEndian(n.Sequence)
}

// stopLane takes nothing more of a partner's in a lane, until it is resumed.
func stopLane(tx blobstore.Tx, org record.OrgID, lane record.Lane) error {
	t, err := tailOf(tx, org, lane)
	if err != nil {
		return err
	}
	t.Stopped = true
	return t.put(tx, org, lane)
}

// errHeld says that nothing can be sent in a lane until people have looked.
var errHeld = record.Errorf(record.Refused, "%w: one of our numbers stands for two records there", errAway)

// hold sends nothing more in a lane, since the partner says that one of its
// numbers stands for two records. The transfers wait.
func (x *Exchange) hold(ctx context.Context, org record.OrgID, lane record.Lane, transfer record.TransferID) error {
	return x.Journal.Update(ctx, func(tx blobstore.Tx) error {
		h, err := headOf(tx, org, lane)
		if err != nil || h.Held {
			return err
		}
		h.Held = true
		if err := x.alarm(tx, org, transfer, fmt.Sprintf("a partner says that one of our numbers stands for two records (%s); nothing more is sent to it in this lane",
			laneText(lane, h.Epoch))); err != nil {
			return err
		}
		return h.put(tx, org)
	})
}

// isHeld tells whether nothing is to be sent in the lane.
func (x *Exchange) isHeld(ctx context.Context, org record.OrgID, lane record.Lane) (held bool, err error) {
	err = x.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		h, err := headOf(tx, org, lane)
		held = h.Held
		return err
	})
	return held, err
}

// Resume lets the partner's lanes go on that were stopped over a number, in
// both directions; it belongs into the update that resumes the partner. Ours
// go on in another epoch: whatever happened, it does not happen again.
func (x *Exchange) Resume(tx blobstore.Tx, org record.OrgID) error {
	for _, lane := range lanes {
		t, err := tailOf(tx, org, lane)
		if err != nil {
			return err
		}
		if t.Stopped {
			t.Stopped = false
			if err := t.put(tx, org, lane); err != nil {
				return err
			}
		}
		h, err := headOf(tx, org, lane)
		if err != nil {
			return err
		}
		if h.Held {
			if _, err := newEpoch(tx, org, h, h.Record); err != nil {
				return err
			}
		}
	}
	return nil
}

// lanes are both, in the order of their names.
var lanes = [...]record.Lane{record.LaneDoc, record.LaneMsg}
