//go:build fault

package fault

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dxd/client"
	"dxd/record"
	"dxd/test/party"
)

// smallDisk puts the state directory of an organisation, whose daemon does not
// run, on a file system of its own, which takes root.
func smallDisk(o *party.Org, mib int) {
	o.T.Helper()
	onDisk(o, func(dir string) error {
		return syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=700", mib))
	})
}

func onDisk(o *party.Org, mount func(dir string) error) {
	o.T.Helper()
	passOn(o.T, filepath.Dir(o.Dir))
	putBack := o.Dir + ".moved"
	party.Check(o.T, os.Rename(o.Dir, putBack))
	party.Check(o.T, os.Mkdir(o.Dir, 0o700))
	if err := mount(o.Dir); err != nil {
		o.T.Fatalf("couldn't mount a file system (run as root): %v", err)
	}
	o.T.Cleanup(func() { unmount(o.T, o.Dir) })
	out, err := exec.Command("cp", "-a", putBack+"/.", o.Dir).CombinedOutput()
	if err != nil {
		o.T.Fatalf("%v: %s", err, out)
	}
	party.Check(o.T, os.RemoveAll(putBack))
	syscall.Sync() // or a disk that is given up has lost it
}

// passOn has unmounting something in a directory reach the mount namespaces
// that others made meanwhile, as ip(8) does for each of its commands: there a
// disk would stay mounted, and the kernel go on with what it had given up.
func passOn(t testing.TB, dir string) {
	t.Helper()
	party.Check(t, syscall.Mount(dir, dir, "", syscall.MS_BIND, ""))
	t.Cleanup(func() { unmount(t, dir) })
	party.Check(t, syscall.Mount("", dir, "", syscall.MS_SHARED, ""))
}

// unmount waits for whoever looks into the directory for a moment.
func unmount(t testing.TB, dir string) {
	t.Helper()
	party.Until(t, "unmounting "+dir, func() string {
		err := syscall.Unmount(dir, 0)
		if errors.Is(err, syscall.EBUSY) {
			return err.Error()
		}
		party.Check(t, err)
		return ""
	})
}

// fill takes all of the disk but so many bytes, as another program might.
func fill(o *party.Org, leave int64) (empty func()) {
	o.T.Helper()
	path := filepath.Join(o.Dir, "filler")
	f, err := os.Create(path)
	party.Check(o.T, err)
	var s syscall.Statfs_t
	party.Check(o.T, syscall.Statfs(o.Dir, &s))
	at, step := int64(0), int64(s.Bavail)*s.Bsize-leave
	for least := s.Bsize; step >= least; { // others write meanwhile, or give room back
		err := syscall.Fallocate(int(f.Fd()), 0, at, step)
		switch {
		case errors.Is(err, syscall.ENOSPC):
			step /= 2
		case err != nil:
			o.T.Fatal(err)
		case leave > 0:
			step = 0
		default:
			at += step
		}
	}
	party.Check(o.T, f.Close())
	return func() {
		o.T.Helper()
		party.Check(o.T, os.Remove(path))
	}
}

// What is left on a disk on which other programs took room: nothing; so much
// that files can be written and the journal takes nothing new; and so much that
// the journal does, and only payloads find no room. The reserve is 256 MiB, of
// which the journal may use half.
const (
	nothing     = 0
	noUpdates   = 60 << 20
	noPayloads  = 258 << 20
	diskOfParty = 420 // MiB
)

// onceThere calls f when so many bytes were read.
type onceThere struct {
	io.Reader
	after int64
	f     func()
}

func (r *onceThere) Read(b []byte) (int, error) {
	if r.f != nil && r.after <= 0 {
		r.f()
		r.f = nil
	}
	if r.f != nil {
		b = b[:min(int64(len(b)), r.after)]
	}
	n, err := r.Reader.Read(b)
	r.after -= int64(n)
	return n, err
}

func received(t *testing.T, f <-chan func()) func() {
	t.Helper()
	select {
	case got := <-f:
		return got
	case <-time.After(party.Patience):
		t.Fatal("it was refused before the disk was full")
		return nil
	}
}

func wantFull(t *testing.T, err error) {
	t.Helper()
	if record.KindOf(err) != record.Full || record.Hint(err) == "" {
		t.Errorf("%v (%s, %q), not full with a hint", err, record.KindOf(err), record.Hint(err))
	}
}

