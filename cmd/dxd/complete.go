package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"dxd/client"
)

// completionPatience is how long a completion may take: a shell waits for it.
const completionPatience = time.Second

// suggest asks the running daemon for what may stand at the cursor; without
// one there is nothing to suggest.
func (a *app) suggest(cmd *cobra.Command, list func(context.Context, *client.Client) ([]string, error)) ([]string, cobra.ShellCompDirective) {
	c, err := a.daemon()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
	defer cancel()
	words, err := list(ctx, c)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

// completeAlias completes the one argument of a command about a partner.
func (a *app) completeAlias(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeAliasFlag(cmd, args, prefix)
}

// completeAliasFlag completes a flag that takes an alias.
func (a *app) completeAliasFlag(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.suggest(cmd, func(ctx context.Context, c *client.Client) (words []string, err error) {
		partners, err := c.Partners(ctx)
		for _, p := range partners {
			words = append(words, p.Alias+"\t"+p.Name)
		}
		return words, err
	})
}

// completeTransfer completes the one argument of a command about a transfer.
func (a *app) completeTransfer(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeTransferOf(cmd, client.Filter{})
}

// completeReceived completes the one argument of a command about a transfer
// that waits for the application's word.
func (a *app) completeReceived(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeTransferOf(cmd, client.Filter{Direction: "in", State: "received"})
}

// completeTransferOf suggests the newest transfers that the filter finds.
func (a *app) completeTransferOf(cmd *cobra.Command, f client.Filter) ([]string, cobra.ShellCompDirective) {
	f.Limit = 20
	return a.suggest(cmd, func(ctx context.Context, c *client.Client) (words []string, err error) {
		transfers, err := c.Transfers(ctx, f)
		for _, t := range transfers {
			words = append(words, t.ID.String()+"\t"+t.State+" "+title(t))
		}
		return words, err
	})
}

// completeFlag completes a flag's value; a flag that does not exist is a
// mistake in this program that the first test finds.
func completeFlag(cmd *cobra.Command, flag string, f func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)) {
	if err := cmd.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err)
	}
}
