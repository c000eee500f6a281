// Command dxd-demo shows what dxd does, on one machine: it starts an Ethereum
// chain and two organisations, sends a document from one to the other, and
// verifies it as a stranger would.
//
// It never leaves this machine, and nothing that it makes is worth protecting:
// its keys have no passphrase, and everyone knows the key of its chain. It is
// apart from dxd so that no Ethereum node is in that binary.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"dxd/record"
)

func main() {
	// Whoever reads us may stop (`dxd-demo | head`): what was started is to be
	// cleaned up all the same.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

const (
	exitUsage       = 2
	exitInterrupted = 130 // 128 and the number of SIGINT, as shells have it
)

// run executes one command line and gives its exit code.
func run(ctx context.Context, args []string, out, stderr io.Writer) int {
	started := false
	cmd := command(out, &started)
	cmd.SetArgs(args)
	cmd.SetOut(out)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(stderr, "dxd-demo: interrupted")
		return exitInterrupted
	}
	fmt.Fprintln(stderr, "dxd-demo: error: "+record.Printable(err.Error(), 4000))
	if hint := record.Hint(err); hint != "" {
		fmt.Fprintln(stderr, "dxd-demo: hint: "+hint)
	}
	if !started {
		return exitUsage
	}
	return record.KindOf(err).ExitCode()
}

// command reads the flags. started is set once they were understood.
func command(out io.Writer, started *bool) *cobra.Command {
	var chainOnly, keep bool
	var chain chainOptions
	cmd := &cobra.Command{
		Use:   "dxd-demo [FILE]",
		Short: "Show on one machine how a document is sent, anchored and verified",
		Long: `Start an Ethereum chain and two organisations on this machine, send FILE (or a
sample) from one to the other, wait until it is anchored, and verify it as a
stranger would.`,
		Example: `  go run ./cmd/dxd-demo
  go run ./cmd/dxd-demo contract.pdf --keep
  go run ./cmd/dxd-demo --chain-only --dir chain --fund 0x5c1d…`,
		Args:          cobra.MaximumNArgs(1),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	flags := cmd.Flags()
	flags.BoolVar(&keep, "keep", false, "leave all running, and print how to go on by hand")
	flags.BoolVar(&chainOnly, "chain-only", false, "serve just the chain")
	flags.IntVar(&chain.port, "port", 8545, "with --chain-only: port of JSON-RPC on loopback")
	flags.StringVar(&chain.dir, "dir", "", "with --chain-only: where the chain is kept across restarts (default: a temporary directory)")
	flags.StringArrayVar(&chain.fund, "fund", nil, "with --chain-only: address that gets coin (repeatable)")
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if chainOnly && (keep || len(args) > 0) {
			return record.Errorf(record.Invalid, "--chain-only takes no FILE and no --keep")
		}
		for _, flag := range []string{"port", "dir", "fund"} {
			if !chainOnly && flags.Changed(flag) {
				return record.Errorf(record.Invalid, "--%s needs --chain-only", flag)
			}
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		*started = true
		if chainOnly {
			return serveChain(cmd.Context(), out, chain)
		}
		return tell(cmd.Context(), &narrator{out: out}, append(args, "")[0], keep)
	}
	return cmd
}
