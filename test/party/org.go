package party

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"dxd/api/apitype"
	"dxd/client"
	"dxd/crypto"
	"dxd/exchange"
	"dxd/internal/daemon"
	"dxd/record"
)

// Org is an organisation with a state directory and a daemon, which can be
// stopped, killed and started again.
type Org struct {
	*client.Client
	T       testing.TB
	Name    string
	Alias   string // by which its partners know it: its name, unless set before pairing
	Dir     string // state directory
	Log     string // of all its processes
	Keys    *crypto.Keyring
	Port    int
	Config  map[string]string // of dxd.toml, values as TOML
	DieAt   exchange.Point
	DieOn   int           // for which time it comes to DieAt; 0 is the first
	Clock   time.Duration // by how much its daemon's clock is ahead
	Patient bool          // its daemon pauses between attempts as those of users do
	Under   []string      // the command that starts the daemon, if its process is not to be started directly
	Program []string      // the daemon and what it is told, if it is not to be the test's own binary
	Profile string        // file for a processor profile of the test's own binary, until it is stopped
	Process *Process
}

// NewOrg makes an organisation whose daemon does not run yet.
func NewOrg(t testing.TB, name string) *Org {
	t.Helper()
	// Short, since a path of a Unix socket must be.
	base, err := os.MkdirTemp("", "dxd-party-")
	Check(t, err)
	t.Cleanup(func() { Check(t, os.RemoveAll(base)) })
	o := &Org{T: t, Name: name, Alias: name, Dir: filepath.Join(base, "state"), Log: filepath.Join(base, "log"), Port: FreePort(t)}
	o.Config = map[string]string{
		"listen": fmt.Sprintf(`["/ip4/127.0.0.1/tcp/%d", "/ip4/127.0.0.1/udp/%d/quic-v1"]`, o.Port, o.Port),
	}
	_, o.Keys, err = daemon.Create(t.Context(), o.Dir, name, nil, nil)
	Check(t, err)
	o.Client, err = client.New(client.Config{API: "unix:" + filepath.Join(o.Dir, "api.sock")})
	Check(t, err)
	t.Cleanup(o.Close)
	t.Cleanup(func() {
		if log, err := os.ReadFile(o.Log); t.Failed() && err == nil {
			t.Logf("the log of %s:\n%s", name, log)
		}
	})
	return o
}

// Launch writes the configuration and starts the daemon.
func (o *Org) Launch() {
	o.T.Helper()
	o.configure()
	o.launchAsItIs()
}

// configure writes the configuration.
func (o *Org) configure() {
	o.T.Helper()
	var toml bytes.Buffer
	for key, value := range o.Config {
		fmt.Fprintf(&toml, "%s = %s\n", key, value)
	}
	Check(o.T, os.WriteFile(filepath.Join(o.Dir, "dxd.toml"), toml.Bytes(), 0o600))
}

// launchAsItIs starts the daemon with the configuration that is there.
func (o *Org) launchAsItIs() {
	o.T.Helper()
	o.setClock()
	retry := ""
	if o.Patient {
		retry = "patient"
	}
	program := o.Program
	if program == nil {
		self, err := os.Executable()
		Check(o.T, err)
		program = []string{self}
	}
	o.Process = launch(o.T, o.Log, slices.Concat(o.Under, program), envRetry+"="+retry,
		envDir+"="+o.Dir, envPoint+"="+string(o.DieAt), envNth+"="+strconv.Itoa(max(1, o.DieOn)), envClock+"="+o.clockFile(), envProfile+"="+o.Profile)
}

func (o *Org) clockFile() string { return o.Dir + ".clock" }

func (o *Org) setClock() {
	o.T.Helper()
	whole := o.clockFile() + ".new"
	Check(o.T, os.WriteFile(whole, []byte(o.Clock.String()), 0o600))
	Check(o.T, os.Rename(whole, o.clockFile()))
}

// StepClock sets the clock of the daemon that runs.
func (o *Org) StepClock(ahead time.Duration) {
	o.T.Helper()
	o.Clock = ahead
	o.setClock()
	Check(o.T, o.Process.Cmd.Process.Signal(syscall.SIGUSR1))
}

// Start starts the daemon, waits until it is ready, and says how long it took.
func (o *Org) Start() time.Duration {
	o.T.Helper()
	o.Launch()
	return o.IsReady()
}

// IsReady waits until the daemon that was launched is ready, and says how long
// it took.
func (o *Org) IsReady() time.Duration {
	o.T.Helper()
	p := o.Process
	timer := time.NewTimer(Patience)
	defer timer.Stop()
	select {
	case <-p.Log.Ready:
		return p.Log.since.Sub(p.begun)
	case <-p.Gone:
		o.T.Fatalf("the daemon of %s ended before it was ready: %s", o.Name, p.Log)
	case <-timer.C:
		o.T.Fatalf("the daemon of %s is not ready within %s", o.Name, Patience)
	}
	return 0
}

