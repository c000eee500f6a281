package config

import (
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"dxd/record"
)

// API says where local applications reach the daemon.
type API struct {
	// Unix is the path of the Unix socket, relative to the state directory.
	// Empty: api.sock there.
	Unix string
	// TCP is host:port, besides the socket. Empty: none.
	TCP string
}

// maxSocketPath is what fits into sun_path (unix(7)) with its final zero byte.
const maxSocketPath = 107

// SocketPath is the path of the Unix socket, given the state directory. A
// path that the operating system would cut is an error.
func (a API) SocketPath(dir string) (string, error) {
	path := a.Unix
	if path == "" {
		path = "api.sock"
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	if len(path) > maxSocketPath {
		return "", record.WithHint(
			record.Errorf(record.Invalid, "the path of the API's socket is %d bytes long, a Unix socket takes %d: %q", len(path), maxSocketPath, path),
			`use a state directory with a shorter path, or set api = "unix:/run/dxd.sock" in dxd.toml or DXD_API`)
	}
	return path, nil
}

// parseAPI reads "unix:PATH", "host:port", or both with a comma between.
func parseAPI(s string) (API, error) {
	var a API
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		field, value := &a.TCP, part
		if path, ok := strings.CutPrefix(part, "unix:"); ok {
			field, value = &a.Unix, path
		} else if !isHostPort(part) {
			value = ""
		}
		if value == "" || *field != "" {
			return API{}, record.WithHint(record.Errorf(record.Invalid, "not unix:PATH or host:port: %q", record.Printable(s, 200)),
				"to listen on every address, name it: 0.0.0.0:PORT")
		}
		*field = value
	}
	return a, nil
}

// isHostPort wants a host: without one Go would listen on every address, which
// for an API must be said and not slip in.
func isHostPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	_, perr := strconv.ParseUint(port, 10, 16)
	return err == nil && perr == nil && host != ""
}

// Endpoint is the URL of a chain's JSON-RPC. Such URLs hold keys, so it prints
// as scheme and host only, whatever prints it.
type Endpoint struct{ url string }

// URL is the whole URL, for whoever connects.
func (e Endpoint) URL() string { return e.url }

func (e Endpoint) String() string {
	u, err := url.Parse(e.url)
	if err != nil {
		return "…"
	}
	return u.Scheme + "://" + u.Host
}

// GoString keeps %#v from printing the URL.
func (e Endpoint) GoString() string { return e.String() }

// LogValue keeps loggers from printing the URL.
func (e Endpoint) LogValue() slog.Value { return slog.StringValue(e.String()) }

// MarshalText keeps encoders from printing the URL.
func (e Endpoint) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// ParseEndpoint reads a URL of JSON-RPC, as --rpc takes it. No error repeats it.
func ParseEndpoint(s string) (Endpoint, error) { return parseEndpoint(s) }

func parseEndpoint(s string) (Endpoint, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return Endpoint{}, record.WithHint(record.Errorf(record.Invalid, "not the URL of an endpoint (it is not shown, since it may hold a key)"),
			"an endpoint looks like https://host/path")
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return Endpoint{}, record.WithHint(record.Errorf(record.Invalid, "an endpoint's URL begins with http or https, not with %q", record.Printable(u.Scheme, 20)),
			"endpoints speak JSON-RPC over HTTP; WebSocket and IPC are not supported")
	}
	if record.Printable(u.Host, len(u.Host)) != u.Host { // it is what is printed of the URL
		return Endpoint{}, record.Errorf(record.Invalid, "the host of an endpoint's URL holds characters that can't be shown")
	}
	return Endpoint{s}, nil
}

// Finality says when a block counts as final. The zero value is the chain's
// own `finalized` tag.
type Finality struct {
	Blocks int64 // this many blocks on top, if not 0
}

func (f Finality) String() string {
	if f.Blocks == 0 {
		return "finalized"
	}
	return strconv.FormatInt(f.Blocks, 10)
}

