package exchange

import (
	"context"
	"fmt"
	"io"
	"time"

	"dxd/blobstore"
	"dxd/record"
)

// The scheduled check reads every payload that is kept, opens it, and compares
// it with what was signed: a disk forgets quietly, and nobody else looks at a
// document for years. It goes through the transfers in the order of their ids,
// at a pace that leaves the disk to others, and goes on after a restart where
// it was.

// Checking says how payloads that are kept are checked.
type Checking struct {
	Every time.Duration // from the beginning of one round to that of the next; 0: never
	Pace  int64         // bytes a second; 0: as fast as it goes
}

// Round is how far the check is.
type Round struct {
	Begun    int64             `json:"begun"`       // ms since 1970; of this round, or of the last if none is under way
	At       record.TransferID `json:"at,omitzero"` // the last transfer that was looked at; zero if no round is under way
	Payloads int64             `json:"payloads"`
	Bytes    int64             `json:"bytes"`
	Damaged  int64             `json:"damaged"`
	Last     *Round            `json:"last,omitzero"` // the last one that came to its end
	Ended    int64             `json:"ended,omitzero"`
}

const (
	keyRound     blobstore.Key = "x/check"
	prefixBroken blobstore.Key = "x/4/" // <transfer>: when its payload was first found damaged
)

const (
	checkPage  = 64               // transfers that are looked at in one view
	checkBlock = 256 << 10        // bytes between two pauses
	checkLeast = 4 << 10          // bytes for which the smallest payload counts
	checkRetry = 10 * time.Minute // after a failure of the journal
)

// check runs rounds until ctx ends.
func (x *Exchange) check(ctx context.Context) {
	if x.Checking.Every <= 0 {
		return
	}
	for ctx.Err() == nil {
		wait, err := x.nextRound(ctx)
		if err == nil && wait <= 0 {
			err = x.round(ctx)
		}
		if err != nil && ctx.Err() == nil {
			x.Log.Error("couldn't check the payloads that are kept", "error", err)
			wait = checkRetry
		}
		pause(ctx, wait)
	}
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// nextRound says how long it is until a round has to begin, or to go on.
func (x *Exchange) nextRound(ctx context.Context) (time.Duration, error) {
	r, err := x.Round(ctx)
	if err != nil || !r.At.IsZero() || r.Begun == 0 {
		return 0, err
	}
	wait := time.UnixMilli(r.Begun).Add(x.Checking.Every).Sub(x.Now())
	if wait > x.Checking.Every {
		wait = 0 // the clock was set back, and nobody knows when it was
	}
	return wait, nil
}

// Round tells how far the check is; the zero Round if none ever began.
func (x *Exchange) Round(ctx context.Context) (r Round, err error) {
	err = x.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		r = Round{}
		raw, err := tx.Get(keyRound)
		if record.KindOf(err) == record.NotFound {
			return nil
		}
		if err != nil {
			return err
		}
		if err := record.Load(raw, &r); err != nil {
			return record.Errorf(record.Damaged, "the state of the check: %w", err)
		}
		return nil
	})
	return r, err
}

// Broken lists transfers whose payload was found damaged, at most so many.
func (x *Exchange) Broken(ctx context.Context, limit int) (ids []record.TransferID, err error) {
	err = x.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		ids = nil
		for e, err := range tx.Scan(prefixBroken, "", false) {
			if err != nil || len(ids) == limit {
				return err
			}
			ids = append(ids, idIn(e.Key))
		}
		return nil
	})
	return ids, err
}

// round goes through what is kept, from where the last process was.
func (x *Exchange) round(ctx context.Context) error {
	r, err := x.Round(ctx)
	if err != nil {
		return err
	}
	if r.At.IsZero() {
		r = Round{Begun: x.Now().UnixMilli(), Last: r.finished()}
	}
	for {
		page, err := x.checkable(ctx, r.At)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		for _, id := range page {
			if err := x.checkOne(ctx, id, &r); err != nil {
				return err
			}
		}
		if err := x.keepRound(ctx, r); err != nil {
			return err
		}
	}
	r.At, r.Ended = record.TransferID{}, x.Now().UnixMilli()
	x.Log.Info("checked the payloads that are kept", "payloads", r.Payloads, "bytes", r.Bytes, "damaged", r.Damaged)
	return x.keepRound(ctx, r)
}

// finished is the last round that came to its end, as the next remembers it.
func (r Round) finished() *Round {
	if r.Ended == 0 {
		return r.Last
	}
	r.Last = nil
	return &r
}

func (x *Exchange) keepRound(ctx context.Context, r Round) error {
	raw, err := record.Marshal(r)
	if err != nil {
		return err
	}
	return x.Journal.Update(ctx, func(tx blobstore.Tx) error { return tx.Set(keyRound, raw) })
}

