package exchange

import (
	"context"
	"errors"
	"io"
	"math"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"dxd/blobstore"
	"dxd/record"
)

// worker does one sort of work for one partner in a goroutine of its own.
type worker struct {
	wake      chan struct{} // one token: look again now
	connected chan struct{} // one token: and begin the pauses anew
	lost      chan struct{} // one token: look again after a pause

	mu     sync.Mutex // guards what follows
	expiry int64      // no waiting transfer expires before this, in ms; 0: not known
	near   bool       // the partner was there when it was last looked for
	busy   bool       // it is delivering from its lane of messages

	// head is the place in a lane before which nothing waits, or ever will: to
	// look for the first from there on spares the journal all that was deleted
	// before it. last is the place of the last message of what stands there.
	head, last blobstore.Key

	// ready is a bundle of one message that came while nothing waited, as it is
	// sent. Whether it is in the journal at all is for the journal to say.
	ready *bundle

	// What follows is run's alone.
	pause *backoff.ExponentialBackOff
	retry time.Time // what failed waits until then
	pass
}

// expires notes that a transfer which waits from now on expires at this time.
func (w *worker) expires(ms int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expiry = min(w.expiry, ms)
}

// found notes whether the partner was there.
func (w *worker) found(near bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.near = near
}

// begins notes the head of the lane, which is delivered now.
func (w *worker) begins(head blobstore.Key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.head, w.last, w.busy = head, head, true
}

// reaches notes the last of the messages that are delivered together.
func (w *worker) reaches(last blobstore.Key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = last
}

// passes notes that what stood at the head was delivered, or has ended.
func (w *worker) passes() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.head = w.last
}

// starts notes that the first that stands in a lane of documents from a place
// on is this one.
func (w *worker) starts(from, first blobstore.Key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if from == w.head {
		w.head = first
	} else {
		w.from = first
	}
}

// rests notes that nothing of the lane is delivered any more.
func (w *worker) rests() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy = false
}

// readies keeps a bundle that is about to become durable.
func (w *worker) readies(b *bundle) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ready = b
}

// takeReady is the bundle with this id if it lies ready; nil if not. It is
// there once: what failed with it is made anew from the journal.
func (w *worker) takeReady(id record.TransferID) *bundle {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := w.ready
	w.ready = nil
	if b == nil || b.row.ID != id {
		return nil
	}
	return b
}

// lane says where the lane begins, and whether the partner is near and nothing
// is on its way to it.
func (w *worker) lane() (head blobstore.Key, free bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.head, w.near && !w.busy
}

// pass is one way through a partner's queue, over one or more steps.
type pass struct {
	from  blobstore.Key // what stands before it was tried
	later bool          // some of that is to be tried again
	whole bool          // it has come to the end
}

// soonest is when the next transfer expires. If that is over, the worker is
// about to look: what is noted from then on counts beside what it finds.
func (w *worker) soonest(now int64) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	soonest := w.expiry
	if soonest <= now {
		w.expiry = math.MaxInt64
	}
	return soonest
}

func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run does the work whenever it is woken, and tries again after growing pauses
// while it fails.
func (x *Exchange) run(ctx context.Context, org record.OrgID, w work, self *worker) {
	self.pause = x.Retry.pauses()
	self.begin()
	for ctx.Err() == nil {
		wait, err := x.step(ctx, org, w, self)
		if err != nil && ctx.Err() == nil {
			x.logFailure(org, w, err)
			if err := x.mendIfDamaged(ctx, org, w, err); err != nil {
				x.logFailure(org, w, err)
			}
		}
		self.sleep(ctx, min(wait, self.plan(err)))
	}
}

// mendIfDamaged mends the queue if that may be why a step failed. The next one
// is after its pause all the same, lest a disk that keeps nothing is written to
// without end.
func (x *Exchange) mendIfDamaged(ctx context.Context, org record.OrgID, w work, err error) error {
	if record.KindOf(err) != record.Damaged || w == callWork {
		return nil
	}
	return x.mendQueue(ctx, org, w)
}

// pauses are those between attempts.
func (r Retry) pauses() *backoff.ExponentialBackOff {
	return &backoff.ExponentialBackOff{InitialInterval: r.First, MaxInterval: r.Longest, Multiplier: 2, RandomizationFactor: 0.5}
}

// logFailure tells of work for a partner that failed. That it is away is no
// news, and nonsense that it says is not our failure.
func (x *Exchange) logFailure(org record.OrgID, w work, err error) {
	switch kind := record.KindOf(err); {
	case kind == record.Quota: // people were told
		x.Log.Debug("couldn't take all that a partner brings", "work", string(w), "error", err)
	case kind == record.Unavailable, kind == record.Timeout, kind == record.Refused, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		x.Log.Debug("couldn't reach a partner", "work", string(w), "error", err)
	case kind == record.Invalid:
		x.complain(org, "a partner does not keep to the protocol", err)
	default:
		x.Log.Error("couldn't do a partner's work", "work", string(w), "error", err)
	}
}

// begin forgets what failed: the next step tries all.
func (w *worker) begin() {
	w.pause.Reset()
	w.retry, w.pass = time.Time{}, pass{}
}

// due tells whether a step may try to reach the partner. What failed waits for
// its pause, however often the worker is woken; but what came since a pass that
// left some documents for later need not wait for those.
func (w *worker) due() bool {
	if time.Now().Before(w.retry) {
		return w.later && w.whole
	}
	if w.whole {
		w.pass = pass{}
	}
	return true
}

// plan says, after a step, how long it is until the next try.
func (w *worker) plan(err error) time.Duration {
	switch {
	case err != nil:
		w.pass = pass{}
	case !w.later && !time.Now().Before(w.retry): // all is done
		w.begin()
		return never
	}
	if !time.Now().Before(w.retry) {
		w.retry = time.Now().Add(w.pause.NextBackOff())
	}
	return time.Until(w.retry)
}

// sleep waits for a token or for the time to pass.
func (w *worker) sleep(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.wake:
	case <-w.connected:
		w.begin()
	case <-w.lost:
		if !time.Now().Before(w.retry) {
			w.retry = time.Now().Add(w.pause.NextBackOff())
		}
	case <-ctx.Done():
	}
}

// never is the wait of a worker that has nothing to do until it is woken.
const never = 24 * time.Hour
