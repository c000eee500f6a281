package daemon

import (
	"context"
	"fmt"
	"strings"

	"dxd/exchange"
	"dxd/internal/config"
	"dxd/partner"
)

// quota is what the exchange needs of the configuration.
func quota(c config.Quota) partner.Quota {
	return partner.Quota{Stored: int64(c.Stored), InFlight: int64(c.InFlight), Partials: c.Partials, Transfers: c.Transfers, Events: c.Events}
}

// examineQuotas names the partners that have used up most of a quota, and says
// whether what they use is counted right.
func examineQuotas(ctx context.Context, x *exchange.Exchange, book *partner.Book) []Check {
	const name = "quotas"
	off, err := x.Miscounted(ctx)
	if err != nil {
		return []Check{failed(name, err)}
	}
	if len(off) > 0 {
		return []Check{unwell(name, "what %d partners use is counted wrong: the next start of the daemon counts anew", len(off))}
	}
	var checks []Check
	for _, p := range book.List() {
		checks = append(checks, examineQuota(ctx, x, p)...)
	}
	if len(checks) == 0 {
		return []Check{healthy(name, "no partner is near one")}
	}
	return checks
}

// examineQuota says which quotas a partner has used up for the most part;
// nothing if none.
func examineQuota(ctx context.Context, x *exchange.Exchange, p partner.Partner) []Check {
	name := "quota " + p.Alias
	all, err := x.Measures(ctx, p)
	if err != nil {
		return []Check{failed(name, err)}
	}
	var near []string
	for _, m := range all {
		if m.Near() {
			near = append(near, measured(m))
		}
	}
	if len(near) == 0 {
		return nil
	}
	return []Check{unwell(name, "%s: what is beyond is refused; `dxd partner quota %s` gives it more, and what is erased makes room", strings.Join(near, "; "), p.Alias)}
}

// measured says how much of a quota is used.
func measured(m partner.Measure) string {
	if m.Bytes {
		return fmt.Sprintf("%s %.1f MB of %s", m.Name, float64(m.Used)/1e6, config.Size(m.Limit))
	}
	return fmt.Sprintf("%s %d of %d", m.Name, m.Used, m.Limit)
}
