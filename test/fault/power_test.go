//go:build fault

package fault

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"

	"dxd/client"
	"dxd/test/party"
)

// tracedCalls are those that change files, make them durable, or show a commit
// point.
const tracedCalls = "openat,write,pwrite64,writev,pwritev,copy_file_range,splice,sendfile,ftruncate,fsync,fdatasync,msync,mmap,mremap," +
	"rename,renameat,renameat2,link,linkat,unlink,unlinkat,rmdir,mkdir,mkdirat,faccessat,faccessat2"

// underStrace is the command under which another one is traced. With -D the
// tracer stands aside, so that signals go to the traced process.
func underStrace(t *testing.T, out string) []string {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Fatalf("%v (apt-get install strace)", err)
	}
	return []string{"strace", "-D", "-f", "--seccomp-bpf", "-y", "-q", "-s", "0", "-o", out, "-e", "trace=" + tracedCalls}
}

// traced reads a trace that is whole.
func traced(t *testing.T, out string) []call {
	t.Helper()
	var raw []byte
	party.Until(t, "the end of the trace", func() (amiss string) {
		var err error
		raw, err = os.ReadFile(out)
		party.Check(t, err)
		if lines := bytes.Split(bytes.TrimSpace(raw), []byte("\n")); !bytes.Contains(lines[len(lines)-1], []byte("+++ exited")) {
			return "it has no end"
		}
		return ""
	})
	calls, err := readCalls(bytes.NewReader(raw))
	party.Check(t, err)
	return calls
}

// below lists a directory and all that is below it.
func below(t *testing.T, dir string) (paths []string) {
	t.Helper()
	party.Check(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		paths = append(paths, path)
		return err
	}))
	return paths
}

// tracedOrg is an organisation whose daemon is traced.
type tracedOrg struct {
	*party.Org
	out    string
	before []string
}

func newTracedOrg(t *testing.T, name string) *tracedOrg {
	t.Helper()
	o := &tracedOrg{Org: party.NewOrg(t, name)}
	o.out = filepath.Join(t.TempDir(), "trace")
	o.Under = underStrace(t, o.out)
	o.before = below(t, o.Dir)
	return o
}

// disk is what the trace says of it, with some calls left out.
func (o *tracedOrg) disk(calls []call, without func(call) bool) *tracedDisk {
	d := newTracedDisk(o.Dir, o.before)
	d.replay(slices.DeleteFunc(slices.Clone(calls), without))
	d.ends("the daemon is stopped")
	return d
}

// TestWhatIsPromisedIsOnTheDiskWhenThePowerGoes traces two daemons that
// exchange documents and messages, and demands at each commit point that all of
// the state directory has been synced.
func TestWhatIsPromisedIsOnTheDiskWhenThePowerGoes(t *testing.T) {
	a, b := newTracedOrg(t, "alpha"), newTracedOrg(t, "beta")
	a.Start()
	b.Start()
	party.Pair(a.Org, b.Org)
	exchanges(t, a.Org, b.Org)
	exchanges(t, b.Org, a.Org)
	for _, role := range []string{"signing", "storage"} {
		rotates(t, a.Org, role)
	}
	a.Stop()
	b.Stop()
	sum := map[string]*moments{}
	for _, o := range []*tracedOrg{a, b} {
		calls := traced(t, o.out)
		d := o.disk(calls, func(call) bool { return false })
		for _, what := range d.found {
			t.Errorf("%s: %s", o.Name, what)
		}
		for _, p := range d.passed {
			if sum[p.what] == nil {
				sum[p.what] = &moments{}
			}
			sum[p.what].add(p)
		}
		if o == a { // which has passed all points
			o.missesNothing(calls)
		}
	}
	t.Logf("what was checked:\n%s", tableOf(sum))
	for _, point := range []string{
		"after-queued", "after-bundled", "after-receiving", "before-received", "after-received", "after-delivered", "after-said", "after-heard",
		"after-greeted", "after-erased", "after-keyring", "after-card", "a log of the journal is removed", "the daemon is stopped",
	} {
		if sum[point] == nil {
			t.Errorf("%s did not occur", point)
		}
	}
}

// exchanges has the commit points of transfers passed, one after another:
// while one transfer is at a point, nothing else may be half written.
func exchanges(t *testing.T, from, to *party.Org) {
	t.Helper()
	ctx := t.Context()
	large := from.SendDocument(to, party.Document{Seed: "large", Size: party.Large})
	from.Delivered(large)
	small := from.SendDocument(to, party.Document{Seed: "small", Size: party.Small})
	from.Delivered(small)
	_, err := to.Accept(ctx, small, "")
	party.Check(t, err)
	from.WaitFor(party.Patience, small, "accepted")
	_, err = to.Erase(ctx, large)
	party.Check(t, err)
	var sent sync.WaitGroup
	for i := range 30 { // so many at once are no bundle each
		sent.Go(func() {
			text := fmt.Sprintf("message %d", i)
			m, err := from.SendMessage(ctx, client.Submission{To: []string{to.Alias}}, strings.NewReader(text), int64(len(text)))
			if err != nil {
				t.Error(err)
				return
			}
			if v, err := from.Wait(ctx, m.Transfers[0].ID, "delivered", nil); err != nil || v.State != "delivered" {
				t.Errorf("%s (%s), %v", v.State, v.Reason, err)
			}
		})
	}
	sent.Wait()
}

