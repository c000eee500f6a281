package main

import (
	"context"

	"github.com/spf13/cobra"

	"dxd/api/apitype"
	"dxd/client"
	"dxd/record"
)

func (a *app) refuseCommand() *cobra.Command {
	var reason, file string
	cmd := &cobra.Command{
		Use:   "refuse ID --reason REASON",
		Short: "Refuse a transfer that came in",
		Long: `Refuse a transfer that came in: a signed receipt tells its sender so, with the
reason, and stands in the evidence of both. It is final: what was refused can't
be accepted any more, and the other way round. What came in stays here.`,
		Example: `  dxd refuse 0190b8f0-3c5e-7abc-8def-0123456789ab --reason "page 3 is missing"
  dxd refuse 0190b8f0-3c5e-7abc-8def-0123456789ab --reason "wrong sum" --application errors.json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeReceived,
	}
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if reason == "" {
			return record.WithHint(record.Errorf(record.Invalid, "--reason is missing"), "--reason tells the people on the other side why")
		}
		return record.CheckText("the reason", reason, record.MaxReason)
	}
	cmd.RunE = a.online(func(ctx context.Context, c *client.Client, args []string) error {
		return a.word(ctx, args[0], file, func(id record.TransferID, application string) (apitype.Transfer, error) {
			return c.Refuse(ctx, id, reason, application)
		})
	})
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the people on the other side")
	applicationFlag(cmd, &file)
	return cmd
}
