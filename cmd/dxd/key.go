package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"dxd/client"
	"dxd/crypto"
	"dxd/record"
)

func (a *app) keyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "The keys of this organisation",
		Args:  cobra.NoArgs,
		RunE: a.do(func(*cobra.Command, []string) error {
			return usagef("dxd key needs a subcommand: rotate")
		}),
	}
	cmd.AddCommand(a.keyRotateCommand())
	return cmd
}

func (a *app) keyRotateCommand() *cobra.Command {
	roles := []string{string(crypto.RoleSigning), string(crypto.RoleRecipient), string(crypto.RoleAccount)}
	cmd := &cobra.Command{
		Use:   "rotate " + strings.Join(roles, "|"),
		Short: "Draw a new key, and sign a card with it",
		Long: `Draw a new key and sign a card with it, which partners take by themselves. What
is under way goes on, and evidence from before stays good. Make a new backup of
the state directory afterwards: an older one lacks the key.

  signing    signs records from now on.
  recipient  documents for you are sealed for it. The older key is kept until
             all partners have taken the new card.
  account    anchors on the chain. What was signed before is still anchored by
             the older account, which then hands over what it holds.`,
		Example:   `  dxd key rotate signing`,
		ValidArgs: roles,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
	}
	a.either(cmd, func(ctx context.Context, c *client.Client, args []string) error {
		return a.rotateKey(ctx, c, args[0], false)
	})
	return cmd
}

func (a *app) rotateKey(ctx context.Context, c *client.Client, role string, now bool) error {
	made, err := c.RotateKey(ctx, role, now)
	if err != nil {
		return err
	}
	return a.print(made, field{"role", made.Role}, field{"new key", record.Printable(made.Key, maxCell)},
		field{"card", strconv.FormatInt(made.Serial, 10)}, field{"waits for", strings.Join(made.WaitsFor, ", ")})
}
