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
	"dxd/test/party"
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
		party.Check(t, err)
		info, err := f.Stat()
		party.Check(t, err)
		from := at
		if at < 0 {
			from += info.Size()
		}
		b := make([]byte, 1)
		_, err = f.ReadAt(b, from)
		party.Check(t, err)
		b[0] ^= 1
		_, err = f.WriteAt(b, from)
		party.Check(t, err)
		party.Check(t, f.Close())
	}
}

func cutShort(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	party.Check(t, err)
	party.Check(t, os.Truncate(path, info.Size()-1))
}

func lengthen(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	party.Check(t, err)
	_, err = f.Write(make([]byte, 100))
	party.Check(t, err)
	party.Check(t, f.Close())
}

func remove(t *testing.T, path string) {
	t.Helper()
	party.Check(t, os.Remove(path))
}

// damages are what may happen to a large document's sealed file.
var damages = []damage{
	{"a bit of the first bytes", flipAt(100)},
	{"a bit of the nonce", flipAt(0)},
	{"a bit in the middle", flipAt(party.Large / 2)},
	{"a bit of the last tag", flipAt(-1)},
	{"the last byte is gone", cutShort},
	{"bytes behind the end", lengthen},
	{"the file is gone", remove},
}

func TestAQueuedDocumentThatIsDamagedFailsAlone(t *testing.T) {
	for _, d := range damages[1:] {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			a, b := party.NewPair(t)
			b.Stop()
			id := a.SendDocument(b, party.Document{Seed: "damaged", Size: party.Large})
			path := a.OnlyPayload()
			next := party.Document{Seed: "next", Size: party.Large}
			nextID := a.SendDocument(b, next)
			a.Stop() // or it might have the file open
			d.do(t, path)
			a.Start()
			b.Start()
			if v := a.WaitFor(party.Patience, id, "delivered"); v.State != "failed" || v.Reason != "damaged" {
				t.Errorf("%s (%s), not failed (damaged)", v.State, v.Reason)
			}
			a.Delivered(nextID)
			b.Keeps(nextID, next)
			if all := b.AllTransfers(); len(all) != 1 {
				t.Errorf("the recipient has %+v", all)
			}
			party.Until(t, "one whole file", b.OneWholeFile)
		})
	}
}

func TestAReceivedDocumentThatIsDamagedIsNeverHandedOut(t *testing.T) {
	t.Parallel()
	a, b := party.NewPair(t)
	d := party.Document{Seed: "damaged", Size: party.Large}
	id := a.SendDocument(b, d)
	a.Delivered(id)
	b.Keeps(id, d)
	path := b.OnlyPayload()
	whole, err := os.ReadFile(path)
	party.Check(t, err)
	for _, how := range damages {
		how.do(t, path)
		said := handsNothingOut(b, id, d)
		t.Logf("%s: %v", how.name, said)
		party.Check(t, os.WriteFile(path, whole, 0o600))
		b.Keeps(id, d) // so it was the damage
	}
}

// handsNothingOut fails if the document comes whole; it gives the error.
func handsNothingOut(o *party.Org, id record.TransferID, d party.Document) error {
	o.T.Helper()
	c, err := o.Content(o.T.Context(), id)
	if err == nil {
		var n int64
		n, err = io.Copy(io.Discard, c)
		if n >= d.Size {
			o.T.Errorf("%d of %d bytes were handed out", n, d.Size)
		}
		party.Check(o.T, c.Close())
	}
	if err == nil || record.KindOf(err) != record.Damaged && record.KindOf(err) != record.Unreachable {
		o.T.Errorf("%s: %v", record.KindOf(err), err)
	}
	return err
}

func TestAPartialFileThatIsDamagedIsFetchedAgain(t *testing.T) {
	for _, how := range damages[1:] {
		t.Run(how.name, func(t *testing.T) {
			t.Parallel()
			a, b := party.NewOrg(t, "alpha"), party.NewOrg(t, "beta")
			l := party.NewLink(t, a, b, false)
			a.Start()
			b.Start()
			party.Pair(a, b)
			d := party.Document{Seed: "damaged", Size: 2 * party.Large}
			held := l.Hold(party.Large + party.Large/2)
			id := a.SendDocument(b, d)
			party.Within(t, party.Patience, "the middle", held)
			hasWritten(t, b, party.Large)
			b.Process.Kill()
			l.Cut()
			how.do(t, b.Partial())
			l.Release()
			b.Start()
			a.Delivered(id)
			party.Agree(a, b, id, d)
			t.Logf("%d of %d bytes went over the wire again", l.Passed(), d.Size)
		})
	}
}

func TestADamagedJournalGivesNoWrongDocument(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*party.Org){
		"of a daemon that was stopped": (*party.Org).Stop,
		"of a daemon that was killed":  func(o *party.Org) { o.Process.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			damageJournal(t, end)
		})
	}
}

