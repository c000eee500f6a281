package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/term"

	"dxd/internal/statedir"
	"dxd/record"
)

// maxPassphrase bounds a passphrase's file in bytes.
const maxPassphrase = 4096

// credential is the passphrase's name among systemd's credentials
// (systemd.exec(5), "LoadCredential=").
const credential = "dxd-passphrase"

// passphrase asks the sources in their order: the flag, the environment,
// systemd's credentials, and a person. With confirm a person types it twice.
func (a *app) passphrase(ctx context.Context, file string, confirm bool) ([]byte, error) {
	if file == "" {
		file = os.Getenv("DXD_PASSPHRASE_FILE")
	}
	value, set := os.LookupEnv("DXD_PASSPHRASE")
	// Gone before anything else is started that would inherit it, whether
	// it is needed or not.
	if err := os.Unsetenv("DXD_PASSPHRASE"); err != nil {
		return nil, record.Errorf(record.Internal, "couldn't unset DXD_PASSPHRASE: %w", err)
	}
	if file != "" {
		p, err := readPassphrase(file)
		return p, unreadable(err)
	}
	if set && value != "" {
		return []byte(value), nil
	}
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" {
		p, err := readPassphrase(filepath.Join(dir, credential))
		if record.KindOf(err) != record.NotFound {
			return p, err
		}
	}
	return a.askPassphrase(ctx, confirm)
}

// readPassphrase takes the file's first line, and insists that it is the only one.
func readPassphrase(path string) ([]byte, error) {
	content, err := statedir.ReadFile(path, maxPassphrase)
	if err != nil {
		return nil, err
	}
	p := bytes.TrimSuffix(bytes.TrimSuffix(content, []byte("\n")), []byte("\r"))
	switch {
	case len(p) == 0:
		return nil, record.WithHint(record.Errorf(record.Invalid, "the passphrase in %q is empty", path),
			"`dxd init --no-passphrase` makes keys without one")
	case bytes.ContainsAny(p, "\r\n"):
		return nil, record.Errorf(record.Invalid, "the passphrase in %q has more than one line", path)
	}
	return p, nil
}

// errNobody says that a passphrase is needed where nobody gives one.
var errNobody = record.WithHint(record.Errorf(record.Invalid, "no passphrase was given, and there is no terminal to ask for one"),
	"give it with --passphrase-file, DXD_PASSPHRASE_FILE or DXD_PASSPHRASE")

func (a *app) askPassphrase(ctx context.Context, confirm bool) ([]byte, error) {
	tty, ok := a.in.(*os.File)
	if !ok || !term.IsTerminal(int(tty.Fd())) {
		return nil, errNobody
	}
	p, err := a.askHidden(ctx, tty, "Passphrase for the keys: ")
	if err != nil {
		return nil, err
	}
	if len(p) == 0 {
		return nil, record.WithHint(record.Errorf(record.Invalid, "the passphrase is empty"),
			"`dxd init --no-passphrase` makes keys without one")
	}
	if !confirm {
		return p, nil
	}
	again, err := a.askHidden(ctx, tty, "The same again: ")
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(p, again) {
		return nil, record.Errorf(record.Invalid, "the two passphrases differ")
	}
	return p, nil
}

// askHidden reads a line that is not shown. When a signal comes, the terminal
// shows what is typed again; the read itself can't be ended, and ends with the
// process.
func (a *app) askHidden(ctx context.Context, tty *os.File, question string) ([]byte, error) {
	fd := int(tty.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, record.Errorf(record.Internal, "couldn't read the terminal's state: %w", err)
	}
	type answer struct {
		line []byte
		err  error
	}
	answered := make(chan answer, 1)
	fmt.Fprint(a.stderr, question)
	go func() {
		line, err := term.ReadPassword(fd)
		answered <- answer{line, err}
	}()
	select {
	case got := <-answered:
		fmt.Fprintln(a.stderr)
		if got.err != nil {
			return nil, record.Errorf(record.Invalid, "couldn't read a passphrase: %w", got.err)
		}
		return got.line, nil
	case <-ctx.Done():
		fmt.Fprintln(a.stderr)
		return nil, errors.Join(ctx.Err(), term.Restore(fd, before))
	}
}
