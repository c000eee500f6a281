package e2e

import (
	"bufio"
	"encoding/json"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dxd/api/apitype"
	"dxd/client"
	"dxd/record"
	"dxd/test/party"
)

// consumer is the application that reads events through `dxd events`, and is
// killed again and again.
type consumer struct {
	t      *testing.T
	binary string
	of     *party.Org
	name   string
	own    bool                       // it acknowledges itself, and dies with what stands in the pipe
	last   int64                      // number of the last event that it saw
	seen   map[record.TransferID]bool // whose arrival it saw
	runs   int
}

// run runs the command until it has printed so many lines, or all arrivals are
// seen, and ends it with the signal. Then it takes what was printed by then,
// unless it acknowledges itself.
func (c *consumer) run(lines, arrivals int, end os.Signal) {
	c.t.Helper()
	c.runs++
	acked := c.acked()
	cmd := exec.Command(c.binary, "events", "--dir", c.of.Dir, "--follow", "--name", c.name, "--json")
	if c.own {
		cmd.Args = append(cmd.Args, "--no-ack")
	}
	out, err := cmd.StdoutPipe()
	party.Check(c.t, err)
	party.Check(c.t, cmd.Start())
	stuck := time.AfterFunc(party.Patience, func() { _ = cmd.Process.Kill() }) // and then too few have arrived
	previous := int64(0)
	for scanner, n := bufio.NewScanner(out), 0; scanner.Scan(); {
		var e apitype.Event
		party.Check(c.t, json.Unmarshal(scanner.Bytes(), &e))
		switch {
		case previous == 0 && (e.Seq <= acked || e.Seq > c.last+1 || c.own && e.Seq != acked+1):
			c.t.Errorf("run %d of %s begins with event %d: up to %d were acknowledged, up to %d seen", c.runs, c.name, e.Seq, acked, c.last)
		case previous != 0 && e.Seq != previous+1:
			c.t.Errorf("run %d of %s: event %d behind %d", c.runs, c.name, e.Seq, previous)
		}
		previous = e.Seq
		c.last = max(c.last, e.Seq)
		if e.Type == "document.received" || e.Type == "message.received" {
			c.seen[e.ID] = true
		}
		if n++; n == lines || len(c.seen) == arrivals {
			party.Check(c.t, cmd.Process.Signal(end))
			if c.own {
				break // with the last one not acknowledged
			}
		}
		if c.own {
			party.Check(c.t, c.of.Acknowledge(c.t.Context(), c.name, e.Seq))
		}
	}
	if !stuck.Stop() {
		c.t.Fatalf("after %d arrivals nothing came for %s", len(c.seen), party.Patience)
	}
	party.Check(c.t, party.IgnoreExit(cmd.Wait()))
	if code := cmd.ProcessState.ExitCode(); end == syscall.SIGTERM && code != 0 {
		c.t.Errorf("asked to end, it ended with %d", code)
	}
}

// acked is up to which event the consumer is done, as the daemon says; 0 before
// it first came.
func (c *consumer) acked() (seq int64) {
	party.Until(c.t, "an answer of the daemon", func() string {
		s, err := c.of.Subscription(c.t.Context(), c.name)
		if err != nil && record.KindOf(err) != record.NotFound {
			return err.Error()
		}
		seq = s.Acked
		return ""
	})
	return seq
}

// buildDxd builds the program. The go command keeps a test's result until a
// file changes that it imports or has opened, so the sources are looked at.
func buildDxd(t *testing.T) string {
	t.Helper()
	party.Check(t, filepath.WalkDir("../../cmd/dxd", func(_ string, _ fs.DirEntry, err error) error { return err }))
	path := filepath.Join(t.TempDir(), "dxd")
	if out, err := exec.Command("go", "build", "-o", path, "dxd/cmd/dxd").CombinedOutput(); err != nil {
		t.Fatalf("couldn't build dxd: %v\n%s", err, out)
	}
	return path
}

// sendMany sends documents and messages, several at a time.
func sendMany(o *party.Org, to *party.Org, n int) {
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := worker; i < n; i += 8 {
				submit := o.SendMessage
				s := client.Submission{To: []string{to.Alias}}
				if i%4 == 0 {
					submit, s.Name = o.Client.Send, "small.txt"
				}
				body := "number " + time.Now().String()
				if _, err := submit(o.T.Context(), s, strings.NewReader(body), int64(len(body))); err != nil {
					o.T.Errorf("transfer %d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestAConsumerThatIsKilledSeesEveryEvent(t *testing.T) {
	t.Parallel()
	transfers := 2000
	if party.RaceDetector { // with which everything takes ten times as long
		transfers = 300
	}
	a, b := party.NewPair(t)
	app := &consumer{t: t, binary: buildDxd(t), of: b, name: "app", seen: map[record.TransferID]bool{}}
	erp := &consumer{t: t, binary: app.binary, of: b, name: "erp", own: true, seen: map[record.TransferID]bool{}}
	begun := time.Now()
	var wg sync.WaitGroup
	wg.Go(func() { sendMany(a, b, transfers) })
	defer wg.Wait()
	for len(app.seen) < transfers || len(erp.seen) < transfers {
		for _, c := range []*consumer{app, erp} {
			if len(c.seen) < transfers {
				c.run(2+rand.IntN(200), transfers, syscall.SIGKILL)
			}
		}
	}
	t.Logf("%d events in %d and %d runs, %s", app.last, app.runs, erp.runs, time.Since(begun).Round(time.Millisecond))
	// Asked to end, it acknowledges what it has printed.
	wg.Wait()
	a.Delivered(a.SendDocument(b, party.Document{Seed: "one more", Size: 100}))
	app.run(0, transfers+1, syscall.SIGTERM)
	if acked := app.acked(); acked != app.last {
		t.Errorf("ended by hand, it has acknowledged %d of %d", acked, app.last)
	}
	all, err := b.Transfers(t.Context(), client.Filter{Direction: "in", Limit: 1000})
	party.Check(t, err)
	for _, one := range all {
		if !app.seen[one.ID] {
			t.Errorf("the arrival of %s was not seen", one.ID)
		}
	}
}