// saysIt waits until the log tells of something.
func saysIt(o *party.Org, text string) {
	o.T.Helper()
	party.Until(o.T, "a log that says "+text, func() string {
		if strings.Contains(o.Process.Log.String(), text) {
			return ""
		}
		return "it does not"
	})
}

// TestASenderWhoseDiskIsFullRefusesAndGoesOn has the disk fill up while a
// document is read, and when it has been read and is to be promised.
func TestASenderWhoseDiskIsFullRefusesAndGoesOn(t *testing.T) {
	for name, at := range map[string]struct{ size, after, leave int64 }{
		"before it is read":     {20 << 20, 0, noPayloads},
		"while it is read":      {20 << 20, 4 << 20, nothing},
		"when it is promised":   {party.Large, party.Large - 1, noUpdates},
		"a small one, promised": {party.Small, party.Small - 1, noUpdates},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := party.NewOrg(t, "alpha"), party.NewOrg(t, "beta")
			smallDisk(a, diskOfParty)
			a.Start()
			b.Start()
			party.Pair(a, b)
			d := party.Document{Seed: "full", Size: at.size}
			filled := make(chan func(), 1)
			s := client.Submission{To: []string{b.Alias}, Name: "full.bin", RequestID: "one"}
			_, err := a.Send(t.Context(), s, &onceThere{d.Open(), at.after, func() { filled <- fill(a, at.leave) }}, d.Size)
			wantFull(t, err)
			empty := received(t, filled) // the answer may come while the disk is being filled
			if all := a.AllTransfers(); len(all) != 0 {
				t.Errorf("it was refused, and there is %+v", all)
			}
			party.Until(t, "no file", func() string { return strings.Join(a.Payloads(), " ") })
			wantUnwell(a, at.leave)
			empty()
			sent, err := a.Send(t.Context(), s, d.Open(), d.Size)
			party.Check(t, err)
			a.Delivered(sent.Transfers[0].ID)
			party.Agree(a, b, sent.Transfers[0].ID, d)
		})
	}
}

// TestADaemonStopsOnAFullDisk: what Badger would write at the end meets the full
// disk in a map of a file, of which a process dies.
func TestADaemonStopsOnAFullDisk(t *testing.T) {
	a, b := party.NewOrg(t, "alpha"), party.NewOrg(t, "beta")
	smallDisk(a, diskOfParty)
	a.Start()
	b.Start()
	party.Pair(a, b)
	d := party.Document{Seed: "full", Size: party.Small}
	sent, err := a.Send(t.Context(), client.Submission{To: []string{b.Alias}, Name: "full.bin"}, d.Open(), d.Size)
	party.Check(t, err)
	a.Delivered(sent.Transfers[0].ID)
	empty := fill(a, nothing)
	party.Check(t, a.Process.Cmd.Process.Signal(syscall.SIGTERM))
	party.Within(t, party.Patience, "the end of "+a.Name, a.Process.Gone)
	if code := a.Process.Cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("the daemon ended with %d: %s", code, a.Process.Cmd.ProcessState)
	}
	saysIt(a, "couldn't close the journal")
	empty()
	a.Start()
	party.Agree(a, b, sent.Transfers[0].ID, d)
}

// wantUnwell fails unless the doctor says that the disk is full.
func wantUnwell(o *party.Org, left int64) {
	o.T.Helper()
	d, err := o.Doctor(o.T.Context(), "")
	party.Check(o.T, err)
	for _, c := range d.Checks {
		if c.Name == "disk" && (c.OK || !strings.Contains(c.Detail, "full")) && left < noPayloads {
			o.T.Errorf("the doctor says of the disk: %+v", c)
		}
	}
}

// TestMessagesWaitForRoomOnTheSendersDisk has messages accepted, and no room
// for the bundle in which they are to travel.
func TestMessagesWaitForRoomOnTheSendersDisk(t *testing.T) {
	t.Parallel()
	a, b := party.NewOrg(t, "alpha"), party.NewOrg(t, "beta")
	smallDisk(a, diskOfParty)
	a.Start()
	b.Start()
	party.Pair(a, b)
	b.Stop()
	texts, ids := accepts(a, b, 20)
	empty := fill(a, noUpdates)
	b.Start()
	saysIt(a, "no room on the disk")
	empty()
	for i, id := range ids {
		a.Delivered(id)
		b.Says(id, []byte(texts[i]))
		b.WantTold(id, "message.received")
	}
}

