package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

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

// refuseEmpty refuses a flag that is given without a value, as by a script
// whose variable is not set: it must not count as a flag that is left out, by
// which nothing is compared, for one, or another state directory is meant.
func refuseEmpty(cmd *cobra.Command, _ []string) (err error) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		if slices.Contains(values, "") {
			err = usagef("--%s is empty", f.Name)
		}
	})
	return err
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

// isTerminal tells whether a person is at the other end of a stream.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
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
		return a.printJSON(value)
	}
	return printFields(a.out, fields...)
}

func (a *app) printJSON(value any) error {
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	return enc.Encode(value)
}

// printFields leaves out those without a value.
func printFields(out io.Writer, fields ...field) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for _, f := range fields {
		if f.value != "" {
			fmt.Fprintf(w, "%s\t%s\n", f.name, record.Printable(f.value, 1000))
		}
	}
	return w.Flush()
}

// printTable writes a listing: values with --json, otherwise the rows below
// the header, which stands there even if there are none.
func (a *app) printTable(values any, header []string, rows [][]string) error {
	if a.json {
		return a.printJSON(values)
	}
	return printRows(a.out, header, rows)
}

// printRows prints a table for people.
func printRows(to io.Writer, header []string, rows [][]string) error {
	w := tabwriter.NewWriter(to, 0, 8, 2, ' ', 0)
	for _, row := range append([][]string{header}, rows...) {
		shown := make([]string, len(row))
		for i, cell := range row {
			shown[i] = record.Printable(cell, maxCell)
		}
		fmt.Fprintln(w, strings.TrimRight(strings.Join(shown, "\t"), "\t"))
	}
	return w.Flush()
}

// maxCell is how many characters a cell of a table may have. An alias, and the
// identifier of an organisation that has none any more, stand there whole, as
// commands take them.
const maxCell = 65
