package main

import (
	"context"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"dxd/client"
)

func (a *app) messageCommand() *cobra.Command {
	var o sendOptions
	cmd := &cobra.Command{
		Use:   "message TEXT --to ALIAS",
		Short: "Send a message to one or more partners (- reads standard input)",
		Long: `Send a message of up to 16 MiB to one or more partners.

Messages arrive at a partner in the order in which they were sent, and never
wait for documents. When the command ends, the message is queued: it is
delivered once the partner can be reached, even if this machine is restarted
meanwhile. With --wait it ends later; if --timeout comes first, the exit code is
8 and the work goes on.

Other users of this machine may see the arguments of a command: give what is
confidential to its standard input.`,
		Example: `  dxd message "the contract is signed" --to bolt
  dxd message - --to bolt --type application/json --wait delivered < order.json`,
		Args: cobra.ExactArgs(1),
	}
	cmd.RunE = a.online(func(ctx context.Context, c *client.Client, args []string) error { return a.message(ctx, c, args[0], o) })
	cmd.Flags().StringVar(&o.mediaType, "type", "text/plain; charset=utf-8", "media type")
	a.submitFlags(cmd, &o, "message")
	return cmd
}

func (a *app) message(ctx context.Context, c *client.Client, text string, o sendOptions) error {
	m := document{io.NopCloser(strings.NewReader(text)), "", int64(len(text))}
	if text == "-" {
		m = document{io.NopCloser(a.in), "", -1}
	}
	return a.submit(ctx, c, m, o, c.SendMessage)
}
