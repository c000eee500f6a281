package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"dxd/api/apitype"
	"dxd/client"
	"dxd/event"
	"dxd/record"
)

// eventsOptions is what `dxd events` is told.
type eventsOptions struct {
	follow bool
	after  int64
	name   string
	noAck  bool
}

func (a *app) eventsCommand() *cobra.Command {
	var o eventsOptions
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Show what happened: documents received and delivered, failures, anchors, alarms",
		Long: `Show what happened, the oldest first: documents received and delivered, failures,
anchors, changes of partners, alarms. Each event has a number, without gaps.

With --name it goes on behind the last event that was acknowledged under that
name, and acknowledges each once it is printed: nothing is missed if the command
dies, and nothing comes again after it was acknowledged. Events are kept until
each name has acknowledged them. One command at a time uses a name: a second one
takes over, and the first ends.

What stands in a pipe is printed, and lost if whoever reads the pipe dies. With
--no-ack nothing is acknowledged but by ` + "`dxd events ack`" + `, which a program
calls when it is done with an event: then it misses none, whoever dies.`,
		Example: `  dxd events --after 4711
  dxd events --follow --name billing --no-ack --json | while read -r event; do
    enter "$event" && dxd events ack billing "$(echo "$event" | jq .seq)"
  done`,
		Args: cobra.NoArgs,
	}
	cmd.RunE = a.online(func(ctx context.Context, c *client.Client, _ []string) error {
		f := client.EventFilter{Subscription: o.name}
		if cmd.Flags().Changed("after") {
			f.After = &o.after
		}
		return a.events(ctx, c, o, f)
	})
	cmd.PreRunE = func(*cobra.Command, []string) error {
		switch {
		case o.after < 0:
			return record.Errorf(record.Invalid, "--after takes the number of an event, from 0")
		case o.noAck && o.name == "":
			return record.WithHint(record.Errorf(record.Invalid, "--no-ack needs --name"), "without a name nothing is acknowledged anyway")
		case o.name != "":
			return event.CheckName(o.name)
		}
		return nil
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.follow, "follow", false, "go on with new events as they come; with --json, one line of JSON each")
	flags.Int64Var(&o.after, "after", 0, "begin behind the event with this number (default: the oldest that is kept, or what was acknowledged)")
	flags.StringVar(&o.name, "name", "", "name of a subscription: made if there is none, and acknowledged as events are printed")
	flags.BoolVar(&o.noAck, "no-ack", false, "acknowledge nothing: that is left to dxd events ack")
	completeFlag(cmd, "name", a.completeSubscription)
	cmd.AddCommand(a.ackCommand(), a.subscriptionsCommand(), a.unsubscribeCommand())
	return cmd
}

func (a *app) events(ctx context.Context, c *client.Client, o eventsOptions, f client.EventFilter) error {
	if o.name != "" {
		if err := subscribed(ctx, c, f); err != nil {
			return err
		}
	}
	if o.name == "" || o.noAck {
		return a.printEvents(ctx, c, o, f, func(int64) {})
	}
	done := acknowledging(ctx, c, o.name)
	err := a.printEvents(ctx, c, o, f, done.ack)
	return errors.Join(err, done.wait())
}

// subscribed makes the subscription unless it is there. Only who may make one
// need be allowed to.
func subscribed(ctx context.Context, c *client.Client, f client.EventFilter) error {
	_, err := c.Subscription(ctx, f.Subscription)
	if record.KindOf(err) == record.NotFound {
		_, err = c.Subscribe(ctx, f.Subscription, f.After)
	}
	return err
}

// printEvents prints what there is, or, with --follow, what comes until the
// command is interrupted. printed is called with each number whose event
// standard output has taken.
func (a *app) printEvents(ctx context.Context, c *client.Client, o eventsOptions, f client.EventFilter, printed func(seq int64)) error {
	if !o.follow {
		return a.printPages(ctx, c, f, printed)
	}
	told := false // that the daemon is away
	lost := func(err error) {
		if !told {
			a.say("the connection to the daemon is lost, trying again: " + err.Error())
		}
		told = true
	}
	for e, err := range c.Follow(ctx, f, lost) {
		if ctx.Err() != nil {
			return nil // to be interrupted is how it ends
		}
		if err == nil {
			err = a.printEvent("", e)
		}
		if err != nil {
			return err
		}
		printed(e.Seq)
		told = false
	}
	return nil
}

