package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"dxd/client"
	"dxd/record"
)

func (a *app) doctorCommand() *cobra.Command {
	var alias string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check clock, disk, keys, chain, retention and partners",
		Long: `Check clock, disk, keys, chain, what is kept and for how long, and partners.
With --partner it also calls that partner, says why it can't be reached or sends
it a small document, and shows its proof.

The exit code is 1 if a check finds something. That a partner was suspended is
nothing of the kind, and neither is one that is away, unless work has waited for
it for more than a day.

Without a running daemon it checks what can be seen in the state directory. Who
wants to know whether the daemon runs, such as a monitor, names its socket, DIR
being the state directory: then the exit code is 5 if it does not answer.`,
		Example: `  dxd doctor
  dxd doctor --partner bolt
  dxd doctor --api unix:DIR/api.sock`,
		Args: cobra.NoArgs,
	}
	a.either(cmd, func(ctx context.Context, c *client.Client, _ []string) error { return a.doctor(ctx, c, alias) })
	cmd.Flags().StringVar(&alias, "partner", "", "alias of a partner to check thoroughly")
	completeFlag(cmd, "partner", a.completeAliasFlag)
	return cmd
}

func (a *app) doctor(ctx context.Context, c *client.Client, alias string) error {
	d, err := c.Doctor(ctx, alias)
	if err != nil {
		return err
	}
	if a.json {
		err = a.printJSON(d)
	}
	unwell := 0
	for _, check := range d.Checks {
		sign := "✓"
		if !check.OK {
			sign = "✗"
			unwell++
		}
		if !a.json {
			fmt.Fprintf(a.out, "%s %-20s %s\n", sign, record.Printable(check.Name, maxCell), record.Printable(check.Detail, 1000))
		}
	}
	if err == nil && unwell > 0 {
		err = record.Errorf(record.Unavailable, "%d of %d checks found something", unwell, len(d.Checks))
	}
	return err
}