// StartAfterDeath waits until the daemon has died where it was to, and starts
// it again.
func (o *Org) StartAfterDeath() {
	o.T.Helper()
	Within(o.T, Patience, "death", o.Process.Gone)
	if !o.Process.Died() {
		o.T.Fatalf("it ended otherwise: %s", o.Process.Log)
	}
	o.DieAt, o.DieOn = "", 0
	o.Start()
}

// Stop ends the daemon as an operator does; it must exit with 0.
func (o *Org) Stop() {
	o.T.Helper()
	Check(o.T, o.Process.Cmd.Process.Signal(syscall.SIGTERM))
	Within(o.T, Patience, "the end of "+o.Name, o.Process.Gone)
	if code := o.Process.Cmd.ProcessState.ExitCode(); code != 0 {
		o.T.Errorf("the daemon of %s ended with %d", o.Name, code)
	}
}

// FailsToStart starts a daemon that has to refuse, and gives what it said.
func (o *Org) FailsToStart() string {
	o.T.Helper()
	o.configure()
	return o.FailsToStartAsItIs()
}

// FailsToStartAsItIs is FailsToStart with the configuration that is there, on a
// disk to which nothing can be written.
func (o *Org) FailsToStartAsItIs() string {
	o.T.Helper()
	o.launchAsItIs()
	Within(o.T, Patience, "the end of "+o.Name, o.Process.Gone)
	if code := o.Process.Cmd.ProcessState.ExitCode(); code != 1 {
		o.T.Errorf("the daemon of %s ended with %d, not 1", o.Name, code)
	}
	return o.Process.Log.String()
}

// Payloads lists the files that the daemon keeps.
func (o *Org) Payloads() []string {
	o.T.Helper()
	entries, err := os.ReadDir(filepath.Join(o.Dir, "payloads"))
	Check(o.T, err)
	var names []string
	for _, e := range entries {
		names = append(names, filepath.Join(o.Dir, "payloads", e.Name()))
	}
	return names
}

// OnlyPayload is the path of the one file that is kept.
func (o *Org) OnlyPayload() string {
	o.T.Helper()
	names := o.Payloads()
	if len(names) != 1 {
		o.T.Fatalf("%s keeps %d files, not one: %v", o.Name, len(names), names)
	}
	return names[0]
}

// Partial is the path of the one file that is on its way in.
func (o *Org) Partial() string {
	o.T.Helper()
	name := o.OnlyPayload()
	if !strings.HasSuffix(name, ".partial") {
		o.T.Fatalf("the file is whole: %s", name)
	}
	return name
}

// AllTransfers lists all.
func (o *Org) AllTransfers() []apitype.Transfer {
	o.T.Helper()
	all, err := o.Transfers(o.T.Context(), client.Filter{})
	Check(o.T, err)
	return all
}

// Pair lets two running organisations accept each other's cards.
func Pair(a, b *Org) {
	a.T.Helper()
	for _, p := range []struct{ from, to *Org }{{a, b}, {b, a}} {
		card, err := p.from.Card(a.T.Context())
		Check(a.T, err)
		_, err = p.to.AddPartner(a.T.Context(), p.from.Alias, card, "")
		Check(a.T, err)
	}
}

// NewPair makes two organisations that run and know each other.
func NewPair(t testing.TB) (a, b *Org) {
	t.Helper()
	a, b = NewOrg(t, "alpha"), NewOrg(t, "beta")
	a.Start()
	b.Start()
	Pair(a, b)
	return a, b
}

// HasBegun waits until something is on its way in, unless that kills the daemon.
func (o *Org) HasBegun() {
	Until(o.T, "a document that comes in", func() string {
		select {
		case <-o.Process.Gone:
			return ""
		default:
		}
		if len(o.Payloads()) == 0 {
			return "nothing"
		}
		return ""
	})
}

// Backup copies the state directory, whose daemon is stopped. putBack puts
// the copy in its place.
func (o *Org) Backup() (putBack func()) {
	o.T.Helper()
	copied := o.Dir + ".copy"
	Check(o.T, filepath.WalkDir(o.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := copied + strings.TrimPrefix(path, o.Dir)
		if d.IsDir() {
			return os.Mkdir(to, 0o700)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(to, content, 0o600)
	}))
	return func() {
		o.T.Helper()
		Check(o.T, os.RemoveAll(o.Dir))
		Check(o.T, os.Rename(copied, o.Dir))
	}
}

// Look is what the organisation says of a transfer now.
func (o *Org) Look(id record.TransferID) apitype.Transfer {
	o.T.Helper()
	v, err := o.Transfer(o.T.Context(), id)
	Check(o.T, err)
	return v
}
