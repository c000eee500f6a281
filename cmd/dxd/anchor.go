package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"dxd/api/apitype"
	"dxd/client"
	"dxd/internal/config"
	"dxd/record"
)

type deployedJSON struct {
	Contract record.Account `json:"contract"`
	ChainID  int64          `json:"chain_id"`
	Account  record.Account `json:"account"`
	Tx       string         `json:"tx"` // "" if the contract was there already
}

func (a *app) anchorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "anchor",
		Short: "The chain on which hashes of all records are anchored",
		Args:  cobra.NoArgs,
		RunE: a.do(func(*cobra.Command, []string) error {
			return usagef("dxd anchor needs a subcommand: deploy or status")
		}),
	}
	cmd.AddCommand(a.anchorDeployCommand(), a.anchorStatusCommand())
	return cmd
}

func (a *app) anchorDeployCommand() *cobra.Command {
	var rpc string
	cmd := &cobra.Command{
		Use:   "deploy",
		Short: "Deploy the contract with this organisation's account, and write it into dxd.toml",
		Long: `Deploy the contract with this organisation's account, wait until it is included,
and write the endpoint, the chain's id and the contract's address into dxd.toml.

The contract has the same address on every chain. Where it stands already,
nothing is spent.`,
		Example: `  dxd anchor deploy --rpc http://127.0.0.1:8545`,
		Args:    cobra.NoArgs,
	}
	a.either(cmd, func(ctx context.Context, c *client.Client, _ []string) error { return a.deploy(ctx, c, rpc) })
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if rpc == "" {
			return nil
		}
		_, err := config.ParseEndpoint(rpc)
		return err
	}
	cmd.Flags().StringVar(&rpc, "rpc", "", "JSON-RPC endpoint, if not the configured one")
	return cmd
}

func (a *app) deploy(ctx context.Context, c *client.Client, rpc string) error {
	made, err := c.DeployAnchor(ctx, rpc)
	if err != nil {
		return err
	}
	out := deployedJSON{made.Contract, made.ChainID, made.Account, ""}
	tx := "none: the contract was there already"
	if !made.Tx.IsZero() {
		out.Tx = made.Tx.String()
		tx = out.Tx
	}
	return a.print(out, field{"contract", out.Contract.String()}, field{"chain", strconv.FormatInt(out.ChainID, 10)},
		field{"account", out.Account.String()}, field{"transaction", tx})
}

func (a *app) anchorStatusCommand() *cobra.Command {
	return a.either(&cobra.Command{
		Use:   "status",
		Short: "Show how far records have come on the chain",
		Args:  cobra.NoArgs,
	}, func(ctx context.Context, c *client.Client, _ []string) error {
		s, err := c.AnchorStatus(ctx)
		if err != nil {
			return err
		}
		return a.printAnchor(s)
	})
}

func (a *app) printAnchor(s apitype.AnchorStatus) error {
	count := func(n int64) string { return strconv.FormatInt(n, 10) }
	fields := []field{{"chain", "none is configured (see `dxd anchor deploy`)"}}
	if s.Contract != nil {
		fields = []field{{"chain", count(s.ChainID)}, {"contract", s.Contract.String()}}
	}
	fields = append(fields, field{"account", s.Account.String()}, field{"balance", coin(s.Balance)})
	for _, p := range s.Older {
		fields = append(fields, field{"older account", p.Account.String()}, field{"its balance", coin(p.Balance)})
	}
	fields = append(fields, field{"unanchored", count(s.Unanchored)}, field{"pending", count(s.Pending)}, field{"submitted", count(s.Submitted)},
		field{"included", count(s.Included)}, field{"final", count(s.Final)}, field{"waits for", s.Error})
	return a.print(s, fields...)
}
