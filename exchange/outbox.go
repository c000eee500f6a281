package exchange

import (
	"context"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"dxd/blobstore"
	"dxd/partner"
	"dxd/record"
)

// work is one sort of thing that is done for a partner. Each sort has a worker
// of its own for each partner, so that none delays another.
type work string

const (
	docWork  work = "doc"  // deliver documents
	msgWork  work = "msg"  // deliver messages
	pushWork work = "push" // tell proofs, receipts and voids
	callWork work = "call" // say hello: only to find out who is there
)

// lane is the lane that a worker delivers; "" if it delivers none.
func (w work) lane() record.Lane {
	switch w {
	case docWork:
		return record.LaneDoc
	case msgWork:
		return record.LaneMsg
	}
	return ""
}

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
	extra   atomic.Int64 // documents on their way besides the first to each partner
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

// wakeToSend wakes a worker that delivers, for a transfer that expires then.
func (x *Exchange) wakeToSend(org record.OrgID, w work, expires time.Time) {
	if worker := x.worker(org, w); worker != nil {
		worker.expires(expires.UnixMilli())
		token(worker.wake)
	}
}

// Connected is to be called when a connection to a node came up: its
// organisation is called, if it is not just pausing between such calls.
//
// That a connection is up says little. One that we dialled is up here before
// the partner has looked at who we are, also if it shuts us out; to try
// everything anew then would be to dial it without end.
func (x *Exchange) Connected(node record.NodeID) {
	p, err := x.Book.ByNode(node)
	if err != nil {
		return
	}
	x.wake(p.Org, callWork)
}

// Disconnected is to be called when the last connection to a node ended: its
// organisation is called again before long, since it may be one that can't
// call us. The pause keeps one that hangs up after each hello from being
// dialled without end.
func (x *Exchange) Disconnected(node record.NodeID) {
	p, err := x.Book.ByNode(node)
	if err != nil {
		return
	}
	if worker := x.worker(p.Org, callWork); worker != nil {
		token(worker.lost)
	}
}

// heard is called when a partner has said hello, and so lets us in: whatever
// waits for it goes on at once.
func (x *Exchange) heard(org record.OrgID) {
	x.known.add(org)
	for _, w := range []work{docWork, msgWork, pushWork} {
		if worker := x.worker(org, w); worker != nil {
			worker.found(true)
			token(worker.connected)
		}
	}
}

// find is the worker if one was started.
func (o *outbox) find(org record.OrgID, w work) *worker {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.workers[workerKey{org, w}]
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
	worker := &worker{wake: make(chan struct{}, 1), connected: make(chan struct{}, 1), lost: make(chan struct{}, 1)}
	o.workers[key] = worker
	ctx := o.ctx
	o.group.Go(func() { x.run(ctx, org, w, worker) })
	return worker
}

