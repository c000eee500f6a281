package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"dxd/api/apitype"
	"dxd/client"
	"dxd/record"
)

func (a *app) acceptCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "accept ID",
		Short: "Accept a transfer that came in",
		Long: `Accept a transfer that came in: a signed receipt tells its sender so, and
stands in the evidence of both. It is final: what was accepted can't be refused
any more, and the other way round.`,
		Example: `  dxd accept 0190b8f0-3c5e-7abc-8def-0123456789ab
  echo '{"order":4711}' | dxd accept 0190b8f0-3c5e-7abc-8def-0123456789ab --application -`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeReceived,
	}
	cmd.RunE = a.online(func(ctx context.Context, c *client.Client, args []string) error {
		return a.word(ctx, args[0], file, func(id record.TransferID, application string) (apitype.Transfer, error) {
			return c.Accept(ctx, id, application)
		})
	})
	applicationFlag(cmd, &file)
	return cmd
}

// applicationFlag adds the flag that the two words have in common.
func applicationFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "application", "", "file with up to 64 KiB of text for the sender's application (- reads standard input)")
}

// word says the application's word on the transfer and prints what became of it.
func (a *app) word(ctx context.Context, transfer, file string, say func(record.TransferID, string) (apitype.Transfer, error)) error {
	id, err := transferID(transfer)
	if err != nil {
		return err
	}
	application, err := a.application(ctx, file)
	if err != nil {
		return err
	}
	t, err := say(id, application)
	if err != nil {
		return err
	}
	return a.print(t, field{t.ID.String(), t.State})
}

// application reads the string for the sender's application; a byte more than
// it may have is enough for the daemon to refuse it.
func (a *app) application(ctx context.Context, file string) (string, error) {
	if file == "" {
		return "", nil
	}
	d, err := a.openDocument(file)
	if err != nil {
		return "", err
	}
	defer d.Close()
	raw, err := io.ReadAll(io.LimitReader(d.until(ctx), record.MaxApplication+1))
	if err != nil {
		return "", record.Errorf(record.Invalid, "couldn't read %q: %w", file, err)
	}
	return string(raw), nil
}
