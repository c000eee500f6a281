package daemon

import (
	"context"
	"fmt"
	"strings"
	"time"

	"dxd/exchange"
	"dxd/internal/config"
)

// checking is what the exchange needs of the configuration.
func checking(c config.Check) exchange.Checking {
	return exchange.Checking{Every: c.Every, Pace: int64(c.Pace)}
}

// maxBroken is how many damaged payloads the doctor names.
const maxBroken = 10

// examinePayloads says when the payloads that are kept were last checked, and
// which are damaged.
func examinePayloads(ctx context.Context, x *exchange.Exchange) Check {
	const name = "payloads"
	r, err := x.Round(ctx)
	if err != nil {
		return failed(name, err)
	}
	broken, err := x.Broken(ctx, maxBroken)
	if err != nil {
		return failed(name, err)
	}
	detail := checked(r)
	if x.Checking.Every == 0 {
		detail += "; check.every is never"
	}
	if len(broken) == 0 {
		return healthy(name, "%s", detail)
	}
	var ids []string
	for _, id := range broken {
		ids = append(ids, id.String())
	}
	return unwell(name, "%s; damaged on the disk: %s (a backup, or the partner, may have what is lost)", detail, strings.Join(ids, ", "))
}

// checked tells how far the check is.
func checked(r exchange.Round) string {
	at := func(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }
	last := r.Last
	if r.Ended != 0 {
		last = &r
	}
	text := "not all of them were checked yet"
	if last != nil {
		text = fmt.Sprintf("the last check of all that were kept read %d (%.1f MB), from %s to %s", last.Payloads, float64(last.Bytes)/1e6, at(last.Begun), at(last.Ended))
	}
	if !r.At.IsZero() {
		text += fmt.Sprintf("; a round began at %s and has read %d (%.1f MB)", at(r.Begun), r.Payloads, float64(r.Bytes)/1e6)
	}
	return text
}
