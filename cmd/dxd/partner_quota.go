package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"dxd/api/apitype"
	"dxd/client"
	"dxd/internal/config"
)

// limitFlag is a flag that sets one bound of a partner.
type limitFlag struct {
	name, use string
	parse     func(string) (int64, error)
	field     func(*apitype.Limits) **int64
	value     string
}

// quota is the bound's name in dxd.toml and in JSON.
func (f limitFlag) quota() string { return strings.ReplaceAll(f.name, "-", "_") }

func limitFlags() []*limitFlag {
	size := func(s string) (int64, error) {
		n, err := config.ParseSizeBound(s)
		return int64(n), err
	}
	number := config.ParseBound
	return []*limitFlag{
		{"stored", "bytes that are kept of what it sent, and is sending", size, func(l *apitype.Limits) **int64 { return &l.Stored }, ""},
		{"in-flight", "bytes of documents that are on their way in", size, func(l *apitype.Limits) **int64 { return &l.InFlight }, ""},
		{"partials", "half-received documents", number, func(l *apitype.Limits) **int64 { return &l.Partials }, ""},
		{"transfers-per-minute", "documents and messages a minute", number, func(l *apitype.Limits) **int64 { return &l.TransfersPerMinute }, ""},
		{"unacknowledged-events", "documents and messages that a subscription has not acknowledged", number, func(l *apitype.Limits) **int64 { return &l.UnacknowledgedEvents }, ""},
	}
}

// followsConfig is what a flag takes that gives the configuration's bound back.
const followsConfig = "default"

func (a *app) partnerQuotaCommand() *cobra.Command {
	flags := limitFlags()
	cmd := a.either(&cobra.Command{
		Use:   "quota ALIAS",
		Short: "Show, or set, what a partner can make this node take and keep",
		Long: `Show what a partner can make this node take and keep, and what it has used of
that. With flags, give it bounds of its own: they take the place of those in
dxd.toml (quota.*) at once, and for this partner alone.

A size looks like 512MiB or 10GiB, and is 1MiB at least. 0 is no bound, and the
word default goes back to dxd.toml.

What a partner sends beyond a bound is refused for now: its daemon tries again
until the transfer expires. What is larger than all of --stored or --in-flight is
refused for good. An alarm tells of it, once an hour at most. What is here stays,
whatever the bound; dxd erase makes room.`,
		Example: `  dxd partner quota bolt
  dxd partner quota bolt --stored 500GiB --transfers-per-minute 0
  dxd partner quota bolt --stored default`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeAlias,
	}, func(ctx context.Context, c *client.Client, args []string) error {
		p, err := c.Partner(ctx, args[0])
		if err != nil {
			return err
		}
		limits, changed, err := changeLimits(limitsOf(p), flags)
		if err != nil {
			return err
		}
		if changed {
			if p, err = c.SetQuota(ctx, args[0], limits); err != nil {
				return err
			}
		}
		return a.print(p, append([]field{{"alias", p.Alias}}, quotaFields(p)...)...)
	})
	cmd.PreRunE = func(*cobra.Command, []string) error {
		_, _, err := changeLimits(apitype.Limits{}, flags)
		return err
	}
	for _, f := range flags {
		cmd.Flags().StringVar(&f.value, f.name, "", f.use)
	}
	return cmd
}

// limitsOf are the bounds that the partner has of its own.
func limitsOf(p apitype.Partner) (l apitype.Limits) {
	for _, f := range limitFlags() {
		for _, q := range p.Quotas {
			if q.Name == f.quota() && q.Own {
				*f.field(&l) = &q.Limit
			}
		}
	}
	return l
}

// changeLimits does what the flags say.
func changeLimits(l apitype.Limits, flags []*limitFlag) (_ apitype.Limits, changed bool, err error) {
	for _, f := range flags {
		switch f.value {
		case "":
			continue
		case followsConfig:
			*f.field(&l) = nil
		default:
			n, err := f.parse(f.value)
			if err != nil {
				return l, false, usagef("--%s: %w", f.name, err)
			}
			*f.field(&l) = &n
		}
		changed = true
	}
	return l, changed, nil
}

func quotaFields(p apitype.Partner) []field {
	var fields []field
	for _, q := range p.Quotas {
		fields = append(fields, field{"quota " + strings.ReplaceAll(q.Name, "_", " "), quotaText(q)})
	}
	return fields
}

// quotaText says how much of a bound is used, and whose bound it is.
func quotaText(q apitype.Quota) string {
	used, limit := strconv.FormatInt(q.Used, 10), strconv.FormatInt(q.Limit, 10)
	if q.Name == "stored" || q.Name == "in_flight" {
		used, limit = bytesOf(q.Used), config.Size(q.Limit).String() // as it was set
	}
	text := used + ", without bound"
	if q.Limit > 0 {
		text = fmt.Sprintf("%s of %s", used, limit)
	}
	if q.Own {
		text += " (its own)"
	}
	return text
}
