package daemon

import (
	"context"
	"fmt"
	"time"

	"dxd/exchange"
	"dxd/internal/config"
)

// retention is what the exchange needs of the configuration.
func retention(c config.Retain) exchange.Retention {
	return exchange.Retention{Sent: c.Sent, Received: c.Received}
}

// overdue is how long what is due may lie there while the daemon runs: it tries
// again within minutes.
const overdue = time.Hour

// examineRetention says how long payloads are kept, and how much that is. Where
// the daemon runs, none should be kept for longer.
func examineRetention(ctx context.Context, x *exchange.Exchange, runs bool) []Check {
	kept, err := x.Kept(ctx)
	if err != nil {
		return []Check{failed("retention", err)}
	}
	checks := examineHolds(ctx, x)
	for _, k := range kept {
		detail := fmt.Sprintf("%s; %d payloads are kept (%.1f MB)", span(k.For), k.Payloads, float64(k.Bytes)/1e6)
		if !k.Due.IsZero() {
			detail += ", the first until " + k.Due.UTC().Format(time.RFC3339)
		}
		if runs && !k.Due.IsZero() && time.Since(k.Due) > overdue {
			checks = append(checks, unwell(k.Rule, "%s: it should have been erased, and the daemon's log says why it was not", detail))
			continue
		}
		checks = append(checks, healthy(k.Rule, "%s", detail))
	}
	return checks
}

// examineLog says how long events are kept, and how many that is. One that a
// subscription has yet to acknowledge is kept for longer, which is told there.
func (o *Organisation) examineLog(ctx context.Context) Check {
	const name = "retain.events"
	kept, err := o.Events.Kept(ctx)
	if err != nil {
		return failed(name, err)
	}
	detail := fmt.Sprintf("%s; %d events are kept", span(o.Events.Retain), kept.Events)
	if kept.Oldest != 0 {
		detail += ", the oldest of " + time.UnixMilli(kept.Oldest).UTC().Format(time.RFC3339)
	}
	return healthy(name, "%s", detail)
}

// examineHolds says how much is kept from being erased.
func examineHolds(ctx context.Context, x *exchange.Exchange) []Check {
	n, since, err := x.Held(ctx)
	switch {
	case err != nil:
		return []Check{failed("holds", err)}
	case n == 0:
		return nil
	}
	return []Check{healthy("holds", "%d transfers are on hold, the first since %s, and are not erased until `dxd release ID`",
		n, time.UnixMilli(since).UTC().Format(time.RFC3339))}
}

// span is a time as the configuration has it.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d == 0:
		return "forever"
	case d%day == 0:
		return fmt.Sprintf("%dd", d/day)
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.String()
}