func parseFinality(s string) (Finality, error) {
	if s == "finalized" {
		return Finality{}, nil
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < 1 {
		return Finality{}, record.Errorf(record.Invalid, "not \"finalized\" or a number of blocks from 1: %q", record.Printable(s, 80))
	}
	return Finality{n}, nil
}

// Gwei is a price per gas in wei; people give it in gwei, 10^9 of them.
type Gwei uint64

// OneGwei is the unit in which people give it.
const OneGwei Gwei = 1e9

// Wei is the price in wei.
func (g Gwei) Wei() *big.Int { return new(big.Int).SetUint64(uint64(g)) }

func (g Gwei) String() string {
	return strconv.FormatFloat(float64(g)/float64(OneGwei), 'f', -1, 64)
}

// parseGwei reads a decimal number. More than nine decimal places are less
// than one wei and refused.
func parseGwei(s string) (Gwei, error) {
	fail := record.Errorf(record.Invalid, "not a price in gwei: %q", record.Printable(s, 80))
	r, ok := new(big.Rat).SetString(s)
	if !ok || len(s) > 40 || strings.ContainsAny(s, "/eEpPxX_") {
		return 0, fail
	}
	r.Mul(r, new(big.Rat).SetUint64(uint64(OneGwei)))
	if !r.IsInt() || r.Sign() <= 0 || !r.Num().IsUint64() {
		return 0, fail
	}
	return Gwei(r.Num().Uint64()), nil
}

// parseMultiaddr checks the form only: the network's own check comes when it
// is used, and knows which transports there are.
func parseMultiaddr(s string) (string, error) {
	if err := record.CheckText("a multiaddr", s, 256); err != nil {
		return "", err
	}
	if !strings.HasPrefix(s, "/") {
		return "", record.WithHint(record.Errorf(record.Invalid, "not a multiaddr: %q", s),
			"a multiaddr looks like /ip4/0.0.0.0/tcp/4600")
	}
	return s, nil
}

func setLevel(c *Config, values []string) error {
	return one(func(c *Config) *slog.Level { return &c.Log.Level }, func(s string) (slog.Level, error) {
		levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
		level, ok := levels[s]
		if !ok {
			return 0, record.Errorf(record.Invalid, "is %q, not one of debug, info, warn, error", record.Printable(s, 40))
		}
		return level, nil
	})(c, values)
}

// setInterval takes what time.ParseDuration takes, from 100 ms to one day.
func setInterval(c *Config, values []string) error {
	return one(func(c *Config) *time.Duration { return &c.Anchor.Interval }, func(s string) (time.Duration, error) {
		d, err := time.ParseDuration(s)
		if err != nil || d < 100*time.Millisecond || d > 24*time.Hour {
			return 0, record.Errorf(record.Invalid, "not a duration such as \"10s\" from 100ms to 24h: %q", record.Printable(s, 40))
		}
		return d, nil
	})(c, values)
}

const day = 24 * time.Hour

// maxRetention is a hundred years; a duration holds three hundred.
const maxRetention = 36500 * day

// parseRetention reads how long something is kept: whole days such as "30d", or
// what time.ParseDuration takes from one second on; "forever" and "0" are 0.
func parseRetention(s string) (time.Duration, error) {
	if s == "forever" || s == "0" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16) // more would overflow
		d = time.Duration(n) * day
	}
	if err != nil || d < time.Second || d > maxRetention {
		return 0, record.WithHint(record.Errorf(record.Invalid, "not how long to keep something: %q", record.Printable(s, 40)),
			"it looks like 30d, 12h or forever")
	}
	return d, nil
}

// parseEvery reads how often something is done.
func parseEvery(s string) (time.Duration, error) {
	if s == "never" {
		return 0, nil
	}
	d, err := parseRetention(s)
	if err != nil || d == 0 {
		return 0, record.WithHint(record.Errorf(record.Invalid, "not how often to do something: %q", record.Printable(s, 40)),
			"it looks like 30d, 12h or never")
	}
	return d, nil
}

// Size is a number of bytes.
type Size int64

// units are those in which people give sizes, the largest first.
var units = [...]struct {
	name  string
	bytes Size
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"", 1}}

func (s Size) String() string {
	for _, u := range units {
		if s >= u.bytes && s%u.bytes == 0 {
			return strconv.FormatInt(int64(s/u.bytes), 10) + u.name
		}
	}
	return "0"
}

// parseSize reads a whole number of bytes, or of one of the units, from 1 on.
func parseSize(s string) (Size, error) {
	for _, u := range units {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 53)
		if err != nil || n == 0 || Size(n) > 1<<53/u.bytes {
			break
		}
		return Size(n) * u.bytes, nil
	}
	return 0, record.WithHint(record.Errorf(record.Invalid, "not a size: %q", record.Printable(s, 40)), "it looks like 4MiB, 512KiB or 10GiB")
}

// leastBound is the smallest bound in bytes: a bundle of messages fits in any.
const leastBound Size = 1 << 20

// ParseSizeBound reads a size from 1MiB on, or 0, which is no bound.
func ParseSizeBound(s string) (Size, error) {
	if s == "0" {
		return 0, nil
	}
	n, err := parseSize(s)
	if err == nil && n < leastBound {
		err = record.WithHint(record.Errorf(record.Invalid, "a bound of %s, below %s: %q", n, leastBound, record.Printable(s, 40)), "0 is no bound")
	}
	return n, err
}

// ParseBound reads a number from 1 on, or 0, which is no bound.
func ParseBound(s string) (int64, error) { return integer(0, 1<<53-1)(s) }

// leastReserve is what the journal needs to come to a clean end.
const leastReserve Size = 64 << 20

func parseReserve(s string) (Size, error) {
	n, err := parseSize(s)
	if err == nil && n < leastReserve {
		err = record.Errorf(record.Invalid, "a reserve of %s, below %s, in which the journal finds no room to end: %q", n, leastReserve, record.Printable(s, 40))
	}
	return n, err
}

func setMaxLeaves(c *Config, values []string) error {
	return one(func(c *Config) *int { return &c.Anchor.MaxLeaves }, func(s string) (int, error) {
		n, err := integer(1, 1<<20)(s)
		return int(n), err
	})(c, values)
}

func integer(least, most int64) func(string) (int64, error) {
	return func(s string) (int64, error) {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < least || n > most {
			return 0, record.Errorf(record.Invalid, "not a number from %d to %d: %q", least, most, record.Printable(s, 40))
		}
		return n, nil
	}
}

func oneOf(values ...string) func(string) (string, error) {
	return func(s string) (string, error) {
		for _, v := range values {
			if s == v {
				return v, nil
			}
		}
		return "", record.Errorf(record.Invalid, "is %q, not one of %s", record.Printable(s, 40), strings.Join(values, ", "))
	}
}