// wakeAll starts a worker for whatever waits since the last run, and calls
// every active partner, which brings it our addresses and brings us its.
func (x *Exchange) wakeAll(ctx context.Context) error {
	for _, w := range []work{docWork, msgWork} {
		if err := x.wakeWaiting(ctx, prefixQueue, w); err != nil {
			return err
		}
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

// wakeWaiting wakes the workers of all partners that something waits for. It is
// Run's alone.
func (x *Exchange) wakeWaiting(ctx context.Context, prefix blobstore.Key, w work) error {
	var waiting []record.OrgID
	err := x.Journal.View(ctx, func(tx blobstore.ReadTx) (err error) {
		waiting, err = orgsWaiting(tx, prefix)
		return err
	})
	if record.KindOf(err) == record.Damaged {
		// Whose the row is can't be read from it: all are to look, and the work of
		// the one who meets it waits.
		if !x.spoilt {
			x.Log.Error("a row of what waits for a partner is damaged", "error", err)
		}
		x.spoilt, err = true, nil
		for _, p := range x.Book.List() {
			waiting = append(waiting, p.Org)
		}
	}
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
		from = key[:segment-1] + "0" // "/" + 1: behind all of its keys
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

// step does what can be done now and says when to look again. An error means
// that the partner can't be reached.
func (x *Exchange) step(ctx context.Context, org record.OrgID, w work, self *worker) (time.Duration, error) {
	wait := never
	if w.lane() != "" {
		var err error
		if wait, err = x.expireWaiting(ctx, org, w, self); err != nil {
			return never, err
		}
	}
	p, err := x.Book.ByOrg(org)
	if err == nil && p.State == partner.Removed && w.lane() != "" {
		return wait, x.endRemoved(ctx, org, w)
	}
	if err != nil || p.State != partner.Active || !self.due() {
		return wait, nil // its state changing wakes
	}
	if may, err := x.maySend(ctx, org, w); !may || err != nil {
		return wait, err
	}
	switch w {
	case docWork:
		return wait, x.deliverWaiting(ctx, p, self)
	case msgWork:
		return wait, x.deliverInOrder(ctx, p, self)
	case pushWork:
		return wait, x.pushWaiting(ctx, p)
	default:
		return wait, x.sayHello(ctx, p)
	}
}

// expireWaiting ends the transfers whose time is over, whether their partner
// can be reached or not, and says how long it is until the next.
func (x *Exchange) expireWaiting(ctx context.Context, org record.OrgID, w work, self *worker) (time.Duration, error) {
	now := x.Now().UnixMilli()
	if soonest := self.soonest(now); soonest > now {
		return untilExpiry(now, soonest), nil
	}
	over, soonest, err := x.scanExpiry(ctx, org, w.lane(), now)
	if err == nil {
		err = x.expire(ctx, org, w, over)
	}
	if err != nil {
		self.expires(0) // the next step looks once more
		return never, err
	}
	self.expires(soonest)
	return untilExpiry(now, soonest), nil
}

// expire ends these transfers, whose time is over.
func (x *Exchange) expire(ctx context.Context, org record.OrgID, w work, over []record.TransferID) error {
	for _, id := range over {
		err := x.giveUp(ctx, id, Failed, reasonExpired)
		switch record.KindOf(err) {
		case record.NotFound, record.Damaged:
			x.logFailure(org, w, err) // and the others expire all the same
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func untilExpiry(now, soonest int64) time.Duration {
	return min(never, time.Duration(soonest-now)*time.Millisecond)
}

// scanExpiry lists what is over by now, and when the next will be.
func (x *Exchange) scanExpiry(ctx context.Context, org record.OrgID, lane record.Lane, now int64) (over []record.TransferID, soonest int64, err error) {
	err = x.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		over, soonest = nil, now+never.Milliseconds()
		for e, err := range tx.Scan(laneKey(tx, prefixQueue, org, lane), "", false) {
			if err != nil {
				return err
			}
			w, err := parseWaiting(e.Value)
			if err != nil {
				return err
			}
			if w.expires <= now {
				over = append(over, w.id)
			} else {
				soonest = min(soonest, w.expires)
			}
		}
		return nil
	})
	return over, soonest, err
}

// waiting is what stands in the queue of a lane.
type waiting struct {
	org     record.OrgID
	id      record.TransferID
	expires int64
	items   int64 // more than one only of a bundle
}

func (w waiting) value() []byte {
	b := append(append(w.org.Key(), w.id[:]...), bigEndian(w.expires)...)
	if w.items > 1 {
		b = append(b, bigEndian(w.items)...)
	}
	return b
}

func parseWaiting(value []byte) (waiting, error) {
	org, err := orgOf(value)
	if err != nil || len(value) != 32+16+8 && len(value) != 32+16+8+8 {
		return waiting{}, record.Errorf(record.Damaged, "an entry of a queue is cut off")
	}
	w := waiting{org, record.TransferID(value[32:48]), int64(binary.BigEndian.Uint64(value[48:])), 1}
	if items := value[56:]; len(items) > 0 {
		if w.items = int64(binary.BigEndian.Uint64(items)); w.items < 2 {
			return waiting{}, record.Errorf(record.Damaged, "an entry of a queue of %d messages", w.items)
		}
	}
	return w, nil
}

// PartnerChanged is to be called when a partner was added, or its state or
// addresses changed.
func (x *Exchange) PartnerChanged(org record.OrgID) {
	for _, w := range []work{callWork, docWork, msgWork, pushWork} {
		if worker := x.worker(org, w); worker != nil {
			token(worker.connected)
		}
	}
}

// nextWaiting finds the oldest transfer that waits in a lane from a place in
// its queue on, and not in one of those; its own place is "" if there is none.
// but is asked about each place that is passed, in their order.
func (x *Exchange) nextWaiting(ctx context.Context, org record.OrgID, lane record.Lane, from blobstore.Key, but func(blobstore.Key) bool) (t Transfer, key blobstore.Key, err error) {
	err = x.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		key = ""
		for e, err := range tx.Scan(laneKey(tx, prefixQueue, org, lane), from, false) {
			if err != nil {
				return err
			}
			if but(e.Key) {
				continue
			}
			w, err := parseWaiting(e.Value)
			if err != nil {
				return err
			}
			if x.relays.has(w.id) {
				continue // its follower wakes us when it lets go
			}
			key = e.Key
			t, err = getTransfer(tx, w.id)
			return err
		}
		return nil
	})
	return t, key, err
}

// knownReason keeps what a partner says to the closed set of reasons.
func knownReason(s string) string {
	switch s {
	case reasonPolicy, reasonRejected, reasonCancelled, reasonDamaged, reasonQuota:
		return s
	}
	return reasonRejected
}
