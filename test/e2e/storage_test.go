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
)

// loot is what a thief has: a copy of the disk, with what was deleted from it
// and could be brought back.
type loot struct {
	t       *testing.T
	journal string   // a copy
	files   [][]byte // payload files, removed ones, too
}

// steal copies the journal of a daemon that was killed: nothing was tidied up.
func (o *org) steal(t *testing.T, removed [][]byte) loot {
	t.Helper()
	o.process.kill()
	l := loot{t: t, journal: t.TempDir(), files: removed}
	check(t, os.CopyFS(filepath.Join(l.journal, "copy"), os.DirFS(filepath.Join(o.dir, "journal"))))
	return l
}

// opened is all that the thief can open with these keys: each value of the
// journal, also those that were overwritten or deleted, and each payload file
// with each file key among them. It comes in one piece, with the keys in clear.
func (l loot) opened(keys *crypto.Keyring) []byte {
	t := l.t
	t.Helper()
	copied := filepath.Join(t.TempDir(), "journal") // which opening it changes
	check(t, os.CopyFS(copied, os.DirFS(filepath.Join(l.journal, "copy"))))
	db, err := badger.OpenManaged(badger.DefaultOptions(copied).WithLogger(nil).WithValueThreshold(1 << 20))
	check(t, err)
	defer func() { check(t, db.Close()) }()
	txn := db.NewTransactionAt(math.MaxUint64, false)
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{AllVersions: true})
	defer it.Close()
	var all bytes.Buffer
	sealer := keys.Sealer()
	for it.Rewind(); it.Valid(); it.Next() {
		key := it.Item().KeyCopy(nil)
		all.Write(key)
		check(t, it.Item().Value(func(sealed []byte) error {
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
	a, b := newOrg(t, "alpha"), newOrg(t, "beta")
	for _, o := range []*org{a, b} {
		o.config["retain.sent"] = `"forever"`
		o.start()
	}
	pair(a, b)
	m := marked{}
	content, name, text := random("the content of "), random("contract-with-"), random("a message about ")
	m.add("the content", []byte(content))
	m.add("the name", []byte(name))
	m.add("the message", []byte(text))
	sent, err := a.Send(t.Context(), client.Submission{To: []string{b.alias}, Name: name, Type: "text/plain"}, strings.NewReader(content), int64(len(content)))
	check(t, err)
	m.add("the digest", sent.Digest[:])
	m["the digest as a CID"] = []byte(sent.Digest.String())
	message, err := a.SendMessage(t.Context(), client.Submission{To: []string{b.alias}, Type: "text/plain"}, strings.NewReader(text), int64(len(text)))
	check(t, err)
	kept := document{seed: "kept", size: small}
	stays := a.send(b, kept)
	gone := []record.TransferID{sent.Transfers[0].ID, message.Transfers[0].ID}
	for _, id := range append(gone, stays) {
		a.delivered(id)
	}
	for _, o := range []*org{a, b} {
		e, _ := o.evidence(gone[0])
		m.add(o.name+"'s salt", e.Opening.Salt[:])
		var removed [][]byte
		for _, path := range o.payloads() {
			file, err := os.ReadFile(path)
			check(t, err)
			removed = append(removed, file)
		}
		for _, id := range gone {
			v, err := o.Erase(t.Context(), id)
			check(t, err)
			if !v.Erased || v.Name != "" || v.SHA256 != "" {
				t.Errorf("%s: what is left is %+v", o.name, v)
			}
		}
		before := o.onDisk()
		found := m.in(o.steal(t, removed).opened(before))
		for _, what := range []string{"the content", "the name", "the message", "the digest as a CID"} {
			if !strings.Contains(strings.Join(found, "\n"), what) {
				t.Errorf("%s: before the rotation %s is not found: the search is worth nothing", o.name, what)
			}
		}

		o.start()
		o.rotatesStorage()
		stolen := o.steal(t, removed)
		after := o.onDisk()
		if found := m.in(stolen.opened(after)); len(found) > 0 {
			t.Errorf("%s: after the rotation a thief finds %v", o.name, found)
		}
		if found := m.in(stolen.opened(before)); len(found) == 0 {
			t.Logf("%s: the disk kept nothing that the older key opens", o.name)
		}
		if found, _ := m.inFiles(t, o.dir); len(found) > 0 {
			t.Errorf("%s: in clear there is %v", o.name, found)
		}
		o.start()
		o.keeps(stays, kept)
	}
}

// rotatesStorage rotates the storage key, or waits until a rotation that is
// under way has come to its end.
func (o *org) rotatesStorage() {
	o.t.Helper()
	s, err := o.RotateStorageKey(o.t.Context())
	check(o.t, err)
	if !s.UnderWay && s.Of == 0 {
		o.t.Errorf("%s: nothing was done: %+v", o.name, s)
	}
	o.restsStorage()
}

// restsStorage waits until no rotation is under way.
func (o *org) restsStorage() {
	o.t.Helper()
	until(o.t, "the end of the rotation", func() string {
		s, err := o.StorageRotation(o.t.Context())
		check(o.t, err)
		if s.Error != "" || s.Lost != 0 {
			o.t.Fatalf("%s: the rotation is %+v", o.name, s)
		}
		if s.UnderWay {
			return "it is under way"
		}
		return ""
	})
	if o.onDisk().StorageRotates() {
		o.t.Errorf("%s: the older key is in the file", o.name)
	}
}

func TestADeathInARotationOfTheStorageKeyEndsInOneState(t *testing.T) {
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
			a, b := newPair(t)
			d := document{seed: "storage", size: small}
			sent := a.send(b, d)
			a.delivered(sent)
			ids := a.submitAll(b, 20)
			b.stop()
			waits := a.send(b, d)
			first := a.onDisk()
			a.stop()
			for i, point := range points {
				a.dieAt = exchange.Point(point)
				a.launch()
				if i == 0 {
					within(t, patience, "readiness", a.process.log.ready)
					a.RotateStorageKey(t.Context()) // it may die before it answers
				}
				within(t, patience, "death", a.process.gone)
				if !a.process.died() {
					t.Fatalf("it ended otherwise: %s", a.process.log)
				}
			}
			a.dieAt = ""
			a.start()
			if points[0] == partner.BeforeKeyring {
				a.rotatesStorage()
			}
			a.restsStorage()
			a.keeps(sent, d)
			b.start()
			a.delivered(waits)
			b.keeps(waits, d)
			a.delivered(ids[19])
			a.stop()
			left := loot{t: t, journal: t.TempDir()}
			check(t, os.CopyFS(filepath.Join(left.journal, "copy"), os.DirFS(filepath.Join(a.dir, "journal"))))
			if left.current(first) > 0 {
				t.Error("a value in use opens under the older key")
			}
		})
	}
}

