package badger

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dxd/blobstore"
	"dxd/record"
)

// copied restores a snapshot into a new directory.
func copied(t *testing.T, p *Snapshot) string {
	t.Helper()
	dir := t.TempDir()
	l, err := NewLoader(dir)
	if err != nil {
		t.Fatal(err)
	}
	chunks := 0
	for chunk, err := range p.Journal() {
		if err == nil {
			err = l.Journal(bytes.NewReader(chunk))
		}
		if err != nil {
			t.Fatal(err)
		}
		chunks++
	}
	for f, err := range p.Payloads() {
		if err != nil {
			t.Fatal(err)
		}
		r, err := p.Open(f.ID)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Payload(f.ID, r); err != nil {
			t.Fatal(err)
		}
		r.Close()
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d chunks", chunks)
	return dir
}

func keep(t *testing.T, s *Store, content string) blobstore.FileID {
	t.Helper()
	id := blobstore.NewFileID()
	p, err := s.Create(id)
	if err == nil {
		_, err = io.WriteString(p, content)
	}
	if err == nil {
		err = p.Commit()
	}
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestASnapshotIsOneMoment(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	defer closeStore(t, s)
	large := bytes.Repeat([]byte("x"), 700<<10)
	for i := range 5 {
		set(t, s, blobstore.Key(fmt.Sprint("large", i)), large)
	}
	set(t, s, "changed", []byte("before"))
	set(t, s, "deleted", []byte("there"))
	erased, kept := keep(t, s, "erased later"), keep(t, s, "kept")
	unfinished, err := s.Create(blobstore.NewFileID())
	if err != nil {
		t.Fatal(err)
	}
	defer unfinished.Close()
	p, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	set(t, s, "changed", []byte("after"))
	set(t, s, "new", nil)
	if err := s.Update(context.Background(), func(tx blobstore.Tx) error { return tx.Delete("deleted") }); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(erased); err != nil {
		t.Fatal(err)
	}
	later := keep(t, s, "later")
	dir := copied(t, p)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(s.files), snapshotPrefix+"*")); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}

	c := open(t, dir, Options{})
	defer closeStore(t, c)
	if err := c.View(context.Background(), func(tx blobstore.ReadTx) error {
		for key, want := range map[blobstore.Key]string{"changed": "before", "deleted": "there", "large4": string(large)} {
			if got, err := tx.Get(key); err != nil || string(got) != want {
				t.Errorf("%s is %.20q, %v", key, got, err)
			}
		}
		if _, err := tx.Get("new"); record.KindOf(err) != record.NotFound {
			t.Errorf("what came later is there: %v", err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[blobstore.FileID]string{erased: "erased later", kept: "kept"} {
		f, err := c.Open(id)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, f.Size())
		if _, err := f.ReadAt(got, 0); err != nil || string(got) != want {
			t.Errorf("a payload is %q, %v", got, err)
		}
		f.Close()
	}
	files := 0
	for f, err := range c.List() {
		if err != nil || f.ID == later || f.Partial {
			t.Errorf("%+v is there, too, %v", f, err)
		}
		files++
	}
	if files != 2 {
		t.Errorf("%d payloads", files)
	}
	set(t, c, "changed", []byte("it goes on"))
}

func TestASnapshotThatAProcessLeftIsRemoved(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	keep(t, s, "kept")
	if _, err := s.Snapshot(); err != nil {
		t.Fatal(err)
	}
	s.readers.leave(s.readers.durable()) // as if the process had died
	closeStore(t, s)
	closeStore(t, open(t, dir, Options{}))
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), snapshotPrefix) {
			t.Errorf("%s is left", e.Name())
		}
	}
}

func FuzzLoadJournal(f *testing.F) {
	f.Add(appendEntry(appendEntry(nil, []byte("a"), []byte("1")), []byte("b"), nil))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f})
	l, err := NewLoader(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = l.Abort() })
	f.Fuzz(func(t *testing.T, chunk []byte) {
		if err := l.Journal(bytes.NewReader(chunk)); err != nil && record.KindOf(err) != record.Damaged {
			t.Errorf("the error is %v", err)
		}
	})
}
