package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"dxd/record"
)

func noEnv(string) (string, bool) { return "", false }

func envOf(pairs map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := pairs[name]
		return v, ok
	}
}

func write(t *testing.T, content string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, FileName), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func account(t *testing.T, s string) record.Account {
	t.Helper()
	a, err := record.ParseAccount(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

const full = `
listen = ["/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/udp/1/quic-v1"]
announce = ["/dns4/example.com/tcp/1"]
api = "127.0.0.1:7000"
transport.prefer = "quic"
log = { level = "debug", format = "json" }
[anchor]
rpc = ["https://chain.example/v3/key", "http://127.0.0.1:8545"]
chain_id = 1337
contract = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
interval = "1m30s"
max_leaves = 16
cadence = "steady"
finality = 2
max_fee = 1.5
[retain]
sent = "1d"
received = "90d"
events = "12h"
[check]
every = "90d"
pace = "512KiB"
[erase]
on_request = "never"
[quota]
stored = "2GiB"
in_flight = 0
partials = 9
transfers_per_minute = 100
unacknowledged_events = 0
[disk]
reserve = "1GiB"
`

func TestFileSetsEveryKey(t *testing.T) {
	c, err := Load(write(t, full), noEnv)
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Listen:    []string{"/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/udp/1/quic-v1"},
		Announce:  []string{"/dns4/example.com/tcp/1"},
		API:       API{TCP: "127.0.0.1:7000"},
		Transport: Transport{"quic"},
		Log:       Log{slog.LevelDebug, "json"},
		Anchor: Anchor{
			RPC:     []Endpoint{{"https://chain.example/v3/key"}, {"http://127.0.0.1:8545"}},
			ChainID: 1337, Contract: account(t, "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"), Interval: 90 * time.Second,
			MaxLeaves: 16, Cadence: "steady", Finality: Finality{2}, MaxFee: 1500_000_000,
		},
		Retain: Retain{day, 90 * day, 12 * time.Hour},
		Check:  Check{90 * day, 512 << 10},
		Erase:  Erase{"never"},
		Quota:  Quota{Stored: 2 << 30, Partials: 9, Transfers: 100},
		Disk:   Disk{1 << 30},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v\nwant %+v", c, want)
	}
	values, err := decode([]byte(full))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range settings() {
		if _, ok := values[s.key]; !ok {
			t.Errorf("this test does not set %s", s.key)
		}
	}
}

func TestFlagBeatsEnvironmentBeatsFile(t *testing.T) {
	dir := write(t, "[anchor]\ninterval = \"1s\"\nmax_leaves = 1\nfinality = 1\n")
	c, err := Load(dir, envOf(map[string]string{
		"DXD_ANCHOR_MAX_LEAVES": "2", "DXD_ANCHOR_FINALITY": "2", "DXD_ANCHOR_INTERVAL": "",
		"DXD_LISTEN": "/ip4/127.0.0.1/tcp/1, /ip4/127.0.0.1/tcp/2",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Set("anchor.finality", "3"); err != nil {
		t.Fatal(err)
	}
	if c.Anchor.Interval != time.Second || c.Anchor.MaxLeaves != 2 || c.Anchor.Finality.Blocks != 3 {
		t.Errorf("got %+v", c.Anchor)
	}
	if want := []string{"/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/2"}; !slices.Equal(c.Listen, want) {
		t.Errorf("listen is %q, want %q", c.Listen, want)
	}
}

func TestMissingFileIsDefault(t *testing.T) {
	c, err := Load(t.TempDir(), noEnv)
	if err != nil || !reflect.DeepEqual(c, Default()) {
		t.Errorf("got %+v, %v", c, err)
	}
}

func TestUnknownKeyNamesTheNearest(t *testing.T) {
	for content, want := range map[string]string{
		"lissten = []":                     `"listen"`,
		"Listen = []":                      `"listen"`,
		"[anchor]\nrcp = []":               `"anchor.rpc"`,
		"[anchr]\nfinality = 1":            `"anchor.finality"`,
		"rpc = []":                         `"anchor.rpc"`,
		"[log]\nlvl = \"info\"":            `"log.level"`,
		"[transprt]":                       `"transport.prefer"`,
		"\"anchor.rpc\" = []":              `"anchor.rpc"`,
		"[anchor.deep]\nx = 1":             `"anchor.rpc"`,
		"[[anchor]]\nrpc = []":             `"anchor.rpc"`,
		"\"\\u001b[31m\" = 1":              `"`,
		"transport.preferr = true":         `"transport.prefer"`,
		"anchor.maxleaves = 2024-01-01":    `"anchor.max_leaves"`,
		"anchor.intervall.seconds = false": `"anchor.interval"`,
	} {
		_, err := Parse([]byte(content))
		if record.KindOf(err) != record.Invalid || err == nil {
			t.Errorf("%q: error %v", content, err)
			continue
		}
		if !strings.Contains(err.Error(), "unknown key") || !strings.Contains(err.Error(), "one is "+want) {
			t.Errorf("%q: %q does not name %s", content, err, want)
		}
		if strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%q: an escape sequence in %q", content, err)
		}
	}
}

func TestBadValueIsRefusedAndNamesItsKey(t *testing.T) {
	for _, tt := range []struct{ key, value string }{
		{"listen", `["127.0.0.1:4600"]`}, {"listen", `[1]`}, {"listen", `[["/ip4"]]`}, {"listen", `["/ip4\n"]`},
		{"announce", `true`},
		{"api", `"unix:"`}, {"api", `":4680"`}, {"api", `"localhost"`}, {"api", `"h:70000"`}, {"api", `"h:1,h:2"`}, {"api", `"unix:a,unix:b"`},
		{"api", `["h:1", "unix:a"]`}, {"api", `""`},
		{"transport.prefer", `"TCP"`}, {"log.level", `"trace"`}, {"log.level", `"INFO"`}, {"log.format", `"xml"`},
		{"anchor.rpc", `["ftp://host/SECRET"]`}, {"anchor.rpc", `["wss://host/SECRET"]`}, {"anchor.rpc", `["http://SECRET host:bad"]`}, {"anchor.rpc", `["SECRET"]`}, {"anchor.rpc", `["https:///SECRET"]`},
		{"anchor.chain_id", `0`}, {"anchor.chain_id", `-1`}, {"anchor.chain_id", `1.5`}, {"anchor.chain_id", `9007199254740992`},
		{"anchor.contract", `"0x12"`}, {"anchor.contract", `"0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"`}, {"anchor.contract", `12`},
		{"anchor.interval", `10`}, {"anchor.interval", `"0s"`}, {"anchor.interval", `"-1s"`}, {"anchor.interval", `"48h"`},
		{"anchor.max_leaves", `0`}, {"anchor.max_leaves", `10000000`}, {"anchor.cadence", `"Steady"`}, {"anchor.cadence", `true`},
		{"anchor.finality", `0`}, {"anchor.finality", `"latest"`}, {"anchor.finality", `-1`}, {"anchor.finality", `1.5`},
		{"anchor.max_fee", `0`}, {"anchor.max_fee", `-1`}, {"anchor.max_fee", `inf`}, {"anchor.max_fee", `nan`}, {"anchor.max_fee", `1e30`}, {"anchor.max_fee", `0.0000000001`},
		{"anchor.max_fee", `"1/2"`},
	} {
		_, err := Parse([]byte(tt.key + " = " + tt.value))
		if err == nil || record.KindOf(err) != record.Invalid || !strings.Contains(err.Error(), tt.key+":") {
			t.Errorf("%s = %s: error %v", tt.key, tt.value, err)
		}
		if err != nil && strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s = %s: the error shows it: %v", tt.key, tt.value, err)
		}
	}
}

func TestBrokenFileTellsTheLineAndNothingOfIt(t *testing.T) {
	_, err := Load(write(t, "[anchor]\nrpc = [\"https://SECRET\"]]\n"), noEnv)
	if err == nil || !strings.Contains(err.Error(), "line 2") || !strings.Contains(err.Error(), FileName) {
		t.Errorf("error %v", err)
	}
	if err != nil && strings.Contains(err.Error(), "SECRET") {
		t.Errorf("the error shows the line: %v", err)
	}
	_, err = Load(write(t, "api = \"h:1\"\napi = \"h:2\"\n"), noEnv)
	if err == nil {
		t.Error("one key twice was taken")
	}
	_, err = Load(write(t, strings.Repeat("#", maxFile+1)), noEnv)
	if err == nil {
		t.Error("a file beyond the limit was taken")
	}
}

func TestBadEnvironmentNamesItsVariable(t *testing.T) {
	for _, s := range settings() {
		_, err := Load(t.TempDir(), envOf(map[string]string{s.env: "\x00SECRET"}))
		if err == nil || !strings.HasPrefix(err.Error(), s.env+":") {
			t.Errorf("%s: error %v", s.env, err)
		}
	}
}

func TestEndpointIsNeverPrintedWhole(t *testing.T) {
	c := Default()
	if err := c.Set("anchor.rpc", "https://SECRET:SECRET@chain.example:1/SECRET?key=SECRET#SECRET"); err != nil {
		t.Fatal(err)
	}
	encoded, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	slog.New(slog.NewTextHandler(&logged, nil)).Info("configured", "config", c, "rpc", c.Anchor.RPC, "first", c.Anchor.RPC[0])
	for _, shown := range []string{
		fmt.Sprint(c), fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", c), fmt.Sprintf("%s %q %x", c.Anchor.RPC, c.Anchor.RPC, c.Anchor.RPC),
		string(encoded), logged.String(),
	} {
		if strings.Contains(shown, "SECRET") || strings.Contains(shown, "534543524554") {
			t.Errorf("shows the key: %s", shown)
		}
	}
	if got := c.Anchor.RPC[0].String(); got != "https://chain.example:1" {
		t.Errorf("prints as %q", got)
	}
}

func TestSocketPath(t *testing.T) {
	for _, tt := range []struct{ name, api, dir, want string }{
		{"default lies in the state directory", "127.0.0.1:1", "/state", "/state/api.sock"},
		{"relative path is below the state directory", "unix:x/y.sock", "/state", "/state/x/y.sock"},
		{"absolute path stays", "unix:/run/dxd.sock,127.0.0.1:1", "/state", "/run/dxd.sock"},
		{"longest path fits", "unix:" + "/" + strings.Repeat("a", 106), "/state", "/" + strings.Repeat("a", 106)},
		{"longer path is refused", "unix:" + "/" + strings.Repeat("a", 107), "/state", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := Default()
			if err := c.Set("api", tt.api); err != nil {
				t.Fatal(err)
			}
			got, err := c.API.SocketPath(tt.dir)
			if got != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
			if err != nil && record.Hint(err) == "" {
				t.Error("no hint")
			}
		})
	}
}

// TestTemplate checks that every key stands in the template, with the default
// that is really in force.
func TestTemplateShowsTheDefaults(t *testing.T) {
	c, err := Parse([]byte(Template))
	if err != nil || !reflect.DeepEqual(c, Default()) {
		t.Errorf("as it is, the template gives %+v, %v", c, err)
	}
	var lines []string
	for line := range strings.Lines(Template) {
		if code, ok := strings.CutPrefix(line, "# "); ok && strings.Contains(code, " = ") {
			line = code
		}
		lines = append(lines, line)
	}
	shown := strings.Join(lines, "")
	if c, err = Parse([]byte(shown)); err != nil {
		t.Fatal(err)
	}
	// These have no default; what the template shows is an example.
	c.Anchor.ChainID, c.Anchor.Contract = 0, record.Account{}
	c.API.Unix = strings.TrimPrefix(c.API.Unix, "api.sock")
	if want := Default(); fmt.Sprintf("%+v", c) != fmt.Sprintf("%+v", want) {
		t.Errorf("the template shows %+v\nwant %+v", c, want)
	}
	values, err := decode([]byte(shown))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range settings() {
		if _, ok := values[s.key]; !ok {
			t.Errorf("%s is not in the template (%v are)", s.key, slices.Sorted(maps.Keys(values)))
		}
	}
}

func TestEverySettingIsInTheDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range settings() {
		if row := "\n| `" + s.key + "` | `" + s.env + "` | "; !strings.Contains(string(page), row) {
			t.Errorf("docs/configuration.md has no row that begins %q", strings.TrimSpace(row))
		}
	}
}

