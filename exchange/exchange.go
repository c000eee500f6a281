// Package exchange is the heart of dxd: it takes documents and messages from
// local applications, seals, numbers and signs them, delivers them to partners,
// receives what partners send, and keeps the signed receipts of both.
//
// It never opens a connection, a file or a key itself: the network, the
// journal, the files and the keyring are handed to it. It trusts no byte that
// a partner sends before a signature and a digest vouch for it.
package exchange

import (
	"context"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"dxd/blobstore"
	"dxd/crypto"
	"dxd/event"
	"dxd/hashanchor"
	"dxd/partner"
	"dxd/record"
)

// Stream is one authenticated stream between two nodes.
type Stream interface {
	net.Conn
	// CloseWrite tells the other side that nothing more comes.
	CloseWrite() error
	// Reset ends the stream in both directions at once.
	Reset() error
	// Node is who is at the other end.
	Node() record.NodeID
}

// Network opens streams to nodes; it connects where no connection is up.
type Network interface {
	Open(ctx context.Context, node record.NodeID, addresses []string, protocol string) (Stream, error)
}

// Config is what an Exchange needs. Seam and Retry may be left out.
type Config struct {
	Journal blobstore.Journal
	Files   blobstore.Files
	Keys    *crypto.Keyring
	Book    *partner.Book
	Network Network
	Addrs   func() []string      // where this node can be reached
	Beacon  func() record.Beacon // the last final block that is known; must not block

	// CheckState follows state proofs that come along with proofs; nil drops them.
	CheckState hashanchor.CheckState
	Anchors    func() bool // whether what we sign is anchored by ourselves; nil: it is
	Now        func() time.Time
	Log        *slog.Logger
	Retain     Retention
	Checking   Checking
	Quota      partner.Quota // of each partner that has no other; the zero value bounds nothing

	// OnRequest is what to do when a partner asks to erase: OnRequestAsk unless set.
	OnRequest string

	// Tickets and Doorway are for pairing; without them there is none.
	Tickets *Tickets
	Doorway Doorway

	// Seam is called at each commit point. Tests stop the process there;
	// production leaves it nil.
	Seam func(Point)
	// Retry bounds the pauses between attempts to reach a partner.
	Retry Retry
}

// Retry bounds the pauses between attempts: they grow from First to Longest.
type Retry struct {
	First, Longest time.Duration
}

// Exchange moves documents and messages. Its methods may be called by several goroutines.
type Exchange struct {
	Config
	outbox outbox
	inbox  inbox
	flight flight
	guests guests
	roads  crossing
	fresh  fresh
	known  greeted
	wards  greeted // those of them that do not anchor
	relays relays
	tally  event.Tally // what came in and waits to be acknowledged
	opened time.Time
	spoilt bool // it was told that a queue has a damaged row; Run's alone

	released chan struct{} // a hold has ended
}

// Point names a side of a commit point: a process that dies at "before" has
// promised nothing yet, at "after" all. C1, C1', C2 and Cb are what the comments
// of this package call those of a transfer.
type Point string

// The commit points, in the order of a document's way.
const (
	BeforeQueued    Point = "before-queued"    // payload written, C1 not
	AfterQueued     Point = "after-queued"     // C1
	BeforeBundled   Point = "before-bundled"   // messages gathered, Cb not
	AfterBundled    Point = "after-bundled"    // Cb
	BeforeReceiving Point = "before-receiving" // offer taken, row of the partial not written
	AfterReceiving  Point = "after-receiving"
	BeforeStored    Point = "before-stored"    // whole and verified, payload not committed
	BeforeReceived  Point = "before-received"  // payload committed, C1' not
	AfterReceived   Point = "after-received"   // C1', receipt not sent
	BeforeDelivered Point = "before-delivered" // receipt verified, C2 not
	AfterDelivered  Point = "after-delivered"  // C2
	BeforeErased    Point = "before-erased"    // its time is over, or somebody asked; the journal has it still
	AfterErased     Point = "after-erased"     // the journal has forgotten its key, the file is there
	BeforeSaid      Point = "before-said"      // the application's word is here, its receipt not signed
	AfterSaid       Point = "after-said"       // receipt durable, sender not told
	BeforeHeard     Point = "before-heard"     // the partner's word verified, not taken
	AfterHeard      Point = "after-heard"      // taken, not acknowledged
	BeforeGreeted   Point = "before-greeted"   // the partner's heads verified, nothing done about them
	AfterGreeted    Point = "after-greeted"    // a lane perhaps in another epoch
	BeforeRenewed   Point = "before-renewed"   // what waits has a number of an epoch that was left
	AfterRenewed    Point = "after-renewed"    // signed anew, not offered
	BeforePaired    Point = "before-paired"    // both people agree, the other side is no partner yet
	AfterPaired     Point = "after-paired"     // it is one, and does not know it
)

