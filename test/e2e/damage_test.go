package e2e

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dxd/client"
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
	{"a bit of the first bytes", flipAt(100)},
	{"a bit of the nonce", flipAt(0)},
	{"a bit in the middle", flipAt(large / 2)},
	{"a bit of the last tag", flipAt(-1)},
	{"the last byte is gone", cutShort},
	{"bytes behind the end", lengthen},
	{"the file is gone", remove},
}

func TestAQueuedDocumentThatIsDamagedFailsAlone(t *testing.T) {
	for _, d := range damages[1:] {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			a, b := newPair(t)
			b.stop()
			id := a.send(b, document{"damaged", large})
			path := a.onlyPayload()
			next := document{"next", large}
			nextID := a.send(b, next)
			a.stop() // or it might have the file open
			d.do(t, path)
			a.start()
			b.start()
			if v := a.wait(patience, id, "delivered"); v.State != "failed" || v.Reason != "damaged" {
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
	for _, how := range damages[1:] {
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
			within(t, patience, "the middle", held)
			hasWritten(t, b, large)
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
	for name, end := range map[string]func(*org){
		"of a daemon that was stopped": (*org).stop,
		"of a daemon that was killed":  func(o *org) { o.process.kill() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			damageJournal(t, end)
		})
	}
}

func damageJournal(t *testing.T, end func(*org)) {
	a, b := newPair(t)
	var all []held
	for i := range 5 {
		d := document{strings.Repeat("d", i+1), 1000 * int64(i)}
		id := a.send(b, d)
		a.delivered(id)
		_, evidence := b.evidence(id)
		all = append(all, held{id, d, evidence})
	}
	// A last commit that does not hold looks as if a crash had torn it, and is
	// taken back: so the last one is of none of these.
	a.delivered(a.send(b, document{"last", small}))
	end(b)
	if err := os.Remove(filepath.Join(b.dir, "api.sock")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err) // it is no file to be copied
	}
	for name, size := range journalFiles(t, b.dir) {
		parts := int64(1)
		if size > 1<<10 { // here are the values
			parts = 6
		}
		for part := range parts {
			at := size * (2*part + 1) / (2 * parts)
			other := b.copied()
			flipAt(at)(t, filepath.Join(other.dir, name))
			t.Logf("%s, byte %d of %d: %s", name, at, size, other.usedWith(all))
		}
	}
}

// held is a document that an organisation has, and its evidence.
type held struct {
	id record.TransferID
	document
	evidence []byte
}

// journalFiles lists the files of a journal that hold anything, and how much
// that is: Badger makes some larger than they need be.
func journalFiles(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, "journal"))
	check(t, err)
	files := map[string]int64{}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(dir, "journal", e.Name()))
		check(t, err)
		if size := len(bytes.TrimRight(content, "\x00")); size > 0 {
			files[filepath.Join("journal", e.Name())] = int64(size)
		}
	}
	return files
}

// copied is the same stopped organisation in a directory of its own.
func (o *org) copied() *org {
	o.t.Helper()
	other := newOrg(o.t, o.name)
	other.config = o.config
	check(o.t, os.RemoveAll(other.dir))
	check(o.t, os.CopyFS(other.dir, os.DirFS(o.dir)))
	check(o.t, filepath.WalkDir(other.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chmod(path, map[bool]os.FileMode{true: 0o700, false: 0o600}[e.IsDir()]) // which CopyFS widens
	}))
	return other
}

// usedWith starts a daemon whose journal is damaged, asks it for everything,
// and says what came of it. Anything wrong, or gone without a word, fails the
// test.
func (o *org) usedWith(all []held) string {
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
	errs := []error{o.lists(len(all))}
	for _, h := range all {
		errs = append(errs, o.handsOut(h), o.givesEvidence(h))
	}
	result := "no harm"
	for _, err := range errs {
		if err == nil {
			continue
		}
		result = record.KindOf(err).String() + ": " + err.Error()
		if k := record.KindOf(err); k != record.Damaged && k != record.Unreachable {
			o.t.Error(result)
		}
	}
	return result
}

func (o *org) lists(n int) error {
	listed, err := o.Transfers(o.t.Context(), client.Filter{})
	if err == nil && len(listed) < n {
		o.t.Errorf("%d of %d transfers are listed", len(listed), n)
	}
	return err
}

func (o *org) handsOut(h held) error {
	c, err := o.Content(o.t.Context(), h.id)
	if err != nil {
		return err
	}
	defer c.Close()
	content, err := io.ReadAll(c)
	if err == nil && sumOf(o.t, bytes.NewReader(content)) != h.sha256(o.t) {
		o.t.Errorf("another document of %d bytes", len(content))
	}
	return err
}

func (o *org) givesEvidence(h held) error {
	evidence, err := o.Evidence(o.t.Context(), h.id)
	if err == nil && !bytes.Equal(evidence, h.evidence) {
		o.t.Errorf("other evidence: %s", evidence)
	}
	return err
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
