package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"dxd/internal/config"
	"dxd/internal/daemon"
	"dxd/internal/statedir"
	"dxd/p2p"
)

// runOptions is what `dxd run` is told.
type runOptions struct {
	passphraseFile string
	listen         []string
	announce       []string
	api            string
}

func (a *app) runCommand() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the daemon, in the foreground",
		Long: `Run the daemon, in the foreground, and log to standard error.

It says "daemon ready" once applications and partners can reach it. SIGTERM and
SIGINT let what is under way come to a safe point and end it; a second signal
ends it at once, which loses nothing either.`,
		Example: `  dxd run --passphrase-file /run/secrets/dxd
  dxd run --listen /ip4/0.0.0.0/tcp/4600 --announce /dns4/dxd.example.com/tcp/4600`,
		Args:    cobra.NoArgs,
		PreRunE: func(*cobra.Command, []string) error { return o.check() },
		RunE:    a.do(func(cmd *cobra.Command, _ []string) error { return a.run(cmd.Context(), o) }),
	}
	flags := cmd.Flags()
	flags.StringVar(&o.passphraseFile, "passphrase-file", "", "file with the passphrase that locks the keys (DXD_PASSPHRASE_FILE)")
	flags.StringArrayVar(&o.listen, "listen", nil, "multiaddr to listen on for partners (repeatable; DXD_LISTEN)")
	flags.StringArrayVar(&o.announce, "announce", nil, "multiaddr to tell partners instead (repeatable; DXD_ANNOUNCE)")
	flags.StringVar(&o.api, "api", "", "where local applications reach the daemon: unix:PATH or host:port (DXD_API)")
	return cmd
}

// check refuses what no daemon could use.
func (o runOptions) check() error {
	c := config.Default()
	if err := o.apply(&c); err != nil {
		return err
	}
	for _, addr := range o.listen {
		if err := p2p.CheckListen(addr); err != nil {
			return err
		}
	}
	for _, addr := range o.announce {
		if err := p2p.CheckAnnounce(addr); err != nil {
			return err
		}
	}
	return nil
}

// apply puts what the flags say in the place of what dxd.toml says.
func (o runOptions) apply(c *config.Config) error {
	for _, s := range []struct {
		key    string
		values []string
	}{{"listen", o.listen}, {"announce", o.announce}} {
		if len(s.values) > 0 {
			if err := c.Set(s.key, s.values...); err != nil {
				return err
			}
		}
	}
	if o.api == "" {
		return nil
	}
	return c.Set("api", o.api)
}

func (a *app) run(ctx context.Context, o runOptions) error {
	dir, c, err := a.configured()
	if err != nil {
		return err
	}
	if err := o.apply(&c); err != nil {
		return err
	}
	if err := isFree(dir); err != nil {
		return err
	}
	keys, err := a.unlock(ctx, dir, o.passphraseFile)
	if err != nil {
		return err
	}
	// No child of the daemon shall inherit it, needed or not.
	if err := os.Unsetenv("DXD_PASSPHRASE"); err != nil {
		return err
	}
	log := c.Log.Logger(a.stderr)
	warnUnconfigured(log, dir)
	return daemon.Run(ctx, daemon.Options{Dir: dir, Config: c, Keys: keys, Log: log, Build: build()})
}

// warnUnconfigured tells of a dxd.toml that got lost: the daemon runs all the
// same, but maybe at another address, and anchors nothing.
func warnUnconfigured(log *slog.Logger, dir statedir.Dir) {
	path := filepath.Join(dir.Path(), config.FileName)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		log.Warn("no configuration file: all that flags and environment do not say is as by default", "file", path,
			"hint", "if there was one, put it back; else an empty file says that this is meant")
	}
}
