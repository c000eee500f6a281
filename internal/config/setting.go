package config

import (
	"slices"
	"strings"
	"time"

	"dxd/record"
)

// setting is one key with its environment variable.
type setting struct {
	key, env string
	list     bool // takes any number of values; others take one
	set      func(c *Config, values []string) error
}

// settings is the table of all that can be configured.
func settings() []setting {
	return []setting{
		{"listen", "DXD_LISTEN", true, func(c *Config, v []string) (err error) {
			c.Listen, err = parseAll(v, parseMultiaddr)
			return err
		}},
		{"announce", "DXD_ANNOUNCE", true, func(c *Config, v []string) (err error) {
			c.Announce, err = parseAll(v, parseMultiaddr)
			return err
		}},
		{"api", "DXD_API", false, one(func(c *Config) *API { return &c.API }, parseAPI)},
		{"transport.prefer", "DXD_TRANSPORT_PREFER", false,
			one(func(c *Config) *string { return &c.Transport.Prefer }, oneOf("auto", "tcp", "quic"))},
		{"log.level", "DXD_LOG_LEVEL", false, setLevel},
		{"log.format", "DXD_LOG_FORMAT", false,
			one(func(c *Config) *string { return &c.Log.Format }, oneOf("text", "json"))},
		{"anchor.rpc", "DXD_ANCHOR_RPC", true, func(c *Config, v []string) (err error) {
			c.Anchor.RPC, err = parseAll(v, parseEndpoint)
			return err
		}},
		{"anchor.chain_id", "DXD_ANCHOR_CHAIN_ID", false,
			one(func(c *Config) *int64 { return &c.Anchor.ChainID }, integer(1, 1<<53-1))},
		{"anchor.contract", "DXD_ANCHOR_CONTRACT", false,
			one(func(c *Config) *record.Account { return &c.Anchor.Contract }, record.ParseAccount)},
		{"anchor.interval", "DXD_ANCHOR_INTERVAL", false, setInterval},
		{"anchor.max_leaves", "DXD_ANCHOR_MAX_LEAVES", false, setMaxLeaves},
		{"anchor.cadence", "DXD_ANCHOR_CADENCE", false,
			one(func(c *Config) *string { return &c.Anchor.Cadence }, oneOf("as-needed", "steady"))},
		{"anchor.finality", "DXD_ANCHOR_FINALITY", false,
			one(func(c *Config) *Finality { return &c.Anchor.Finality }, parseFinality)},
		{"anchor.max_fee", "DXD_ANCHOR_MAX_FEE", false,
			one(func(c *Config) *Gwei { return &c.Anchor.MaxFee }, parseGwei)},
		{"retain.sent", "DXD_RETAIN_SENT", false,
			one(func(c *Config) *time.Duration { return &c.Retain.Sent }, parseRetention)},
		{"retain.received", "DXD_RETAIN_RECEIVED", false,
			one(func(c *Config) *time.Duration { return &c.Retain.Received }, parseRetention)},
		{"retain.events", "DXD_RETAIN_EVENTS", false,
			one(func(c *Config) *time.Duration { return &c.Retain.Events }, parseRetention)},
		{"check.every", "DXD_CHECK_EVERY", false,
			one(func(c *Config) *time.Duration { return &c.Check.Every }, parseEvery)},
		{"check.pace", "DXD_CHECK_PACE", false,
			one(func(c *Config) *Size { return &c.Check.Pace }, parseSize)},
		{"erase.on_request", "DXD_ERASE_ON_REQUEST", false,
			one(func(c *Config) *string { return &c.Erase.OnRequest }, oneOf("ask", "always", "never"))},
		{"quota.stored", "DXD_QUOTA_STORED", false,
			one(func(c *Config) *Size { return &c.Quota.Stored }, ParseSizeBound)},
		{"quota.in_flight", "DXD_QUOTA_IN_FLIGHT", false,
			one(func(c *Config) *Size { return &c.Quota.InFlight }, ParseSizeBound)},
		{"quota.partials", "DXD_QUOTA_PARTIALS", false,
			one(func(c *Config) *int64 { return &c.Quota.Partials }, ParseBound)},
		{"quota.transfers_per_minute", "DXD_QUOTA_TRANSFERS_PER_MINUTE", false,
			one(func(c *Config) *int64 { return &c.Quota.Transfers }, ParseBound)},
		{"quota.unacknowledged_events", "DXD_QUOTA_UNACKNOWLEDGED_EVENTS", false,
			one(func(c *Config) *int64 { return &c.Quota.Events }, ParseBound)},
		{"disk.reserve", "DXD_DISK_RESERVE", false,
			one(func(c *Config) *Size { return &c.Disk.Reserve }, parseReserve)},
	}
}

// one makes the setter of a key that takes one value.
func one[T any](field func(*Config) *T, parse func(string) (T, error)) func(*Config, []string) error {
	return func(c *Config, values []string) error {
		if len(values) != 1 {
			return record.Errorf(record.Invalid, "takes one value, not %d", len(values))
		}
		v, err := parse(values[0])
		if err != nil {
			return err
		}
		*field(c) = v
		return nil
	}
}

func parseAll[T any](values []string, parse func(string) (T, error)) ([]T, error) {
	all := make([]T, 0, len(values))
	for _, v := range values {
		parsed, err := parse(v)
		if err != nil {
			return nil, err
		}
		all = append(all, parsed)
	}
	return all, nil
}

// find looks a key up. The error for one that is not known names the nearest.
func find(key string) (setting, error) {
	for _, s := range settings() {
		if s.key == key {
			return s, nil
		}
	}
	return setting{}, unknownKey(key)
}

func unknownKey(key string) error {
	shown := record.Printable(key, 80)
	nearest := slices.MinFunc(settings(), func(a, b setting) int {
		return likeness(shown, a.key) - likeness(shown, b.key)
	})
	return record.WithHint(
		record.Errorf(record.Invalid, "unknown key %q; the nearest known one is %q", shown, nearest.key),
		"docs/configuration.md lists all keys")
}

// likeness compares with a key, with its table, and with its name alone, which
// is what is left when the table's header was forgotten.
func likeness(written, key string) int {
	best := distance(written, key)
	if table, name, ok := strings.Cut(key, "."); ok {
		best = min(best, distance(written, table), distance(written, name))
	}
	return best
}

// distance is Levenshtein's: how many characters must be put in, left out or
// exchanged to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			exchange := diagonal
			if a[i] != b[j] {
				exchange++
			}
			diagonal = row[j+1]
			row[j+1] = min(exchange, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