func TestRetentionIsInDaysHoursOrForEver(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"forever": 0, "0": 0, "30d": 30 * day, "36500d": 36500 * day, "90m": 90 * time.Minute, "1s": time.Second,
	} {
		if d, err := parseRetention(s); err != nil || d != want {
			t.Errorf("%q: %v, %v", s, d, err)
		}
	}
	for _, s := range []string{"", "d", "30", "-1d", "0d", "1.5d", "36501d", "200000d", "99999999999d", "1ms", "-5h", "Forever", "30 d"} {
		if _, err := parseRetention(s); record.KindOf(err) != record.Invalid || err == nil {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestABoundIsNoneOrLargeEnough(t *testing.T) {
	for s, want := range map[string]Size{"0": 0, "1MiB": 1 << 20, "3GiB": 3 << 30, "1048576": 1 << 20} {
		if got, err := ParseSizeBound(s); err != nil || got != want {
			t.Errorf("%q: %d, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "-1", "1023KiB", "1", "1.5GiB", "forever", "0MiB", "9999999TiB"} {
		if got, err := ParseSizeBound(s); record.KindOf(err) != record.Invalid {
			t.Errorf("%q: %d, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "-1", "1.5", "10MiB", "9007199254740992"} {
		if got, err := ParseBound(s); record.KindOf(err) != record.Invalid {
			t.Errorf("%q: %d, %v", s, got, err)
		}
	}
	for _, s := range []string{"0", "63MiB"} {
		if got, err := parseReserve(s); record.KindOf(err) != record.Invalid {
			t.Errorf("a reserve of %q: %d, %v", s, got, err)
		}
	}
}

// FuzzParseEndpoint holds that an endpoint is of a scheme that is spoken, and
// that nothing prints more of its URL than scheme and host, as plain text.
func FuzzParseEndpoint(f *testing.F) {
	for _, url := range []string{
		"https://rpc.example.com/v3/secret-key", "http://user:secret-key@127.0.0.1:8545", "ws://[::1]:1?secret-key", "http://a#secret-key", "secret-key", "https://rpc.\xb1",
	} {
		f.Add(url)
	}
	f.Fuzz(func(t *testing.T, url string) {
		e, err := ParseEndpoint(url)
		if err != nil {
			if e != (Endpoint{}) || len(url) > 8 && strings.Contains(err.Error(), url) {
				t.Fatalf("%+v is returned with the error %v", e, err)
			}
			return
		}
		said := e.String()
		scheme, host, _ := strings.Cut(said, "://")
		if e.URL() != url || scheme != "http" && scheme != "https" || strings.ContainsAny(host, "/?#@") || record.Printable(said, len(said)) != said {
			t.Fatalf("it says %q", said)
		}
		if printed := fmt.Sprintf("%v%#v", e, e); printed != said+said {
			t.Fatalf("it is printed as %q", printed)
		}
	})
}
