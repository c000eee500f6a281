package main

import (
	"context"

	"github.com/spf13/cobra"

	"dxd/api/apitype"
	"dxd/client"
)

// partnerStateCommands are those that change what a partner may do.
func (a *app) partnerStateCommands() []*cobra.Command {
	return []*cobra.Command{
		a.partnerState("suspend", "Shut a partner out at once; what is queued for it waits", (*client.Client).SuspendPartner),
		a.partnerState("resume", "Let a suspended partner in again, and let lanes go on that were stopped over a number", (*client.Client).ResumePartner),
		a.partnerState("remove", "Remove a partner: what is queued for it fails, records stay", (*client.Client).RemovePartner),
	}
}

func (a *app) partnerState(verb, short string, change func(*client.Client, context.Context, string) (apitype.Partner, error)) *cobra.Command {
	return a.either(&cobra.Command{
		Use:               verb + " ALIAS",
		Short:             short,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeAlias,
	}, func(ctx context.Context, c *client.Client, args []string) error {
		p, err := change(c, ctx, args[0])
		if err != nil {
			return err
		}
		return a.print(p, field{"alias", p.Alias}, field{"name", p.Name}, field{"state", p.State})
	})
}
