package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"dxd/api/apitype"
	"dxd/client"
	"dxd/record"
)

func (a *app) partnerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "partner",
		Short: "The organisations that documents come from and go to",
		Args:  cobra.NoArgs,
		RunE: a.do(func(*cobra.Command, []string) error {
			return usagef("dxd partner needs a subcommand: add, list, show, card, quota, suspend, resume or remove")
		}),
	}
	cmd.AddCommand(a.partnerAddCommand(), a.partnerListCommand(), a.partnerShowCommand(), a.partnerCardCommand(), a.partnerQuotaCommand())
	cmd.AddCommand(a.partnerStateCommands()...)
	return cmd
}

func (a *app) partnerListCommand() *cobra.Command {
	return a.either(&cobra.Command{
		Use:   "list",
		Short: "List all partners",
		Args:  cobra.NoArgs,
	}, func(ctx context.Context, c *client.Client, _ []string) error {
		partners, err := c.Partners(ctx)
		if err != nil {
			return err
		}
		if len(partners) == 0 && !a.json {
			a.say("no partners yet: `dxd pair` prints a ticket for one; `dxd partner add FILE --alias NAME` accepts the card that one hands over")
		}
		rows := make([][]string, 0, len(partners))
		for _, p := range partners {
			rows = append(rows, []string{p.Alias, p.Name, p.State, yesNo(p.Connected), strconv.FormatInt(p.Queued, 10), dash(lastSeen(p))})
		}
		return a.printTable(partners, []string{"ALIAS", "NAME", "STATE", "CONNECTED", "QUEUED", "LAST SEEN"}, rows)
	})
}

func (a *app) partnerShowCommand() *cobra.Command {
	return a.either(&cobra.Command{
		Use:               "show ALIAS",
		Short:             "Show one partner",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeAlias,
	}, func(ctx context.Context, c *client.Client, args []string) error {
		p, err := c.Partner(ctx, args[0])
		if err != nil {
			return err
		}
		return a.printPartner(p)
	})
}

func (a *app) partnerCardCommand() *cobra.Command {
	return a.either(&cobra.Command{
		Use:   "card ALIAS",
		Short: "Print a partner's newest card, for whoever verifies evidence",
		Long: `Print the newest card of a partner that is here, with the proof of its anchor if
that is here, too. With ` + "`dxd verify --card`" + ` it shows which keys the partner had
revoked by then. Where the partner's nodes are is left out.`,
		Example:           `  dxd partner card bolt > bolt.card`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeAlias,
	}, func(ctx context.Context, c *client.Client, args []string) error {
		content, err := c.PartnerCard(ctx, args[0])
		if err != nil {
			return err
		}
		if _, err := a.out.Write(content); err != nil {
			return record.Errorf(record.Internal, "couldn't write the card: %w", err)
		}
		return nil
	})
}

func lastSeen(p apitype.Partner) string {
	switch {
	case p.Connected:
		return "now"
	case p.LastSeen == nil:
		return ""
	}
	return localTime(*p.LastSeen)
}

func (a *app) printPartner(p apitype.Partner) error {
	fields := append(whoIs(p),
		field{"connected", yesNo(p.Connected)}, field{"queued", strconv.FormatInt(p.Queued, 10)}, field{"last seen", dash(lastSeen(p))})
	fields = append(fields, cardFields(p)...)
	for _, l := range p.Lanes {
		fields = append(fields, field{"lane " + l.Lane, laneText(l)})
	}
	return a.print(p, append(fields, quotaFields(p)...)...)
}

func whoIs(p apitype.Partner) []field {
	return []field{{"alias", p.Alias}, {"name", p.Name}, {"state", p.State}}
}

func cardFields(p apitype.Partner) []field {
	fields := []field{
		{"fingerprint", p.Fingerprint.String()}, {"organisation", p.Org.String()},
		{"card", strconv.FormatInt(p.Serial, 10) + ", expires " + localTime(p.Expires)},
	}
	for _, address := range p.Addresses {
		fields = append(fields, field{"address", address})
	}
	return fields
}

// laneText says how far a lane is, and what has to be done about one that
// stands still.
func laneText(l apitype.Lane) string {
	text := fmt.Sprintf("sent %d, acknowledged %d, received %d", l.Sent, l.Acknowledged, l.Received)
	if l.Complete < l.Received {
		text += fmt.Sprintf(" (not all: complete up to %d)", l.Complete)
	}
	if l.Stopped || l.Held {
		text += "; stopped: two records have one number. Find out why, together with the partner; `dxd partner resume` on their side and on yours goes on"
	}
	return text
}
