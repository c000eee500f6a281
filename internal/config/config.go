// Package config holds the one configuration of a daemon: what dxd.toml, the
// environment and flags say, checked and with defaults filled in.
//
// It never opens a connection or writes a file, and no partner stands in it:
// what concerns one partner is in the journal.
package config

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"dxd/record"
)

// Config is the whole configuration. Fields are named as their keys in
// dxd.toml; docs/configuration.md explains each.
type Config struct {
	Listen    []string // multiaddrs
	Announce  []string // multiaddrs; empty: those listened on
	API       API
	Transport Transport
	Log       Log
	Anchor    Anchor
	Retain    Retain
	Check     Check
	Erase     Erase
	Quota     Quota
	Disk      Disk
}

// Transport says how partners are reached.
type Transport struct {
	Prefer string // "auto", "tcp" or "quic"
}

// Log says what is logged, to standard error.
type Log struct {
	Level  slog.Level
	Format string // "text" or "json"
}

// Anchor says on which chain and how roots are anchored. Without endpoints
// nothing is anchored for now, and records queue.
type Anchor struct {
	RPC       []Endpoint     // in the order in which they are asked
	ChainID   int64          // 0: not known yet
	Contract  record.Account // zero: not known yet
	Interval  time.Duration  // a batch closes after this,
	MaxLeaves int            // or with this many leaves
	Cadence   string         // "as-needed", or "steady": a batch at each interval, and none in between
	Finality  Finality
	MaxFee    Gwei // ceiling per gas
}

// Retain says how long things are kept; 0: for ever.
type Retain struct {
	Sent     time.Duration // payloads of transfers that were delivered, failed or were cancelled
	Received time.Duration // payloads that came in
	Events   time.Duration // those that every subscription has acknowledged
}

// Check says how the payloads that are kept are checked.
type Check struct {
	Every time.Duration // from the beginning of one round to that of the next; 0: never
	Pace  Size          // a second
}

// Erase says how others may have something erased.
type Erase struct {
	OnRequest string // of a partner: "ask", "always" or "never"
}

// Quota bounds what each partner makes this node take and keep, unless it has
// bounds of its own; 0: no bound.
type Quota struct {
	Stored    Size  // what is kept of what it sent, and of what it is sending
	InFlight  Size  // of documents that are on their way in
	Partials  int64 // half-received payloads
	Transfers int64 // a minute
	Events    int64 // of what came in, as long as a subscription has not acknowledged them
}

// Disk says what is left of the disk.
type Disk struct {
	Reserve Size // never used by payloads
}

// Default is the configuration of an empty dxd.toml.
func Default() Config {
	return Config{
		Listen:    []string{"/ip4/0.0.0.0/tcp/4600", "/ip4/0.0.0.0/udp/4600/quic-v1"},
		Transport: Transport{Prefer: "auto"},
		Log:       Log{Level: slog.LevelInfo, Format: "text"},
		Anchor: Anchor{
			Interval:  10 * time.Second,
			MaxLeaves: 4096,
			Cadence:   "as-needed",
			MaxFee:    200 * OneGwei,
		},
		Retain: Retain{Sent: 7 * day, Events: 30 * day},
		Check:  Check{Every: 30 * day, Pace: 4 << 20},
		Erase:  Erase{OnRequest: "ask"},
		Quota:  Quota{Stored: 100 << 30, InFlight: 100 << 30, Partials: 256, Transfers: 600_000, Events: 1_000_000},
		Disk:   Disk{Reserve: 256 << 20},
	}
}

// FileName is the file that Load reads.
const FileName = "dxd.toml"

// maxFile bounds the file in bytes.
const maxFile = 1 << 20

// Load reads dxd.toml in the directory dir, and then what the environment says
// (env is os.LookupEnv). A file that is missing is an empty one. Flags are
// applied afterwards with Set.
func Load(dir string, env func(string) (string, bool)) (Config, error) {
	path := filepath.Join(dir, FileName)
	content, err := read(path)
	if err != nil {
		return Config{}, err
	}
	c, err := Parse(content)
	if err != nil {
		return Config{}, record.Errorf(record.Invalid, "%s: %w", path, err)
	}
	return c, c.applyEnvironment(env)
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, record.Errorf(record.Invalid, "couldn't read the configuration: %w", err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, record.Errorf(record.Invalid, "couldn't read the configuration: %w", err)
	}
	if len(content) > maxFile {
		return nil, record.Errorf(record.Invalid, "the configuration %q is larger than %d bytes", path, maxFile)
	}
	return content, nil
}

// applyEnvironment sets what the environment says. A variable that is empty
// counts as not set, since many tools that start daemons can't leave one out.
func (c *Config) applyEnvironment(env func(string) (string, bool)) error {
	for _, s := range settings() {
		value, ok := env(s.env)
		if !ok || value == "" {
			continue
		}
		values := []string{value}
		if s.list {
			values = strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })
		}
		if err := s.set(c, values); err != nil {
			return record.Errorf(record.Invalid, "%s: %w", s.env, err)
		}
	}
	return nil
}

// Set gives a key another value, as a flag does; only lists take more than one.
func (c *Config) Set(key string, values ...string) error {
	s, err := find(key)
	if err != nil {
		return err
	}
	if err := s.set(c, values); err != nil {
		return record.Errorf(record.Invalid, "%s: %w", key, err)
	}
	return nil
}

// Logger is the daemon's logger.
func (l Log) Logger(w io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: l.Level}
	if l.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
