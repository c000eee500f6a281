package exchange

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"dxd/blobstore"
	"dxd/partner"
	"dxd/record"
)

// work is one sort of thing that is done for a partner. Each sort has a worker
// of its own for each partner, so that none delays another.
type work string

const (
	docWork  work = "doc"  // deliver documents
	pushWork work = "push" // tell proofs, receipts and voids
	callWork work = "call" // say hello: only to find out who is there
)

type workerKey struct {
	org  record.OrgID
	work work
}

// outbox starts workers when there is something to do and ends them with Run.
type outbox struct {
	mu      sync.Mutex // guards what follows
	ctx     context.Context
	group   *sync.WaitGroup
	workers map[workerKey]*worker
}

// worker does one sort of work for one partner in a goroutine of its own.
type worker struct {
	wake      chan struct{} // one token: look again now
	connected chan struct{} // one token: and begin the pauses anew
}

func (o *outbox) begin(ctx context.Context, group *sync.WaitGroup) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ctx, o.group = ctx, group
}

// end makes sure that nothing starts any more.
func (o *outbox) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ctx = nil
}

// wake has the partner's worker look for something to do now.
func (x *Exchange) wake(org record.OrgID, w work) {
	if worker := x.worker(org, w); worker != nil {
		token(worker.wake)
	}
}

// Connected is to be called when a connection to a node came up: whatever
// waits for its organisation goes on at once.
func (x *Exchange) Connected(node record.NodeID) {
	p, err := x.Book.ByNode(node)
	if err != nil {
		return
	}
	for _, w := range []work{callWork, docWork, pushWork} {
		if worker := x.worker(p.Org, w); worker != nil {
			token(worker.connected)
		}
	}
}

func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// worker finds or starts a worker; nil if Run is not running.
func (x *Exchange) worker(org record.OrgID, w work) *worker {
	o := &x.outbox
	o.mu.Lock()
	defer o.mu.Unlock()
	key := workerKey{org, w}
	if found := o.workers[key]; found != nil || o.ctx == nil {
		return found
	}
	worker := &worker{wake: make(chan struct{}, 1), connected: make(chan struct{}, 1)}
	o.workers[key] = worker
	ctx := o.ctx
	o.group.Go(func() { x.run(ctx, org, w, worker) })
	return worker
}

// wakeAll starts a worker for whatever waits since the last run, and calls
// every active partner, which brings it our addresses and brings us its.
func (x *Exchange) wakeAll(ctx context.Context) error {
	if err := x.wakeWaiting(ctx, prefixQueue, docWork); err != nil {
		return err
	}
	if err := x.wakeWaiting(ctx, prefixPush, pushWork); err != nil {
		return err
	}
	for _, p := range x.Book.List() {
		if p.State == partner.Active {
			x.wake(p.Org, callWork)
		}
	}
	return nil
}

// wakeWaiting wakes the workers of all partners that something waits for.
func (x *Exchange) wakeWaiting(ctx context.Context, prefix blobstore.Key, w work) error {
	var waiting []record.OrgID
	err := x.Journal.View(ctx, func(tx blobstore.ReadTx) (err error) {
		waiting, err = orgsWaiting(tx, prefix)
		return err
	})
	for _, org := range waiting {
		x.wake(org, w)
	}
	return err
}

