package main

import (
	"context"

	"github.com/spf13/cobra"

	"dxd/client"
)

func (a *app) cancelCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "cancel ID",
		Short:             "Stop a transfer that is not delivered yet",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeTransfer,
		RunE: a.online(func(ctx context.Context, c *client.Client, args []string) error {
			id, err := transferID(args[0])
			if err != nil {
				return err
			}
			t, err := c.Cancel(ctx, id)
			if err != nil {
				return err
			}
			return a.print(t, field{t.ID.String(), t.State})
		}),
	}
}