// accepts hands messages over, which wait.
func accepts(from, to *party.Org, n int) (texts []string, ids []record.TransferID) {
	from.T.Helper()
	for i := range n {
		text := fmt.Sprintf("message %d", i)
		m, err := from.SendMessage(from.T.Context(), client.Submission{To: []string{to.Alias}}, strings.NewReader(text), int64(len(text)))
		party.Check(from.T, err)
		texts, ids = append(texts, text), append(ids, m.Transfers[0].ID)
	}
	return texts, ids
}

// TestARecipientWhoseDiskIsFullGetsItLater has the disk full at the offer, in
// the middle of the body, and when all is there and to be acknowledged.
func TestARecipientWhoseDiskIsFullGetsItLater(t *testing.T) {
	const size = 6 << 20
	for name, at := range map[string]struct{ size, after, leave int64 }{
		"when it is offered":            {size, 0, noPayloads},
		"in the middle":                 {size, size / 2, nothing},
		"when it is acknowledged":       {size, size - 64<<10, noUpdates},
		"a small one, when it comes":    {party.Small, 0, noUpdates},
		"a small one, without any room": {party.Small, 0, nothing},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := party.NewOrg(t, "alpha"), party.NewOrg(t, "beta")
			smallDisk(b, diskOfParty)
			l := party.NewLink(t, a, b, false)
			a.Start()
			b.Start()
			party.Pair(a, b)
			d := party.Document{Seed: "full", Size: at.size}
			var id record.TransferID
			var empty func()
			if at.after == 0 {
				empty = fill(b, at.leave)
				id = a.SendDocument(b, d)
			} else {
				held := l.Hold(at.after)
				id = a.SendDocument(b, d)
				party.Within(t, party.Patience, "the middle", held)
				empty = fill(b, at.leave)
				l.Release()
			}
			saysIt(b, "full")
			if v := a.Look(id); v.State != "queued" && v.State != "sending" {
				t.Errorf("it is %s (%s) where there is no room yet", v.State, v.Reason)
			}
			empty()
			a.Delivered(id)
			party.Agree(a, b, id, d)
		})
	}
}

// TestMessagesWaitForRoomOnTheRecipientsDisk has no room for what arrives.
func TestMessagesWaitForRoomOnTheRecipientsDisk(t *testing.T) {
	t.Parallel()
	a, b := party.NewOrg(t, "alpha"), party.NewOrg(t, "beta")
	smallDisk(b, diskOfParty)
	a.Start()
	b.Start()
	party.Pair(a, b)
	empty := fill(b, noUpdates)
	texts, ids := accepts(a, b, 20)
	saysIt(b, "full")
	empty()
	for i, id := range ids {
		a.Delivered(id)
		b.Says(id, []byte(texts[i]))
		b.WantTold(id, "message.received")
	}
}

// TestAFullDiskUnderLoadHarmsNothing takes the disk away and gives it back
// while both sides send. A daemon that ends for want of room is started again,
// as a service manager does.
func TestAFullDiskUnderLoadHarmsNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		of   func(p *pair) []*party.Org
	}{
		{"disk full at one side", func(p *pair) []*party.Org { return []*party.Org{[]*party.Org{p.a, p.b}[p.rand.IntN(2)]} }},
		{"disk full at both sides", func(p *pair) []*party.Org { return []*party.Org{p.a, p.b} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, c.name, func(a, b *party.Org) {
				smallDisk(a, diskOfParty)
				smallDisk(b, diskOfParty)
			})
			for range times(4, 12) { // for which the disk has room
				p.fullUnderLoad(c.of(p))
				if t.Failed() {
					return
				}
			}
		})
	}
}

func (p *pair) fullUnderLoad(whose []*party.Org) {
	p.t.Helper()
	stop := p.load()
	var empty []func()
	for _, o := range whose {
		pause(time.Duration(p.rand.IntN(300)) * time.Millisecond) // when it fills up is what is drawn
		empty = append(empty, fill(o, []int64{nothing, noUpdates, noPayloads}[p.rand.IntN(3)]))
	}
	pause(time.Duration(p.rand.IntN(700)) * time.Millisecond)
	for _, f := range empty {
		f()
	}
	for _, o := range whose {
		select {
		case <-o.Process.Gone:
			p.t.Logf("the daemon of %s ended: %s", o.Name, o.Process.Log)
			o.Start()
		default:
		}
	}
	stop()
	p.checked(p.start)
}
