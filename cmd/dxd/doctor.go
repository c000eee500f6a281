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

The exit code is 1 if a check finds something.`,
		Example: `  dxd doctor
  dxd doctor --partner bolt`,
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