// watchPushes wakes the workers that push, since what they push is queued in
// updates of other rooms.
func (x *Exchange) watchPushes(ctx context.Context) error {
	changed := x.Journal.Watch(ctx, prefixPush)
	for {
		select {
		case <-changed:
			if err := x.wakeWaiting(ctx, prefixPush, pushWork); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// orgsWaiting lists the organisations that stand in a queue, looking at one
// entry of each.
func orgsWaiting(tx blobstore.ReadTx, prefix blobstore.Key) ([]record.OrgID, error) {
	var orgs []record.OrgID
	segment := len(orgKey(tx, prefix, record.OrgID{}))
	for from := prefix; ; {
		key, org, err := firstOrg(tx, prefix, from)
		if err != nil || key == "" {
			return orgs, err
		}
		orgs = append(orgs, org)
		from = key[:segment] + "\xff"
	}
}

// firstOrg reads the first entry at or behind from; "" if there is none.
func firstOrg(tx blobstore.ReadTx, prefix, from blobstore.Key) (blobstore.Key, record.OrgID, error) {
	for e, err := range tx.Scan(prefix, from, false) {
		if err != nil {
			return "", record.OrgID{}, err
		}
		org, err := orgOf(e.Value)
		return e.Key, org, err
	}
	return "", record.OrgID{}, nil
}

// orgOf reads the organisation with which the values of both queues begin.
func orgOf(value []byte) (record.OrgID, error) {
	if len(value) < 32 {
		return record.OrgID{}, record.Errorf(record.Damaged, "an entry of a queue is cut off")
	}
	return record.MakeOrgID(value[:32])
}

// run does the work whenever it is woken, and tries again after growing pauses
// while it fails.
func (x *Exchange) run(ctx context.Context, org record.OrgID, w work, self *worker) {
	pause := &backoff.ExponentialBackOff{
		InitialInterval: x.Retry.First, MaxInterval: x.Retry.Longest, Multiplier: 2, RandomizationFactor: 0.5,
	}
	pause.Reset()
	for ctx.Err() == nil {
		wait, err := x.step(ctx, org, w)
		if err != nil && ctx.Err() == nil {
			x.Log.Debug("couldn't reach a partner", "work", string(w), "error", err)
			wait = min(wait, pause.NextBackOff())
		}
		if err == nil {
			pause.Reset()
		}
		self.sleep(ctx, wait, pause)
	}
}

// sleep waits for a token or for the time to pass.
func (w *worker) sleep(ctx context.Context, wait time.Duration, pause *backoff.ExponentialBackOff) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.wake:
	case <-w.connected:
		pause.Reset()
	case <-ctx.Done():
	}
}

// never is the wait of a worker that has nothing to do until it is woken.
const never = 24 * time.Hour

// step does what can be done now and says when to look again. An error means
// that the partner can't be reached.
func (x *Exchange) step(ctx context.Context, org record.OrgID, w work) (time.Duration, error) {
	p, err := x.Book.ByOrg(org)
	if err != nil || p.State != partner.Active {
		return never, nil // its state changing wakes
	}
	switch w {
	case docWork:
		return x.deliverWaiting(ctx, p)
	case pushWork:
		return x.pushWaiting(ctx, p)
	default:
		return never, x.sayHello(ctx, p)
	}
}

// PartnerChanged is to be called when a partner was added, or its state or
// addresses changed.
func (x *Exchange) PartnerChanged(org record.OrgID) {
	for _, w := range []work{callWork, docWork, pushWork} {
		if worker := x.worker(org, w); worker != nil {
			token(worker.connected)
		}
	}
}

// window is how many waiting transfers of a partner are looked at in a step.
const window = 64

// deliverWaiting delivers the partner's documents, oldest first, until none is
// due. One that the partner refused for now waits, and the next is tried.
func (x *Exchange) deliverWaiting(ctx context.Context, p partner.Partner) (time.Duration, error) {
	refused := map[record.TransferID]bool{} // for now, in this step
	for {
		t, found, err := x.nextWaiting(ctx, p.Org, refused)
		if err != nil {
			return never, err
		}
		if !found {
			if len(refused) > 0 {
				return never, record.Errorf(record.Unavailable, "the partner takes some documents later")
			}
			return never, nil
		}
		if x.Now().UnixMilli() >= t.Expires {
			if err := x.giveUp(ctx, t.ID, Failed, reasonExpired); err != nil {
				return never, err
			}
			continue
		}
		err = x.deliver(ctx, p, t)
		var r *refusedError
		switch {
		case err == nil:
		case errors.As(err, &r) && r.Retry:
			x.Log.Info("a partner takes a document later", "transfer", t.ID, "reason", record.Printable(r.Reason, 80))
			refused[t.ID] = true
		case errors.As(err, &r):
			if err := x.giveUp(ctx, t.ID, Failed, knownReason(r.Reason)); err != nil {
				return never, err
			}
		default:
			return x.untilExpiry(t), err
		}
		if p, err = x.Book.ByOrg(p.Org); err != nil || p.State != partner.Active {
			return never, nil
		}
	}
}

// untilExpiry is when a transfer has to be looked at again at the latest.
func (x *Exchange) untilExpiry(t Transfer) time.Duration {
	return min(never, max(0, time.UnixMilli(t.Expires).Sub(x.Now())))
}

// nextWaiting finds the oldest waiting transfer that is not to be skipped.
func (x *Exchange) nextWaiting(ctx context.Context, org record.OrgID, skip map[record.TransferID]bool) (t Transfer, found bool, err error) {
	err = x.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		found = false
		looked := 0
		for e, err := range tx.Scan(orgKey(tx, prefixQueue, org), "", false) {
			if err != nil {
				return err
			}
			if looked++; looked > window || len(e.Value) != 48 {
				return nil
			}
			id := record.TransferID(e.Value[32:])
			if skip[id] {
				continue
			}
			t, err = getTransfer(tx, id)
			found = err == nil
			return err
		}
		return nil
	})
	return t, found, err
}

// knownReason keeps what a partner says to the closed set of reasons.
func knownReason(s string) string {
	switch s {
	case reasonPolicy, reasonRejected, reasonCancelled, reasonDamaged, "quota":
		return s
	}
	return reasonRejected
}
