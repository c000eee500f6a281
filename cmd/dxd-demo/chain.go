package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"dxd/internal/devchain"
	"dxd/record"
)

// chainOptions is what --chain-only is told.
type chainOptions struct {
	port int
	dir  string
	fund []string
}

// serveChain serves just the chain until ctx ends.
func serveChain(ctx context.Context, out io.Writer, o chainOptions) (err error) {
	c := devchain.Config{Port: o.port, Dir: o.dir, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	for _, s := range o.fund {
		account, err := record.ParseAccount(s)
		if err != nil {
			return err
		}
		c.Fund = append(c.Fund, account)
	}
	if c.Dir == "" {
		if c.Dir, err = os.MkdirTemp("", "dxd-chain-"); err != nil {
			return record.Errorf(record.Internal, "couldn't make a temporary directory: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(c.Dir)) }()
	}
	chain, err := devchain.Start(c)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "JSON-RPC     %s\nchain        %d\ndirectory    %s\nrich account %s\nits key      %s (known to everyone: never use it elsewhere)\n",
		chain.URL(), devchain.DefaultChainID, c.Dir, chain.Account(), devchain.Key)
	for _, account := range c.Fund {
		fmt.Fprintf(out, "funded       %s\n", account)
	}
	fmt.Fprintln(out, "\nBlocks come on demand and at least every second. Ctrl-C ends it.")
	<-ctx.Done()
	return chain.Close()
}