// printPages prints all events, with --json as one array, which a reader can
// only use once it is whole: then they count as printed.
func (a *app) printPages(ctx context.Context, c *client.Client, f client.EventFilter, printed func(seq int64)) error {
	f.Limit = maxPage
	before, behind := "", ""
	if a.json {
		before, behind = "[", "]\n"
	}
	last := int64(0)
	for more := true; more; {
		page, err := c.Events(ctx, f)
		if err != nil {
			return err
		}
		for _, e := range page {
			if err := a.printEvent(before, e); err != nil {
				return err
			}
			if before != "" {
				before = ","
			}
			last, f.After = e.Seq, &e.Seq
		}
		more = len(page) > 0 // one may be shorter than it could
	}
	if before == "[" {
		behind = "[]\n"
	}
	if _, err := fmt.Fprint(a.out, behind); err != nil {
		return err
	}
	printed(last)
	return nil
}

// printEvent writes one line, behind what separates it from the one before.
func (a *app) printEvent(before string, e apitype.Event) error {
	line := before + eventLine(e) + "\n"
	if a.json {
		raw, err := json.Marshal(e)
		if err != nil {
			return record.Errorf(record.Internal, "couldn't encode an event: %w", err)
		}
		line = before + string(raw) + "\n"
	}
	_, err := fmt.Fprint(a.out, line) // in one piece
	return err
}

// eventLine is an event for people.
func eventLine(e apitype.Event) string {
	who := e.Partner
	if who == "" && !e.Org.IsZero() {
		who = e.Org.String()
	}
	what := ""
	switch {
	case len(e.IDs) == 1: // it travelled alone
		what = e.IDs[0].String()
	case len(e.IDs) > 1:
		what = fmt.Sprintf("%d transfers from %s on", len(e.IDs), e.IDs[0])
	case !e.ID.IsZero():
		what = e.ID.String()
	}
	for _, detail := range []string{e.State, e.Reason, e.Text, e.By} {
		if detail != "" {
			what += " " + detail
		}
	}
	return fmt.Sprintf("%7d  %s  %-18s  %-12s  %s", e.Seq, localTime(e.Time),
		record.Printable(e.Type, maxCell), record.Printable(dash(who), maxCell), record.Printable(what, 1000))
}

func (a *app) subscriptionsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "subscriptions",
		Short: "List who reads events under a name, and how far each has come",
		Args:  cobra.NoArgs,
		RunE: a.online(func(ctx context.Context, c *client.Client, _ []string) error {
			all, err := c.Subscriptions(ctx)
			if err != nil {
				return err
			}
			rows := make([][]string, 0, len(all))
			for _, s := range all {
				since := dash("")
				if s.Since != nil {
					since = localTime(*s.Since)
				}
				rows = append(rows, []string{s.Name, strconv.FormatInt(s.Acked, 10), strconv.FormatInt(s.Behind, 10), since, localTime(s.Updated)})
			}
			return a.printTable(all, []string{"NAME", "ACKNOWLEDGED", "BEHIND", "SINCE", "LAST"}, rows)
		}),
	}
}

func (a *app) unsubscribeCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "unsubscribe NAME",
		Short:             "Remove a subscription; events are not kept for it any more",
		Example:           "  dxd events unsubscribe billing",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeSubscriptionOnce,
		RunE: a.online(func(ctx context.Context, c *client.Client, args []string) error {
			s, err := c.Unsubscribe(ctx, args[0])
			if err != nil {
				return err
			}
			return a.print(s, field{s.Name, "removed"})
		}),
	}
}

// completeSubscription completes a subscription's name.
func (a *app) completeSubscription(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.suggest(cmd, func(ctx context.Context, c *client.Client) (words []string, err error) {
		all, err := c.Subscriptions(ctx)
		for _, s := range all {
			words = append(words, s.Name)
		}
		return words, err
	})
}

// completeSubscriptionOnce completes the first argument with it.
func (a *app) completeSubscriptionOnce(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeSubscription(cmd, args, prefix)
}
