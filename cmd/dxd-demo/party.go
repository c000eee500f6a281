package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"dxd/client"
	"dxd/internal/config"
	"dxd/internal/daemon"
	"dxd/internal/statedir"
	"dxd/record"
)

// party is one of the two organisations, with its running daemon.
type party struct {
	alias string // what the other one calls it
	name  string

	account record.Account
	options daemon.Options
	daemon  *daemon.Daemon
	client  *client.Client
	log     *os.File
}

// newParty makes the organisation's state directory.
func newParty(ctx context.Context, dir, alias, name string) (*party, error) {
	made, keys, err := daemon.Create(ctx, filepath.Join(dir, alias), name, nil, []byte(config.Template))
	if err != nil {
		return nil, err
	}
	p := &party{alias: alias, name: name, account: keys.Account()}
	p.options = daemon.Options{Dir: made, Keys: keys, Build: daemon.Build{Version: "demo"}}
	return p, nil
}

// configure writes what the demo needs otherwise than usual: loopback only,
// and a pace at which a person does not get bored.
func configure(dir statedir.Dir, rpc string) (config.Config, error) {
	content := []byte(config.Template)
	for _, s := range []struct {
		key    string
		values []string
	}{
		{"listen", []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"}},
		{"anchor.rpc", []string{rpc}},
		{"anchor.interval", []string{"1s"}},
		{"anchor.finality", []string{finality}},
	} {
		var err error
		if content, err = config.Edit(content, s.key, s.values...); err != nil {
			return config.Config{}, err
		}
	}
	if err := dir.WriteConfig(content); err != nil {
		return config.Config{}, err
	}
	return config.Parse(content)
}

// start runs the daemon; its log goes to a file beside the state directory.
func (p *party) start(ctx context.Context, rpc string) (err error) {
	if p.options.Config, err = configure(p.options.Dir, rpc); err != nil {
		return err
	}
	if p.log, err = os.Create(p.options.Dir.Path() + ".log"); err != nil {
		return record.Errorf(record.Internal, "couldn't make a log file: %w", err)
	}
	p.options.Log = slog.New(slog.NewTextHandler(p.log, nil))
	if p.daemon, err = daemon.Start(ctx, p.options); err != nil {
		return err
	}
	p.client, err = client.New(client.Config{API: "unix:" + p.options.Dir.SocketPath()})
	return err
}

// failed gives the error of a daemon that ends by itself.
func (p *party) failed() <-chan error { return p.daemon.Failed() }

func (p *party) stop() error {
	var errs []error
	if p.client != nil {
		p.client.Close()
	}
	if p.daemon != nil {
		errs = append(errs, p.daemon.Stop())
	}
	if p.log != nil {
		errs = append(errs, p.log.Close())
	}
	return errors.Join(errs...)
}