// checkable lists the next transfers behind one.
func (x *Exchange) checkable(ctx context.Context, behindID record.TransferID) (page []record.TransferID, err error) {
	err = x.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		page = nil
		from := prefixRow
		if !behindID.IsZero() {
			from = behind(rowKey(behindID))
		}
		for e, err := range tx.Scan(prefixRow, from, false) {
			if err != nil {
				return err
			}
			if rest := e.Key[len(prefixRow):]; len(rest) == len(record.TransferID{}) {
				page = append(page, record.TransferID([]byte(rest)))
			}
			if len(page) == checkPage {
				return nil
			}
		}
		return nil
	})
	return page, err
}

// checkOne checks the payload of one transfer, if it has one that is here. Only
// what keeps the round from going on is an error.
func (x *Exchange) checkOne(ctx context.Context, id record.TransferID, r *Round) error {
	n, damage, err := x.inspect(ctx, id, x.Checking.Pace)
	r.At = id
	if err != nil || n < 0 {
		return err
	}
	r.Payloads++
	r.Bytes += n
	if damage != nil {
		r.Damaged++
	}
	return nil
}

// Inspect checks the payload of one transfer now, as fast as it goes. n is how
// many bytes of it were read, -1 if none is here; damage says what is amiss,
// and is known and told from then on as if the scheduled check had found it.
func (x *Exchange) Inspect(ctx context.Context, id record.TransferID) (n int64, damage, err error) {
	if _, err := x.Get(ctx, id); err != nil {
		return -1, nil, err
	}
	return x.inspect(ctx, id, 0)
}

func (x *Exchange) inspect(ctx context.Context, id record.TransferID, pace int64) (n int64, damage, err error) {
	n, err = x.readWhole(ctx, id, pace)
	switch kind := record.KindOf(err); {
	case ctx.Err() != nil:
		return n, nil, ctx.Err()
	case err == nil && n < 0:
		return n, nil, nil // there is nothing to check
	case err != nil && kind != record.Damaged && kind != record.Internal: // of which the latter is what a disk says that can't be read
		return n, nil, err
	}
	return max(n, 0), err, x.noteChecked(ctx, id, err)
}

// readWhole reads a document as whoever fetches it would; -1 if none is here.
// It lets go of what is erased meanwhile.
func (x *Exchange) readWhole(ctx context.Context, id record.TransferID, pace int64) (int64, error) {
	c, err := x.Content(ctx, id)
	switch record.KindOf(err) {
	case record.NotFound, record.Gone, record.Conflict:
		return -1, nil
	}
	if err != nil {
		return 0, err
	}
	defer closeQuietly(c)
	plain, err := c.Verified()
	if err != nil {
		return 0, err
	}
	for n := int64(0); ; {
		m, err := io.CopyN(io.Discard, plain, checkBlock)
		n += m
		if pace > 0 {
			pause(ctx, time.Duration(max(m, checkLeast)*int64(time.Second)/pace))
		}
		switch {
		case ctx.Err() != nil:
			return n, ctx.Err()
		case err == io.EOF:
			return n, nil
		case err != nil:
			return n, x.unlessErased(ctx, id, err)
		}
		if n%(16*checkBlock) < m { // some MiB on: look whether it still has to be here
			if _, _, err := x.keptContent(ctx, id); record.KindOf(err) == record.Gone {
				return -1, nil
			}
		}
	}
}

// unlessErased is nil if the document is not to be here any more: then nothing
// is amiss.
func (x *Exchange) unlessErased(ctx context.Context, id record.TransferID, err error) error {
	if _, _, gone := x.keptContent(ctx, id); record.KindOf(gone) == record.Gone {
		return nil
	}
	return err
}

// noteChecked notes what came of a payload. The first time that it is damaged
// is an alarm; one that holds again, after a restore, is no longer known as damaged.
func (x *Exchange) noteChecked(ctx context.Context, id record.TransferID, damage error) error {
	key := prefixBroken + blobstore.Key(id[:])
	known := false
	err := x.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		_, err := tx.Get(key)
		known = err == nil
		if record.KindOf(err) == record.NotFound {
			return nil
		}
		return err
	})
	if err != nil || known == (damage != nil) {
		return err
	}
	return x.Journal.Update(ctx, func(tx blobstore.Tx) error {
		if damage == nil {
			return tx.Delete(key)
		}
		_, err := x.viewHere(tx, id)
		switch record.KindOf(err) {
		case record.NotFound, record.Gone, record.Conflict:
			return nil // it was erased meanwhile
		}
		if err := tx.Set(key, []byte(bigEndian(x.Now().UnixMilli()))); err != nil {
			return err
		}
		return x.alarm(tx, record.OrgID{}, id, fmt.Sprintf("the payload of transfer %s is damaged on our disk: %v", id, damage))
	})
}
