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
	var now bool
	roles := make([]string, len(crypto.Roles))
	for i, role := range crypto.Roles {
		roles[i] = string(role)
	}
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
             the older account, which then hands over what it holds.
  node       the identity of this daemon on the network. It is announced first,
             and serves once all active partners have taken the new card;
             dxd doctor says for whom it waits. --now does not wait: partners
             that have not taken the card can't be reached until they are given
             a new card file by hand.`,
		Example: `  dxd key rotate signing
  dxd key rotate node
  dxd key rotate node --now`,
		ValidArgs: roles,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
	}
	a.either(cmd, func(ctx context.Context, c *client.Client, args []string) error {
		return a.rotateKey(ctx, c, args[0], now)
	})
	cmd.Flags().BoolVar(&now, "now", false, "of a node: don't wait for partners")
	return cmd
}

// maxKey is how much of a key people are shown: all of it, but of a recipient
// key, which fills a screen, the beginning.
const maxKey = 80

func (a *app) rotateKey(ctx context.Context, c *client.Client, role string, now bool) error {
	made, err := c.RotateKey(ctx, role, now)
	if err != nil {
		return err
	}
	a.say("make a new backup of the state directory: an older one lacks this key")
	return a.print(made, field{"role", made.Role}, field{"new key", record.Printable(made.Key, maxKey)},
		field{"card", strconv.FormatInt(made.Serial, 10)}, field{"waits for", strings.Join(made.WaitsFor, ", ")})
}
