package e2e

import (
	"bytes"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"dxd/blobstore"
	"dxd/client"
	"dxd/crypto"
	"dxd/exchange"
	"dxd/partner"
	"dxd/record"
	"dxd/test/party"
)

// loot is what a thief has: a copy of the disk, with what was deleted from it
// and could be brought back.
type loot struct {
	t       *testing.T
	journal string   // a copy
	files   [][]byte // payload files, removed ones, too
}

// steal copies the journal of a daemon that was killed: nothing was tidied up.
func steal(o *party.Org, t *testing.T, removed [][]byte) loot {
	t.Helper()
	o.Process.Kill()
	l := loot{t: t, journal: t.TempDir(), files: removed}
	party.Check(t, os.CopyFS(filepath.Join(l.journal, "copy"), os.DirFS(filepath.Join(o.Dir, "journal"))))
	return l
}

// opened is all that the thief can open with these keys: each value of the
// journal, also those that were overwritten or deleted, and each payload file
// with each file key among them. It comes in one piece, with the keys in clear.
func (l loot) opened(keys *crypto.Keyring) []byte {
	t := l.t
	t.Helper()
	copied := filepath.Join(t.TempDir(), "journal") // which opening it changes
	party.Check(t, os.CopyFS(copied, os.DirFS(filepath.Join(l.journal, "copy"))))
	db, err := badger.OpenManaged(badger.DefaultOptions(copied).WithLogger(nil).WithValueThreshold(1 << 20))
	party.Check(t, err)
	defer func() { party.Check(t, db.Close()) }()
	txn := db.NewTransactionAt(math.MaxUint64, false)
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{AllVersions: true})
	defer it.Close()
	var all bytes.Buffer
	sealer := keys.Sealer()
	for it.Rewind(); it.Valid(); it.Next() {
		key := it.Item().KeyCopy(nil)
		all.Write(key)
		party.Check(t, it.Item().Value(func(sealed []byte) error {
			value, err := sealer.Open(sealed, key)
			if err != nil {
				return nil
			}
			all.Write(value)
			if exchange.HoldsFileKey(blobstore.Key(key)) {
				l.openFiles(keys, key, value, &all)
			}
			return nil
		}))
	}
	return all.Bytes()
}

func (l loot) openFiles(keys *crypto.Keyring, key, wrapped []byte, all *bytes.Buffer) {
	fileKey, err := keys.UnwrapFileKey(wrapped, key[len("x/f/"):])
	if err != nil {
		return
	}
	for _, f := range l.files {
		if plain, err := crypto.OpenBody(fileKey, bytes.NewReader(f)); err == nil {
			io.Copy(all, plain) // one that is not of this key breaks off
		}
	}
}

func TestAThiefOfDiskAndKeyringFindsNothingThatWasErasedBeforeARotation(t *testing.T) {
	a, b := party.NewOrg(t, "alpha"), party.NewOrg(t, "beta")
	for _, o := range []*party.Org{a, b} {
		o.Config["retain.sent"] = `"forever"`
		o.Start()
	}
	party.Pair(a, b)
	m := marked{}
	content, name, text := random("the content of "), random("contract-with-"), random("a message about ")
	m.add("the content", []byte(content))
	m.add("the name", []byte(name))
	m.add("the message", []byte(text))
	sent, err := a.Send(t.Context(), client.Submission{To: []string{b.Alias}, Name: name, Type: "text/plain"}, strings.NewReader(content), int64(len(content)))
	party.Check(t, err)
	m.add("the digest", sent.Digest[:])
	m["the digest as a CID"] = []byte(sent.Digest.String())
	message, err := a.SendMessage(t.Context(), client.Submission{To: []string{b.Alias}, Type: "text/plain"}, strings.NewReader(text), int64(len(text)))
	party.Check(t, err)
	kept := party.Document{Seed: "kept", Size: party.Small}
	stays := a.SendDocument(b, kept)
	gone := []record.TransferID{sent.Transfers[0].ID, message.Transfers[0].ID}
	for _, id := range append(gone, stays) {
		a.Delivered(id)
	}
	for _, o := range []*party.Org{a, b} {
		e, _ := o.ParsedEvidence(gone[0])
		m.add(o.Name+"'s salt", e.Opening.Salt[:])
		var removed [][]byte
		for _, path := range o.Payloads() {
			file, err := os.ReadFile(path)
			party.Check(t, err)
			removed = append(removed, file)
		}
		for _, id := range gone {
			v, err := o.Erase(t.Context(), id)
			party.Check(t, err)
			if !v.Erased || v.Name != "" || v.SHA256 != "" {
				t.Errorf("%s: what is left is %+v", o.Name, v)
			}
		}
		before := onDisk(o)
		found := m.in(steal(o, t, removed).opened(before))
		for _, what := range []string{"the content", "the name", "the message", "the digest as a CID"} {
			if !strings.Contains(strings.Join(found, "\n"), what) {
				t.Errorf("%s: before the rotation %s is not found: the search is worth nothing", o.Name, what)
			}
		}

		o.Start()
		rotatesStorage(o)
		stolen := steal(o, t, removed)
		after := onDisk(o)
		if found := m.in(stolen.opened(after)); len(found) > 0 {
			t.Errorf("%s: after the rotation a thief finds %v", o.Name, found)
		}
		if found := m.in(stolen.opened(before)); len(found) == 0 {
			t.Logf("%s: the disk kept nothing that the older key opens", o.Name)
		}
		if found, _ := m.inFiles(t, o.Dir); len(found) > 0 {
			t.Errorf("%s: in clear there is %v", o.Name, found)
		}
		o.Start()
		o.Keeps(stays, kept)
	}
}