func TestWhatIsAcceptedDuringARotationOfTheStorageKeyIsKept(t *testing.T) {
	a, b := newPair(t)
	var ids []record.TransferID
	d := document{seed: "meanwhile", size: small}
	for range 4 {
		_, err := a.RotateStorageKey(t.Context())
		check(t, err)
		for i := 0; i < 15; i++ {
			ids = append(ids, a.send(b, d))
		}
		a.submitAll(b, 15)
		a.restsStorage()
	}
	for _, id := range ids {
		a.delivered(id)
	}
	a.process.kill()
	a.start()
	for _, id := range ids {
		a.keeps(id, d)
	}
}

// current counts the values in use that open with these keys.
func (l loot) current(keys *crypto.Keyring) (n int) {
	t := l.t
	t.Helper()
	db, err := badger.OpenManaged(badger.DefaultOptions(filepath.Join(l.journal, "copy")).WithLogger(nil).WithValueThreshold(1 << 20))
	check(t, err)
	defer func() { check(t, db.Close()) }()
	txn := db.NewTransactionAt(math.MaxUint64, false)
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		key := it.Item().KeyCopy(nil)
		check(t, it.Item().Value(func(sealed []byte) error {
			if _, err := keys.Sealer().Open(sealed, key); err == nil {
				n++
			}
			return nil
		}))
	}
	return n
}
