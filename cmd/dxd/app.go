package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"dxd/record"
)

// app holds what all subcommands share.
type app struct {
	dirFlag string
	json    bool
	api     string

	in          io.Reader
	out, stderr io.Writer

	// started tells whether the arguments were understood and the command's
	// own work has begun.
	started bool
}

// usageError is an error in how a command was called.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error {
	return usageError{record.Errorf(record.Invalid, format, args...)}
}

// do makes a cobra function of a command's work.
func (a *app) do(work func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		a.started = true
		return work(cmd, args)
	}
}

// stateDir is the path of the state directory, which need not exist.
func (a *app) stateDir() (string, error) {
	dir := a.dirFlag
	if dir == "" {
		dir = os.Getenv("DXD_DIR")
	}
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", record.WithHint(record.Errorf(record.Invalid, "couldn't tell where the state directory is: %w", err),
				"--dir or DXD_DIR names it")
		}
		dir = filepath.Join(home, ".dxd")
	}
	return filepath.Abs(dir)
}

// say writes one message for people. What is not plainly printable, as it may
// come from a partner, is replaced.
func (a *app) say(message string) {
	fmt.Fprintln(a.stderr, "dxd: "+record.Printable(message, 4000))
}

// field is one line of what is printed for people.
type field struct{ name, value string }

// print writes the result: value with --json, otherwise the fields.
func (a *app) print(value any, fields ...field) error {
	if a.json {
		enc := json.NewEncoder(a.out)
		enc.SetEscapeHTML(false)
		return enc.Encode(value)
	}
	w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	for _, f := range fields {
		fmt.Fprintf(w, "%s\t%s\n", f.name, record.Printable(f.value, 1000))
	}
	return w.Flush()
}
