package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"dxd/client"
	"dxd/crypto"
	"dxd/internal/config"
	"dxd/internal/daemon"
	"dxd/internal/statedir"
	"dxd/record"
)

// daemon is the running daemon, for commands that need one. It is not asked
// yet whether it answers.
func (a *app) daemon() (*client.Client, error) {
	if a.api != "" {
		return a.remote()
	}
	dir, c, err := a.configured()
	if err != nil {
		if record.KindOf(err) == record.NotFound {
			// No such directory, so no daemon either: "not found" would say
			// that of what the command asks for.
			err = record.WithHint(record.Errorf(record.Unreachable, "%w", err), record.Hint(err))
		}
		return nil, err
	}
	return local(dir, c)
}

// remote is the daemon that --api names.
func (a *app) remote() (*client.Client, error) {
	c := client.Config{API: a.api}
	if path := os.Getenv("DXD_TOKEN_FILE"); path != "" {
		content, err := a.readInput(path, 4096)
		if err != nil {
			return nil, err
		}
		c.Token = strings.TrimSpace(string(content))
	}
	remote, err := client.New(c)
	if err != nil {
		return nil, usageError{err}
	}
	return remote, nil
}

// local is the daemon behind the state directory's socket.
func local(dir statedir.Dir, c config.Config) (*client.Client, error) {
	socket, err := c.API.SocketPath(dir.Path())
	if err != nil {
		return nil, err
	}
	return client.New(client.Config{API: "unix:" + socket})
}

// configured finds the state directory and reads its configuration.
func (a *app) configured() (statedir.Dir, config.Config, error) {
	path, err := a.stateDir()
	if err != nil {
		return statedir.Dir{}, config.Config{}, err
	}
	dir, err := statedir.Open(path)
	if err != nil {
		return statedir.Dir{}, config.Config{}, err
	}
	c, err := config.Load(dir.Path(), os.LookupEnv)
	return dir, c, err
}

// online makes the function of a command that needs a running daemon.
func (a *app) online(work func(ctx context.Context, c *client.Client, args []string) error) func(*cobra.Command, []string) error {
	return a.do(func(cmd *cobra.Command, args []string) error {
		c, err := a.daemon()
		if err != nil {
			return err
		}
		defer c.Close()
		return work(cmd.Context(), c, args)
	})
}

// either makes the function of a command that works with a daemon and without
// one: then it opens the state directory itself, for which it needs the
// passphrase.
func (a *app) either(cmd *cobra.Command, work func(ctx context.Context, c *client.Client, args []string) error) *cobra.Command {
	var passphraseFile string
	cmd.Flags().StringVar(&passphraseFile, "passphrase-file", "", "file with the passphrase, if no daemon runs (DXD_PASSPHRASE_FILE)")
	cmd.RunE = a.do(func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		c, stop, err := a.reach(ctx, passphraseFile)
		if err != nil {
			return err
		}
		return errors.Join(work(ctx, c, args), stop())
	})
	return cmd
}

// reach gives the running daemon, or what stands for it while none runs.
func (a *app) reach(ctx context.Context, passphraseFile string) (*client.Client, func() error, error) {
	if a.api != "" {
		c, err := a.remote()
		return c, func() error { return nil }, err
	}
	dir, conf, err := a.configured()
	if err != nil {
		return nil, nil, err
	}
	c, err := local(dir, conf)
	if err != nil {
		return nil, nil, err
	}
	if _, err = c.Health(ctx); err == nil {
		return c, func() error { c.Close(); return nil }, nil
	}
	if record.KindOf(err) != record.Unreachable {
		return nil, nil, err
	}
	return a.offline(ctx, dir, conf, passphraseFile)
}

// offline opens the state directory in place of a daemon.
func (a *app) offline(ctx context.Context, dir statedir.Dir, c config.Config, passphraseFile string) (*client.Client, func() error, error) {
	if err := isFree(dir); err != nil {
		return nil, nil, silent(err)
	}
	keys, err := a.unlock(ctx, dir, passphraseFile)
	if errors.Is(err, errNobody) { // whoever has a daemon running did not mean to give a passphrase
		return nil, nil, record.WithHint(record.Errorf(record.KindOf(err), "no daemon runs, and without one the keys are needed: %w", err),
			"start `dxd run`, or "+record.Hint(err))
	}
	if err != nil {
		return nil, nil, err
	}
	o, err := daemon.OpenOffline(ctx, daemon.Options{Dir: dir, Config: c, Keys: keys, Log: a.quietLog(), Build: build()})
	if err != nil {
		return nil, nil, silent(err)
	}
	cl, err := client.New(client.Config{API: "unix:" + o.Socket()})
	if err != nil {
		return nil, nil, errors.Join(err, o.Close())
	}
	return cl, func() error { cl.Close(); return o.Close() }, nil
}

// isFree tells early, before a person has been asked for a passphrase, whether
// somebody else uses the state directory.
func isFree(dir statedir.Dir) error {
	lock, err := dir.Lock()
	if err != nil {
		return err
	}
	return lock.Unlock()
}

// silent says what a state directory in use means to a command that found no
// daemon at the socket.
func silent(err error) error {
	if record.KindOf(err) != record.Conflict {
		return err
	}
	return record.WithHint(record.Errorf(record.Unreachable, "%w, which does not answer", err),
		"a daemon that is starting or stopping, or another command, may hold it: try again; otherwise its log says why")
}

// unlock opens the keyring with the passphrase, which is asked for only if
// there is one.
func (a *app) unlock(ctx context.Context, dir statedir.Dir, passphraseFile string) (*crypto.Keyring, error) {
	file, err := dir.Keyring()
	if err != nil {
		return nil, err
	}
	needed, err := crypto.NeedsPassphrase(file)
	if err != nil {
		return nil, err
	}
	var passphrase []byte
	if needed {
		if passphrase, err = a.passphrase(ctx, passphraseFile, false); err != nil {
			return nil, err
		}
	}
	return crypto.Unlock(file, passphrase)
}

// quietLog tells only what a person at a command should know.
func (a *app) quietLog() *slog.Logger {
	return slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: slog.LevelError}))
}

func build() daemon.Build {
	v := version()
	return daemon.Build{Version: v.Version, Commit: v.Commit, Go: v.Go}
}
