package daemon

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"dxd/crypto"
	"dxd/exchange"
	"dxd/hashanchor/evm"
	"dxd/internal/config"
	"dxd/internal/statedir"
	"dxd/p2p"
	"dxd/record"
)

// Options says what to run.
type Options struct {
	Dir    statedir.Dir
	Config config.Config
	Keys   *crypto.Keyring
	Log    *slog.Logger
	Build  Build

	Seam  func(exchange.Point) // nil in production
	Retry exchange.Retry       // zero: the default
	Now   func() time.Time     // nil: time.Now
}

// Build says which program runs.
type Build struct {
	Version, Commit, Go string
}

// Daemon is a running daemon.
type Daemon struct {
	*Organisation
	Host     *Host
	Exchange *exchange.Exchange

	options   Options
	log       *slog.Logger
	tickets   exchange.Tickets
	doorway   doorway
	anchoring anchoring
	started   time.Time
	wg        sync.WaitGroup
	sending   sync.WaitGroup // of what may have last words for the network
	cancel    context.CancelFunc
	failed    chan error // the first failure of a part
}

// memoryLimit is the soft limit that the daemon sets itself, where the
// environment (GOMEMLIMIT) sets none.
const memoryLimit = 120 << 20

// Run runs a daemon until ctx ends, then drains and stops it.
func Run(ctx context.Context, o Options) error {
	if debug.SetMemoryLimit(-1) > 1<<40 {
		debug.SetMemoryLimit(memoryLimit)
	}
	if err := p2p.RouteLogs(o.Log); err != nil {
		return err
	}
	debug.FreeOSMemory() // 64 MiB lie around from the passphrase's Argon2id
	d, err := Start(ctx, o)
	if err != nil {
		return err
	}
	o.Log.Info("daemon ready", "org", d.Keys.Org(), "peer", d.Host.Node(), "addresses", d.Host.Addrs())
	select {
	case <-ctx.Done():
		o.Log.Info("stopping")
		return d.Stop()
	case err := <-d.failed:
		return errors.Join(err, d.Stop())
	}
}

// Start starts a daemon; when it returns, API and network answer.
func Start(ctx context.Context, o Options) (*Daemon, error) {
	if err := checkConfirmed(o.Dir); err != nil {
		return nil, err
	}
	d := &Daemon{options: o, log: o.Log, started: time.Now(), failed: make(chan error, 1)}
	// What runs must outlive the caller's ctx, to be drained by Stop.
	ctx, d.cancel = context.WithCancel(context.WithoutCancel(ctx))
	err := d.open(ctx)
	if err == nil {
		d.serveNetwork()
		d.run("journal", ctx, d.Store.Watchdog)
		d.run("partners", ctx, d.Book.Run)
		d.sending.Add(1)
		d.run("exchange", ctx, func(ctx context.Context) error {
			defer d.sending.Done()
			return d.Exchange.Run(ctx)
		})
		d.run("anchoring", ctx, d.runAnchoring)
		d.run("events", ctx, func(ctx context.Context) error { return d.Events.Run(ctx, d.log) })
		d.run("keys", ctx, d.keepKeys)
		d.run("storage key", ctx, func(ctx context.Context) error { return d.keepStorage(ctx, d.log) })
		err = d.serveAPI(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, d.Stop())
	}
	return d, nil
}

// open opens every part; nothing moves yet.
func (d *Daemon) open(ctx context.Context) (err error) {
	o := d.options
	if d.Organisation, err = Open(ctx, o.Dir, o.Config, o.Keys, d.log, d.watcher()); err != nil {
		return err
	}
	if err := d.openAnchoring(); err != nil {
		return err
	}
	if err := d.openHost(); err != nil {
		return err
	}
	d.Exchange = exchange.Open(exchange.Config{
		Journal: d.Store, Files: d.Store, Keys: d.Keys, Book: d.Book,
		Network: network{d.Host}, Addrs: d.Host.Addrs, Beacon: d.beacon, Anchors: d.anchors, CheckState: evm.CheckState, Now: d.now, Log: d.log,
		Retain: retention(o.Config.Retain), Checking: checking(o.Config.Check), Quota: quota(o.Config.Quota), OnRequest: o.Config.Erase.OnRequest, Tickets: &d.tickets, Doorway: d.doorway, Seam: o.Seam, Retry: o.Retry,
	})
	return nil
}

// run runs a part until Stop. A part that fails by itself ends the daemon: an
// unknown state is not gone on from.
func (d *Daemon) run(part string, ctx context.Context, run func(context.Context) error) {
	d.wg.Go(func() {
		err := run(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		d.fail(part, err)
	})
}

// fail ends the daemon because of a part that can't go on.
func (d *Daemon) fail(part string, err error) {
	select {
	case d.failed <- record.Errorf(record.KindOf(err), "%s: %w", part, err):
	default: // another part failed first
	}
}

// Failed gives the error of a part that ended by itself.
func (d *Daemon) Failed() <-chan error { return d.failed }

// Stop lets what is under way come to a commit point, and stops everything.
func (d *Daemon) Stop() error {
	d.cancel()
	d.sending.Wait()
	var errs []error
	if d.Host != nil {
		errs = append(errs, d.Host.Close())
	}
	d.wg.Wait()
	if d.Organisation != nil {
		errs = append(errs, d.Organisation.Close())
	}
	return errors.Join(errs...)
}