// rotates replaces a key, and waits until the journal has followed.
func rotates(t *testing.T, o *party.Org, role string) {
	t.Helper()
	if role != "storage" {
		_, err := o.RotateKey(t.Context(), role, false)
		party.Check(t, err)
		return
	}
	_, err := o.RotateStorageKey(t.Context())
	party.Check(t, err)
	party.Until(t, "the end of the rotation", func() string {
		s, err := o.StorageRotation(t.Context())
		party.Check(t, err)
		if s.UnderWay {
			return "it is under way"
		}
		return ""
	})
}

// missesNothing fails unless a sync that is taken out of the trace is missed:
// so the checks are worth something.
func (o *tracedOrg) missesNothing(calls []call) {
	o.T.Helper()
	in := func(c call, dir string) bool { return strings.HasPrefix(pathOf(c.arg(0)), filepath.Join(o.Dir, dir)) }
	for what, is := range map[string]func(c call) bool{
		"fsync of payloads":                func(c call) bool { return c.name == "fsync" && in(c, "payloads/") },
		"fsync of the payloads' directory": func(c call) bool { return c.name == "fsync" && pathOf(c.arg(0)) == filepath.Join(o.Dir, "payloads") },
		"fsync of the journal's directory": func(c call) bool { return c.name == "fsync" && pathOf(c.arg(0)) == filepath.Join(o.Dir, "journal") },
		"msync of tables":                  func(c call) bool { return c.name == "msync" },
		"fdatasync of the journal's log":   func(c call) bool { return c.name == "fdatasync" && filepath.Ext(pathOf(c.arg(0))) == ".mem" },
		"sync of the journal's files":      func(c call) bool { return strings.HasSuffix(c.name, "sync") && in(c, "journal/") },
		"fsync of the keyring":             func(c call) bool { return c.name == "fsync" && in(c, ".dxd-tmp-") },
		"fsync of the state directory":     func(c call) bool { return c.name == "fsync" && pathOf(c.arg(0)) == o.Dir },
	} {
		n := 0
		d := o.disk(calls, func(c call) bool {
			if is(c) {
				n++
			}
			return is(c)
		})
		if n == 0 || len(d.found) == 0 {
			o.T.Errorf("%s: without the %d calls: %s, nothing is missed", o.Name, n, what)
		}
		o.T.Logf("%s: without the %d calls: %s, %d things are missed", o.Name, n, what, len(d.found))
	}
}

// moments sums up what was checked at one commit point.
type moments struct{ times, files, names, log int }

func (m *moments) add(p passed) {
	m.times++
	m.files += p.files
	m.names += p.names
	m.log += p.log
}

func tableOf(sum map[string]*moments) string {
	var text strings.Builder
	tabs := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tabs, "times\tfiles synced\tnames synced\tsyncs of the log since \"before\"\t  moment")
	what := make([]string, 0, len(sum))
	for w := range sum {
		what = append(what, w)
	}
	slices.Sort(what)
	for _, w := range what {
		m := sum[w]
		fmt.Fprintf(tabs, "%d\t%d\t%d\t%d\t  %s\n", m.times, m.files, m.names, m.log, w)
	}
	_ = tabs.Flush() // a strings.Builder takes everything
	return text.String()
}

// TestAStateDirectoryThatWasMadeIsOnTheDisk traces `dxd init`, which also makes
// the directories above.
func TestAStateDirectoryThatWasMadeIsOnTheDisk(t *testing.T) {
	base := t.TempDir()
	dxd := filepath.Join(base, "dxd")
	party.Check(t, commanded(t, "go", "build", "-o", dxd, "dxd/cmd/dxd"))
	out, dir := filepath.Join(base, "trace"), filepath.Join(base, "var", "lib", "state")
	command := append(underStrace(t, out), dxd, "init", "--dir", dir, "--name", "Acme Ltd", "--no-passphrase")
	party.Check(t, commanded(t, command...))
	calls := traced(t, out)
	check := func(without func(call) bool) *tracedDisk {
		d := newTracedDisk(dir, []string{base})
		d.above = true
		d.replay(slices.DeleteFunc(slices.Clone(calls), without))
		d.ends("dxd init has ended")
		return d
	}
	d := check(func(call) bool { return false })
	for _, what := range d.found {
		t.Error(what)
	}
	t.Logf("checked: %+v", d.passed)
	if d := check(func(c call) bool { return c.name == "fsync" && pathOf(c.arg(0)) == dir }); len(d.found) == 0 {
		t.Error("without the fsync of the directory, nothing is missed")
	}
}

func commanded(t testing.TB, command ...string) error {
	t.Helper()
	said, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", command[0], err, said)
	}
	return nil
}
