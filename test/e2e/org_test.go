package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dxd/api/apitype"
	"dxd/client"
	"dxd/crypto"
	"dxd/exchange"
	"dxd/internal/daemon"
)

// org is an organisation with a state directory and a daemon, which can be
// stopped, killed and started again.
type org struct {
	*client.Client
	t       testing.TB
	name    string
	alias   string // by which its partners know it: its name, unless set before pairing
	dir     string // state directory
	log     string // of all its processes
	keys    *crypto.Keyring
	port    int
	config  map[string]string // of dxd.toml, values as TOML
	dieAt   exchange.Point
	process *process
}

// newOrg makes an organisation whose daemon does not run yet.
func newOrg(t testing.TB, name string) *org {
	t.Helper()
	// Short, since a path of a Unix socket must be.
	base, err := os.MkdirTemp("", "dxd-e2e-")
	check(t, err)
	t.Cleanup(func() { check(t, os.RemoveAll(base)) })
	o := &org{t: t, name: name, alias: name, dir: filepath.Join(base, "state"), log: filepath.Join(base, "log"), port: freePort(t)}
	o.config = map[string]string{
		"listen": fmt.Sprintf(`["/ip4/127.0.0.1/tcp/%d", "/ip4/127.0.0.1/udp/%d/quic-v1"]`, o.port, o.port),
	}
	_, o.keys, err = daemon.Create(t.Context(), o.dir, name, nil, nil)
	check(t, err)
	o.Client, err = client.New(client.Config{API: "unix:" + filepath.Join(o.dir, "api.sock")})
	check(t, err)
	t.Cleanup(o.Close)
	t.Cleanup(func() {
		if log, err := os.ReadFile(o.log); t.Failed() && err == nil {
			t.Logf("the log of %s:\n%s", name, log)
		}
	})
	return o
}

// freePort finds a port that is free for TCP and UDP, below those that
// outgoing connections take.
func freePort(t testing.TB) int {
	t.Helper()
	for {
		port := 12000 + rand.IntN(20000)
		tcp, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		udp, err := net.ListenPacket("udp4", fmt.Sprintf("127.0.0.1:%d", port))
		check(t, tcp.Close())
		if err != nil {
			continue
		}
		check(t, udp.Close())
		return port
	}
}

// launch writes the configuration and starts the daemon.
func (o *org) launch() {
	o.t.Helper()
	var toml bytes.Buffer
	for key, value := range o.config {
		fmt.Fprintf(&toml, "%s = %s\n", key, value)
	}
	check(o.t, os.WriteFile(filepath.Join(o.dir, "dxd.toml"), toml.Bytes(), 0o600))
	o.process = launch(o.t, o.dir, o.log, o.dieAt)
}

// start starts the daemon, waits until it is ready, and says how long it took.
func (o *org) start() time.Duration {
	o.t.Helper()
	o.launch()
	p := o.process
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.log.ready:
		return p.log.since.Sub(p.begun)
	case <-p.gone:
		o.t.Fatalf("the daemon of %s ended before it was ready: %s", o.name, p.log)
	case <-timer.C:
		o.t.Fatalf("the daemon of %s is not ready within %s", o.name, patience)
	}
	return 0
}

// startAfterDeath waits until the daemon has died where it was to, and starts
// it again.
func (o *org) startAfterDeath() {
	o.t.Helper()
	within(o.t, patience, "death", o.process.gone)
	if !o.process.died() {
		o.t.Fatalf("it ended otherwise: %s", o.process.log)
	}
	o.dieAt = ""
	o.start()
}

// stop ends the daemon as an operator does; it must exit with 0.
func (o *org) stop() {
	o.t.Helper()
	check(o.t, o.process.cmd.Process.Signal(syscall.SIGTERM))
	within(o.t, patience, "the end of "+o.name, o.process.gone)
	if code := o.process.cmd.ProcessState.ExitCode(); code != 0 {
		o.t.Errorf("the daemon of %s ended with %d", o.name, code)
	}
}

// failsToStart starts a daemon that has to refuse, and gives what it said.
func (o *org) failsToStart() string {
	o.t.Helper()
	o.launch()
	within(o.t, patience, "the end of "+o.name, o.process.gone)
	if code := o.process.cmd.ProcessState.ExitCode(); code != 1 {
		o.t.Errorf("the daemon of %s ended with %d, not 1", o.name, code)
	}
	return o.process.log.String()
}

// payloads lists the files that the daemon keeps.
func (o *org) payloads() []string {
	o.t.Helper()
	entries, err := os.ReadDir(filepath.Join(o.dir, "payloads"))
	check(o.t, err)
	var names []string
	for _, e := range entries {
		names = append(names, filepath.Join(o.dir, "payloads", e.Name()))
	}
	return names
}

// onlyPayload is the path of the one file that is kept.
func (o *org) onlyPayload() string {
	o.t.Helper()
	names := o.payloads()
	if len(names) != 1 {
		o.t.Fatalf("%s keeps %d files, not one: %v", o.name, len(names), names)
	}
	return names[0]
}

// partial is the path of the one file that is on its way in.
func (o *org) partial() string {
	o.t.Helper()
	name := o.onlyPayload()
	if !strings.HasSuffix(name, ".partial") {
		o.t.Fatalf("the file is whole: %s", name)
	}
	return name
}

// transfers lists all.
func (o *org) transfers() []apitype.Transfer {
	o.t.Helper()
	all, err := o.Transfers(o.t.Context(), client.Filter{})
	check(o.t, err)
	return all
}

// pair lets two running organisations accept each other's cards.
func pair(a, b *org) {
	a.t.Helper()
	for _, p := range []struct{ from, to *org }{{a, b}, {b, a}} {
		card, err := p.from.Card(a.t.Context())
		check(a.t, err)
		_, err = p.to.AddPartner(a.t.Context(), p.from.alias, card, "")
		check(a.t, err)
	}
}

// newPair makes two organisations that run and know each other.
func newPair(t testing.TB) (a, b *org) {
	t.Helper()
	a, b = newOrg(t, "alpha"), newOrg(t, "beta")
	a.start()
	b.start()
	pair(a, b)
	return a, b
}