// rotatesStorage rotates the storage key, or waits until a rotation that is
// under way has come to its end.
func rotatesStorage(o *party.Org) {
	o.T.Helper()
	s, err := o.RotateStorageKey(o.T.Context())
	party.Check(o.T, err)
	if !s.UnderWay && s.Of == 0 {
		o.T.Errorf("%s: nothing was done: %+v", o.Name, s)
	}
	restsStorage(o)
}

// restsStorage waits until no rotation is under way.
func restsStorage(o *party.Org) {
	o.T.Helper()
	party.Until(o.T, "the end of the rotation", func() string {
		s, err := o.StorageRotation(o.T.Context())
		party.Check(o.T, err)
		if s.Error != "" || s.Lost != 0 {
			o.T.Fatalf("%s: the rotation is %+v", o.Name, s)
		}
		if s.UnderWay {
			return "it is under way"
		}
		return ""
	})
	if onDisk(o).StorageRotates() {
		o.T.Errorf("%s: the older key is in the file", o.Name)
	}
}

func TestADeathInARotationOfTheStorageKeyEndsInOneState(t *testing.T) {
	t.Parallel()
	for name, points := range map[string][]partner.Point{
		"nothing is written":                       {partner.BeforeKeyring},
		"the keyring has both keys":                {partner.AfterKeyring},
		"the journal is under both":                {partner.DuringReseal, partner.DuringReseal},
		"the journal is under the new one":         {partner.AfterReseal},
		"and once more, when the old one is to go": {partner.AfterReseal, partner.BeforeKeyring},
		"and when it has gone":                     {partner.AfterReseal, partner.AfterKeyring},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := party.NewPair(t)
			d := party.Document{Seed: "storage", Size: party.Small}
			sent := a.SendDocument(b, d)
			a.Delivered(sent)
			ids := submitAll(a, b, 20)
			b.Stop()
			waits := a.SendDocument(b, d)
			first := onDisk(a)
			a.Stop()
			for i, point := range points {
				a.DieAt = exchange.Point(point)
				a.Launch()
				if i == 0 {
					party.Within(t, party.Patience, "readiness", a.Process.Log.Ready)
					a.RotateStorageKey(t.Context()) // it may die before it answers
				}
				party.Within(t, party.Patience, "death", a.Process.Gone)
				if !a.Process.Died() {
					t.Fatalf("it ended otherwise: %s", a.Process.Log)
				}
			}
			a.DieAt = ""
			a.Start()
			if points[0] == partner.BeforeKeyring {
				rotatesStorage(a)
			}
			restsStorage(a)
			a.Keeps(sent, d)
			b.Start()
			a.Delivered(waits)
			b.Keeps(waits, d)
			a.Delivered(ids[19])
			a.Stop()
			left := loot{t: t, journal: t.TempDir()}
			party.Check(t, os.CopyFS(filepath.Join(left.journal, "copy"), os.DirFS(filepath.Join(a.Dir, "journal"))))
			if left.current(first) > 0 {
				t.Error("a value in use opens under the older key")
			}
		})
	}
}

func TestWhatIsAcceptedDuringARotationOfTheStorageKeyIsKept(t *testing.T) {
	a, b := party.NewPair(t)
	var ids []record.TransferID
	d := party.Document{Seed: "meanwhile", Size: party.Small}
	for range 4 {
		_, err := a.RotateStorageKey(t.Context())
		party.Check(t, err)
		for i := 0; i < 15; i++ {
			ids = append(ids, a.SendDocument(b, d))
		}
		submitAll(a, b, 15)
		restsStorage(a)
	}
	for _, id := range ids {
		a.Delivered(id)
	}
	a.Process.Kill()
	a.Start()
	for _, id := range ids {
		a.Keeps(id, d)
	}
}

// current counts the values in use that open with these keys.
func (l loot) current(keys *crypto.Keyring) (n int) {
	t := l.t
	t.Helper()
	db, err := badger.OpenManaged(badger.DefaultOptions(filepath.Join(l.journal, "copy")).WithLogger(nil).WithValueThreshold(1 << 20))
	party.Check(t, err)
	defer func() { party.Check(t, db.Close()) }()
	txn := db.NewTransactionAt(math.MaxUint64, false)
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		key := it.Item().KeyCopy(nil)
		party.Check(t, it.Item().Value(func(sealed []byte) error {
			if _, err := keys.Sealer().Open(sealed, key); err == nil {
				n++
			}
			return nil
		}))
	}
	return n
}