func (x *Exchange) at(p Point) {
	if x.Seam != nil {
		x.Seam(p)
	}
}

// Init makes what the journal of a new organisation needs: the epoch of its
// numbers.
func Init(tx blobstore.Tx, epoch record.Epoch) error {
	return tx.Set(keyEpoch, epoch[:])
}

// Open makes an Exchange. Nothing moves before Run.
func Open(c Config) *Exchange {
	if c.Anchors == nil {
		c.Anchors = func() bool { return true }
	}
	if c.Retry == (Retry{}) {
		c.Retry = Retry{First: time.Second, Longest: 2 * time.Minute}
	}
	x := &Exchange{Config: c}
	x.outbox.workers = map[workerKey]*worker{}
	x.inbox.open = map[arriving]*claim{}
	x.flight.of, x.flight.off = map[record.TransferID]*progress{}, map[record.TransferID]string{}
	x.guests.of = map[record.OrgID]*guest{}
	x.known.orgs, x.wards.orgs = map[record.OrgID]bool{}, map[record.OrgID]bool{}
	x.fresh.files = map[blobstore.FileID]bool{}
	x.relays.of, x.relays.n, x.relays.reserved = map[record.TransferID]record.OrgID{}, map[record.OrgID]int{}, map[record.TransferID]bool{}
	x.opened, x.released = c.Now(), make(chan struct{}, 1)
	return x
}

// Run delivers what waits, pushes proofs, erases what was kept for long enough,
// checks what is kept, and removes files that belong to no transfer, until ctx ends; it returns once
// all that it started has ended.
func (x *Exchange) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer x.inbox.close()
	defer cancel() // what was started must not keep an error from being told
	x.outbox.begin(ctx, &wg)
	wg.Go(func() {
		if err := x.sweep(ctx); err != nil && ctx.Err() == nil {
			x.Log.Warn("couldn't sweep payload files", "error", err)
		}
	})
	wg.Go(func() {
		if err := x.recount(ctx); err != nil && ctx.Err() == nil {
			x.Log.Warn("couldn't count what partners use", "error", err)
		}
	})
	wg.Go(func() { x.retain(ctx) })
	wg.Go(func() { x.check(ctx) })
	err := x.wakeAll(ctx)
	if err == nil {
		err = x.watchPushes(ctx)
	}
	x.outbox.end()
	if ctx.Err() != nil {
		return nil // whatever failed, failed because of that
	}
	return err
}

// update is Journal.Update. If it failed, unknown says that what fn did may
// have been written all the same: then a file that it names has to stay, and
// the sweep of the next start finds out whether a row needs it.
func (x *Exchange) update(ctx context.Context, fn func(tx blobstore.Tx) error) (unknown bool, err error) {
	agreed := false
	err = x.Journal.Update(ctx, func(tx blobstore.Tx) error {
		err := fn(tx)
		agreed = err == nil
		return err
	})
	kind := record.KindOf(err)
	return err != nil && agreed && kind != record.Invalid && kind != record.Full, err
}

// closeQuietly closes what was only read from, where an error says nothing.
func closeQuietly(c io.Closer) { c.Close() }
