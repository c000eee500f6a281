//go:build fault

package fault

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"dxd/client"
	"dxd/internal/daemon"
	"dxd/record"
	"dxd/test/party"
)

// realDisk puts the state directory of an organisation, whose daemon does not
// run, on a file system of its own that a kernel makes read-only when it has
// lost its trust in the disk.
func realDisk(o *party.Org) {
	o.T.Helper()
	image := o.Dir + ".img"
	party.Check(o.T, os.WriteFile(image, nil, 0o600))
	party.Check(o.T, os.Truncate(image, int64(times(450, 2<<10))<<20)) // what nobody writes to takes no room
	party.Check(o.T, commanded(o.T, "mkfs.ext4", "-q", image))
	onDisk(o, func(dir string) error { return commanded(o.T, "mount", "-o", "loop", image, dir) })
}

// giveUp has the kernel write nothing more to a real disk, as after an error:
// what was not synced by now is never there.
func giveUp(o *party.Org) {
	o.T.Helper()
	party.Check(o.T, commanded(o.T, "mount", "-o", "remount,abort", o.Dir))
}

// freeze stops the daemon where it is. While the kernel gives a disk up, it may
// say of a sync that it was done, and lose it. Where power is lost nobody is
// left to whom that could be said, or who would tell others.
func freeze(o *party.Org) {
	o.T.Helper()
	party.Check(o.T, o.Process.Cmd.Process.Signal(syscall.SIGSTOP))
	tasks := fmt.Sprintf("/proc/%d/task", o.Process.Cmd.Process.Pid)
	party.Until(o.T, "threads that stand still", func() string {
		threads, err := os.ReadDir(tasks)
		party.Check(o.T, err)
		for _, thread := range threads {
			stat, err := os.ReadFile(tasks + "/" + thread.Name() + "/stat")
			if err != nil {
				continue // it has ended
			}
			_, after, _ := strings.Cut(string(stat), ") ")
			if !strings.HasPrefix(after, "T") && !strings.HasPrefix(after, "D") { // D: in the kernel, which it does not leave
				return "one is " + after[:1]
			}
		}
		return ""
	})
}

// comesBack checks a disk that was given up, as a start of the machine does. No
// process has it open.
func comesBack(o *party.Org) {
	o.T.Helper()
	unmount(o.T, o.Dir)
	out, err := exec.CommandContext(o.T.Context(), "e2fsck", "-f", "-y", o.Dir+".img").CombinedOutput()
	if e, ok := err.(*exec.ExitError); err != nil && (!ok || e.ExitCode() > 1) { // 1: errors were found, and mended
		o.T.Fatalf("%v: %s", err, out)
	}
	party.Check(o.T, commanded(o.T, "mount", "-o", "loop", o.Dir+".img", o.Dir))
}

// TestADaemonDoesNotStartOnAReadOnlyDisk says so in words.
func TestADaemonDoesNotStartOnAReadOnlyDisk(t *testing.T) {
	t.Parallel()
	a := party.NewOrg(t, "alpha")
	smallDisk(a, diskOfParty)
	a.Start()
	a.Stop()
	party.Check(t, syscall.Mount("", a.Dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	said := a.FailsToStartAsItIs()
	if !strings.Contains(said, "read-only") {
		t.Errorf("it said: %s", said)
	}
	saysDoctor(a)
	party.Check(t, syscall.Mount("", a.Dir, "", syscall.MS_REMOUNT, ""))
	a.Start()
}

// saysDoctor wants a doctor that tells of the read-only disk: of a daemon that
// runs in its check of the disk, and without one by not getting any further.
func saysDoctor(o *party.Org) {
	o.T.Helper()
	var said string
	select {
	case <-o.Process.Gone:
		_, err := daemon.OpenOffline(o.T.Context(), offline(o))
		said = fmt.Sprintf("%v (%s)", err, record.Hint(err))
	default:
		d, err := o.Doctor(o.T.Context(), "")
		party.Check(o.T, err)
		for _, c := range d.Checks {
			if c.Name == "disk" && !c.OK {
				said = c.Detail
			}
		}
	}
	if !strings.Contains(said, "disk that holds the state directory is read-only") {
		o.T.Errorf("the doctor says: %s", said)
	}
}

// TestADiskThatTurnsReadOnlyHarmsNothing has the kernel give a disk up under a
// daemon that runs, as it does after errors.
func TestADiskThatTurnsReadOnlyHarmsNothing(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"the sender's", "the recipient's"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := party.NewOrg(t, "alpha"), party.NewOrg(t, "beta")
			victim := map[string]*party.Org{"the sender's": a, "the recipient's": b}[name]
			realDisk(victim)
			a.Start()
			b.Start()
			party.Pair(a, b)
			before, after := party.Document{Seed: "before", Size: party.Large}, party.Document{Seed: "after", Size: party.Large}
			id := a.SendDocument(b, before)
			a.Delivered(id)
			giveUp(victim)
			saysDoctor(victim)
			sent, err := a.Send(t.Context(), client.Submission{To: []string{b.Alias}, Name: "after.bin", RequestID: "after"}, after.Open(), after.Size)
			switch {
			case victim == b && err == nil:
				saysIt(b, "read-only")
			case victim == b || record.KindOf(err) != record.Unavailable || !strings.Contains(record.Hint(err), "read-only"):
				t.Errorf("with a read-only disk here: %v (%s)", err, record.Hint(err))
			}
			victim.Process.Kill() // if it did not end by itself
			comesBack(victim)
			victim.Start()
			if sent, err = a.Send(t.Context(), client.Submission{To: []string{b.Alias}, Name: "after.bin", RequestID: "after"}, after.Open(), after.Size); err != nil {
				t.Fatal(err)
			}
			next := sent.Transfers[0].ID
			a.Delivered(next)
			b.Keeps(id, before)
			b.Keeps(next, after)
			for _, id := range []record.TransferID{id, next} {
				a.WantTold(id, "transfer.delivered")
				b.WantTold(id, "document.received")
			}
		})
	}
}

// TestAtALossOfPowerUnderLoadNothingIsLost has a real file system lose what was
// not synced, at any time.
func TestAtALossOfPowerUnderLoadNothingIsLost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		victims func(p *pair) []*party.Org
	}{
		{"loss of power at one side", func(p *pair) []*party.Org { return []*party.Org{[]*party.Org{p.a, p.b}[p.rand.IntN(2)]} }},
		{"loss of power at both sides", func(p *pair) []*party.Org { return []*party.Org{p.a, p.b} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, c.name, func(a, b *party.Org) {
				realDisk(a)
				realDisk(b)
			})
			for range times(4, 40) {
				p.powerLost(c.victims(p))
				if t.Failed() {
					return
				}
			}
		})
	}
}

func (p *pair) powerLost(victims []*party.Org) {
	p.t.Helper()
	stop := p.load()
	for _, o := range victims {
		pause(time.Duration(p.rand.IntN(400)) * time.Millisecond) // when the power goes is what is drawn
		freeze(o)
		giveUp(o)
		o.Process.Kill()
		accepted := p.accepted(o)
		comesBack(o)
		p.promised(o, accepted)
	}
	for _, o := range victims {
		o.Start()
	}
	stop()
	p.checked(p.start)
}
