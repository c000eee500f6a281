package e2e

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dxd/record"
)

// damage is something that happens to a file on a disk.
type damage struct {
	name string
	do   func(t *testing.T, path string)
}

// flipAt flips the lowest bit of a byte, counted from the end if negative.
func flipAt(at int64) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		check(t, err)
		info, err := f.Stat()
		check(t, err)
		if at < 0 {
			at += info.Size()
		}
		b := make([]byte, 1)
		_, err = f.ReadAt(b, at)
		check(t, err)
		b[0] ^= 1
		_, err = f.WriteAt(b, at)
		check(t, err)
		check(t, f.Close())
	}
}

func cutShort(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	check(t, err)
	check(t, os.Truncate(path, info.Size()-1))
}

func lengthen(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	check(t, err)
	_, err = f.Write(make([]byte, 100))
	check(t, err)
	check(t, f.Close())
}

func remove(t *testing.T, path string) {
	t.Helper()
	check(t, os.Remove(path))
}

// damages are what may happen to a large document's sealed file.
var damages = []damage{
	{"a bit of the nonce", flipAt(0)},
	{"a bit of the first bytes", flipAt(100)},
	{"a bit in the middle", flipAt(large / 2)},
	{"a bit of the last tag", flipAt(-1)},
	{"the last byte is gone", cutShort},
	{"bytes behind the end", lengthen},
	{"the file is gone", remove},
}

func TestAQueuedDocumentThatIsDamagedFailsAlone(t *testing.T) {
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			a, b := newPair(t)
			b.stop()
			id := a.send(b, document{"damaged", large})
			d.do(t, a.onlyPayload())
			next := document{"next", large}
			nextID := a.send(b, next)
			b.start()
			if v := a.wait(id, "delivered"); v.State != "failed" || v.Reason != "damaged" {
				t.Errorf("%s (%s), not failed (damaged)", v.State, v.Reason)
			}
			a.delivered(nextID)
			b.keeps(nextID, next)
			if all := b.transfers(); len(all) != 1 {
				t.Errorf("the recipient has %+v", all)
			}
			until(t, "one whole file", b.oneWholeFile)
		})
	}
}

func TestAReceivedDocumentThatIsDamagedIsNeverHandedOut(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	d := document{"damaged", large}
	id := a.send(b, d)
	a.delivered(id)
	b.keeps(id, d)
	path := b.onlyPayload()
	whole, err := os.ReadFile(path)
	check(t, err)
	for _, how := range damages {
		how.do(t, path)
		said := b.handsNothingOut(id, d)
		t.Logf("%s: %v", how.name, said)
		check(t, os.WriteFile(path, whole, 0o600))
		b.keeps(id, d) // so it was the damage
	}
}

// handsNothingOut fails if the document comes whole; it gives the error.
func (o *org) handsNothingOut(id record.TransferID, d document) error {
	o.t.Helper()
	c, err := o.Content(o.t.Context(), id)
	if err == nil {
		var n int64
		n, err = io.Copy(io.Discard, c)
		if n >= d.size {
			o.t.Errorf("%d of %d bytes were handed out", n, d.size)
		}
		check(o.t, c.Close())
	}
	if err == nil || record.KindOf(err) != record.Damaged && record.KindOf(err) != record.Unreachable {
		o.t.Errorf("%s: %v", record.KindOf(err), err)
	}
	return err
}

func TestAPartialFileThatIsDamagedIsFetchedAgain(t *testing.T) {
	for _, how := range damages {
		t.Run(how.name, func(t *testing.T) {
			t.Parallel()
			a, b := newOrg(t, "alpha"), newOrg(t, "beta")
			l := newLink(t, a, b, false)
			a.start()
			b.start()
			pair(a, b)
			d := document{"damaged", 2 * large}
			held := l.hold(large + large/2)
			id := a.send(b, d)
			within(t, "the middle", held)
			b.process.kill()
			l.cut()
			how.do(t, b.partial())
			l.release()
			b.start()
			a.delivered(id)
			agree(a, b, id, d)
			t.Logf("%d of %d bytes went over the wire again", l.passed(), d.size)
		})
	}
}

func TestADamagedJournalGivesNoWrongDocument(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	documents := map[record.TransferID]document{}
	for i := range 5 {
		d := document{strings.Repeat("d", i+1), 1000 * int64(i)}
		id := a.send(b, d)
		a.delivered(id)
		documents[id] = d
	}
	b.stop()
	for _, name := range journalFiles(t, b.dir) {
		info, err := os.Stat(filepath.Join(b.dir, name))
		check(t, err)
		for _, part := range []int64{1, 3, 5, 7} {
			at := info.Size() * part / 8
			other := b.copied()
			flipAt(at)(t, filepath.Join(other.dir, name))
			t.Logf("%s, byte %d of %d: %s", name, at, info.Size(), other.usedWith(documents))
		}
	}
}

// journalFiles lists the files of a stopped daemon's journal that hold anything.
func journalFiles(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, "journal"))
	check(t, err)
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(dir, "journal", e.Name()))
		check(t, err)
		if slices.ContainsFunc(content, func(b byte) bool { return b != 0 }) {
			names = append(names, filepath.Join("journal", e.Name()))
		}
	}
	return names
}

// copied is the same stopped organisation in a directory of its own.
func (o *org) copied() *org {
	o.t.Helper()
	other := newOrg(o.t, o.name)
	other.config = o.config
	check(o.t, os.RemoveAll(other.dir))
	check(o.t, os.CopyFS(other.dir, os.DirFS(o.dir)))
	check(o.t, os.Chmod(other.dir, 0o700))
	return other
}

// usedWith starts a daemon whose journal is damaged, asks it for everything,
// and says in a word what came of it. A wrong document fails the test.
func (o *org) usedWith(documents map[record.TransferID]document) string {
	o.t.Helper()
	o.launch()
	select {
	case <-o.process.log.ready:
	case <-o.process.gone:
		said := o.process.log.String()
		if !strings.Contains(said, "dxd: error: ") || o.process.cmd.ProcessState.ExitCode() != 1 {
			o.t.Errorf("it ended without a clear error: %s", said)
		}
		return "does not start: " + lastLine(said)
	}
	defer o.process.kill()
	result := "no harm"
	for id, d := range documents {
		c, err := o.Content(o.t.Context(), id)
		var sum string
		if err == nil {
			var content []byte
			content, err = io.ReadAll(c)
			sum = sumOf(o.t, strings.NewReader(string(content)))
			check(o.t, c.Close())
		}
		switch {
		case err != nil:
			result = record.KindOf(err).String() + ": " + err.Error()
			if k := record.KindOf(err); k != record.Damaged && k != record.Unreachable {
				o.t.Errorf("%s: %v", k, err)
			}
		case sum != d.sha256(o.t):
			o.t.Errorf("another document: %s", sum)
		}
	}
	return result
}

func lastLine(s string) string {
	s = strings.TrimRight(s, "\n")
	return s[strings.LastIndex(s, "\n")+1:]
}

func TestOneDaemonToADirectory(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	first := a.process
	said := a.failsToStart()
	t.Log(lastLine(said))
	if !strings.Contains(said, "conflict") {
		t.Errorf("it said: %s", said)
	}
	a.process = first
	d := document{"after", small}
	id := a.send(b, d)
	a.delivered(id)
	agree(a, b, id, d)
}
