package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dxd/api/apitype"
	"dxd/client"
	"dxd/record"
)

// listOptions is what `dxd transfers` is told.
type listOptions struct {
	in, out bool
	partner string
	state   string
	limit   int
	after   string
}

// states are all that a transfer can be in.
var states = []string{"queued", "sending", "delivered", "accepted", "refused", "failed", "cancelled", "receiving", "received", "recorded"}

func (a *app) transfersCommand() *cobra.Command {
	var o listOptions
	cmd := &cobra.Command{
		Use:   "transfers",
		Short: "List documents and messages that went out or came in, and notarisations, newest first",
		Example: `  dxd transfers --in --state received
  dxd transfers --partner bolt --limit 1000 --json`,
		Args: cobra.NoArgs,
	}
	cmd.RunE = a.online(func(ctx context.Context, c *client.Client, _ []string) error { return a.transfers(ctx, c, o) })
	cmd.PreRunE = func(*cobra.Command, []string) error { return o.check() }
	flags := cmd.Flags()
	flags.BoolVar(&o.in, "in", false, "only what came in")
	flags.BoolVar(&o.out, "out", false, "only what goes out")
	flags.StringVar(&o.partner, "partner", "", "only of this partner: its alias, or its organisation's identifier")
	flags.StringVar(&o.state, "state", "", "only in this state")
	flags.IntVar(&o.limit, "limit", 100, "how many at most")
	flags.StringVar(&o.after, "after", "", "id of a transfer: begin with the next older one")
	cmd.MarkFlagsMutuallyExclusive("in", "out")
	completeFlag(cmd, "partner", a.completeAliasFlag)
	completeFlag(cmd, "state", cobra.FixedCompletions(states, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (o listOptions) check() error {
	if o.state != "" && !slices.Contains(states, o.state) {
		return record.WithHint(record.Errorf(record.Invalid, "no transfer is ever %q", record.Printable(o.state, 40)),
			"the states are "+strings.Join(states, ", "))
	}
	if o.limit < 1 {
		return record.Errorf(record.Invalid, "--limit must be at least 1")
	}
	if o.after != "" {
		_, err := record.ParseTransferID(o.after)
		return err
	}
	return nil
}

func (o listOptions) filter() (client.Filter, error) {
	f := client.Filter{Partner: o.partner, State: o.state}
	switch {
	case o.in:
		f.Direction = "in"
	case o.out:
		f.Direction = "out"
	}
	if o.after == "" {
		return f, nil
	}
	var err error
	f.After, err = record.ParseTransferID(o.after)
	return f, err
}

// maxPage is how many transfers the daemon gives at a time.
const maxPage = 1000

func (a *app) transfers(ctx context.Context, c *client.Client, o listOptions) error {
	f, err := o.filter()
	if err != nil {
		return err
	}
	all := []apitype.Transfer{}
	for len(all) < o.limit {
		f.Limit = min(o.limit-len(all), maxPage)
		page, err := c.Transfers(ctx, f)
		if err != nil {
			return err
		}
		all = append(all, page...)
		if len(page) < f.Limit {
			break
		}
		f.After = page[len(page)-1].ID
	}
	rows := make([][]string, 0, len(all))
	for _, t := range all {
		state := t.State
		if t.Erased {
			state += ", erased"
		}
		if t.EraseRequest != nil && t.EraseRequest.Answer == "" {
			state += ", to be erased?"
		}
		if t.Held {
			state += ", held"
		}
		rows = append(rows, []string{t.ID.String(), t.Direction, dash(t.Partner), state, t.Anchor, bytesOf(t.Size), localTime(t.Created), title(t)})
	}
	return a.printTable(all, []string{"ID", "WAY", "PARTNER", "STATE", "ANCHOR", "SIZE", "CREATED", "NAME"}, rows)
}

// title is what a person tells a transfer by: a message has no name.
func title(t apitype.Transfer) string {
	if t.Name == "" {
		return "(" + string(t.Kind) + ")"
	}
	return t.Name
}