func damageJournal(t *testing.T, end func(*party.Org)) {
	a, b := party.NewPair(t)
	var all []held
	for i := range 5 {
		d := party.Document{Seed: strings.Repeat("d", i+1), Size: 1000 * int64(i)}
		id := a.SendDocument(b, d)
		a.Delivered(id)
		_, evidence := b.ParsedEvidence(id)
		all = append(all, held{id, d, evidence})
	}
	// A last commit that does not hold looks as if a crash had torn it, and is
	// taken back: so the last one is of none of these.
	a.Delivered(a.SendDocument(b, party.Document{Seed: "last", Size: party.Small}))
	end(b)
	if err := os.Remove(filepath.Join(b.Dir, "api.sock")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err) // it is no file to be copied
	}
	for name, size := range journalFiles(t, b.Dir) {
		parts := int64(1)
		if size > 1<<10 { // here are the values
			parts = 6
		}
		for part := range parts {
			at := size * (2*part + 1) / (2 * parts)
			other := copied(b)
			flipAt(at)(t, filepath.Join(other.Dir, name))
			t.Logf("%s, byte %d of %d: %s", name, at, size, usedWith(other, all))
		}
	}
}

// held is a document that an organisation has, and its evidence.
type held struct {
	id record.TransferID
	party.Document
	evidence []byte
}

// journalFiles lists the files of a journal that hold anything, and how much
// that is: Badger makes some larger than they need be.
func journalFiles(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, "journal"))
	party.Check(t, err)
	files := map[string]int64{}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(dir, "journal", e.Name()))
		party.Check(t, err)
		if size := len(bytes.TrimRight(content, "\x00")); size > 0 {
			files[filepath.Join("journal", e.Name())] = int64(size)
		}
	}
	return files
}

// copied is the same stopped organisation in a directory of its own.
func copied(o *party.Org) *party.Org {
	o.T.Helper()
	other := party.NewOrg(o.T, o.Name)
	other.Config = o.Config
	party.Check(o.T, os.RemoveAll(other.Dir))
	party.Check(o.T, os.CopyFS(other.Dir, os.DirFS(o.Dir)))
	party.Check(o.T, filepath.WalkDir(other.Dir, func(path string, e fs.DirEntry, err error) error {
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
func usedWith(o *party.Org, all []held) string {
	o.T.Helper()
	o.Launch()
	select {
	case <-o.Process.Log.Ready:
	case <-o.Process.Gone:
		said := o.Process.Log.String()
		if !strings.Contains(said, "dxd: error: ") || o.Process.Cmd.ProcessState.ExitCode() != 1 {
			o.T.Errorf("it ended without a clear error: %s", said)
		}
		return "does not start: " + lastLine(said)
	}
	defer o.Process.Kill()
	errs := []error{lists(o, len(all))}
	for _, h := range all {
		errs = append(errs, handsOut(o, h), givesEvidence(o, h))
	}
	result := "no harm"
	for _, err := range errs {
		if err == nil {
			continue
		}
		result = record.KindOf(err).String() + ": " + err.Error()
		if k := record.KindOf(err); k != record.Damaged && k != record.Unreachable {
			o.T.Error(result)
		}
	}
	return result
}

func lists(o *party.Org, n int) error {
	listed, err := o.Transfers(o.T.Context(), client.Filter{})
	if err == nil && len(listed) < n {
		o.T.Errorf("%d of %d transfers are listed", len(listed), n)
	}
	return err
}

func handsOut(o *party.Org, h held) error {
	c, err := o.Content(o.T.Context(), h.id)
	if err != nil {
		return err
	}
	defer c.Close()
	content, err := io.ReadAll(c)
	if err == nil && party.SumOf(o.T, bytes.NewReader(content)) != h.SHA256(o.T) {
		o.T.Errorf("another document of %d bytes", len(content))
	}
	return err
}

func givesEvidence(o *party.Org, h held) error {
	evidence, err := o.Evidence(o.T.Context(), h.id)
	if err == nil && !bytes.Equal(evidence, h.evidence) {
		o.T.Errorf("other evidence: %s", evidence)
	}
	return err
}

func lastLine(s string) string {
	s = strings.TrimRight(s, "\n")
	return s[strings.LastIndex(s, "\n")+1:]
}

func TestOneDaemonToADirectory(t *testing.T) {
	t.Parallel()
	a, b := party.NewPair(t)
	first := a.Process
	said := a.FailsToStart()
	t.Log(lastLine(said))
	if !strings.Contains(said, "conflict") {
		t.Errorf("it said: %s", said)
	}
	a.Process = first
	d := party.Document{Seed: "after", Size: party.Small}
	id := a.SendDocument(b, d)
	a.Delivered(id)
	party.Agree(a, b, id, d)
}
