package daemon

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"dxd/api"
	"dxd/api/apitype"
	"dxd/exchange"
	"dxd/hashanchor/queue"
	"dxd/p2p"
	"dxd/partner"
	"dxd/record"
)

// Offline answers the API of an organisation whose daemon does not run, for
// the commands that work without one: so they work the same in both cases.
// Nothing is sent, received or anchored.
type Offline struct {
	*Organisation
	exchange *exchange.Exchange
	queue    *queue.Queue
	build    Build
	log      *slog.Logger

	dir    string // of the socket
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// OpenOffline opens the state directory, which nobody else may use meanwhile,
// and answers on a socket of its own.
func OpenOffline(ctx context.Context, opts Options) (o *Offline, err error) {
	o = &Offline{build: opts.Build, log: opts.Log}
	ctx, o.cancel = context.WithCancel(ctx)
	defer func() {
		if err != nil {
			err = errors.Join(err, o.Close())
		}
	}()
	if o.Organisation, err = Open(ctx, opts.Dir, opts.Config, opts.Keys, opts.Log, Watcher{}); err != nil {
		return o, err
	}
	c, err := o.queueConfig(opts.Log)
	if err != nil {
		return o, err
	}
	o.queue = queue.Open(c)
	o.exchange = exchange.Open(exchange.Config{
		Journal: o.Store, Files: o.Store, Keys: o.Keys, Book: o.Book,
		Addrs: o.addresses, Beacon: o.queue.Beacon, Now: o.now, Log: opts.Log,
		Retain: retention(opts.Config.Retain), Checking: checking(opts.Config.Check), Quota: quota(opts.Config.Quota),
	})
	return o, o.serve(ctx)
}

// Socket is where the API answers.
func (o *Offline) Socket() string { return filepath.Join(o.dir, "api.sock") }

func (o *Offline) serve(ctx context.Context) (err error) {
	if o.dir, err = os.MkdirTemp("", "dxd-"); err != nil {
		return record.Errorf(record.Internal, "couldn't make a directory for a socket: %w", err)
	}
	a, err := o.newAPI()
	if err != nil {
		return err
	}
	l, err := api.Listen("unix:" + o.Socket())
	if err != nil {
		return err
	}
	o.wg.Go(func() {
		if err := o.keepStorage(ctx, o.log); err != nil {
			o.log.Error("couldn't rotate the storage key", "error", err)
		}
	})
	o.wg.Go(func() {
		if err := (api.Server{Handler: a.Local(), Log: o.log}).Serve(ctx, l); err != nil {
			o.log.Error("the API failed", "error", err)
		}
	})
	return nil
}

func (o *Offline) newAPI() (*api.API, error) {
	return api.New(api.Config{
		Exchange: o.exchange, Book: o.Book, Events: o.Events,
		Version: apitype.Version{Version: o.build.Version, Commit: o.build.Commit, Go: o.build.Go},
		Node:    o.Keys.Node, Account: o.Keys.Account, Addresses: o.addresses,
		Connected: func(record.NodeID) bool { return false },
		Anchoring: o.queue.Status, Prove: o.queue.Prove, Backup: o.Backup,
		Deploy: func(ctx context.Context, rpc string) (apitype.Deployed, error) {
			made, err := o.Deploy(ctx, rpc)
			return deployed(made), err
		},
		Rotate: o.Rotate, RotateStorage: o.RotateStorage, StorageRotation: o.StorageRotation, Doctor: o.doctor, Authorize: tokens{}.authorize, Log: o.log,
	})
}

// addresses are those that the daemon would have.
func (o *Offline) addresses() []string {
	if len(o.Config.Announce) > 0 {
		return o.Config.Announce
	}
	all, err := p2p.Reachable(o.Config.Listen)
	if err != nil {
		o.log.Warn("couldn't tell where this node can be reached", "error", err)
	}
	return all
}

func (o *Offline) doctor(ctx context.Context, alias string) ([]Check, error) {
	if alias != "" {
		return nil, record.WithHint(record.Errorf(record.Unreachable, "a partner is only reached while the daemon runs"), "start it with `dxd run`")
	}
	checks := append([]Check{healthy("daemon", "does not run: this is what can be seen without it")}, o.Examine(ctx)...)
	checks = append(checks, examineRetention(ctx, o.exchange, false)...)
	checks = append(checks, examinePayloads(ctx, o.exchange))
	checks = append(checks, o.examineLog(ctx))
	checks = append(checks, examineQuotas(ctx, o.exchange, o.Book)...)
	for _, p := range o.Book.List() {
		if p.State == partner.Active && p.Expired(o.now()) {
			checks = append(checks, unwell("partner "+p.Alias, "its card has expired: ask for a new one"))
		}
	}
	return checks, nil
}

// Close lets go of everything.
func (o *Offline) Close() error {
	o.cancel()
	o.wg.Wait()
	var errs []error
	if o.Organisation != nil {
		errs = append(errs, o.Organisation.Close())
	}
	if o.dir != "" {
		errs = append(errs, os.RemoveAll(o.dir))
	}
	return errors.Join(errs...)
}
