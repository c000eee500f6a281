package badger

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/dgraph-io/badger/v4"
	"go.uber.org/goleak"

	"dxd/blobstore"
	"dxd/record"
)

func wantKind(t *testing.T, err error, want record.Kind) {
	t.Helper()
	if err == nil || record.KindOf(err) != want {
		t.Fatalf("got error %v, want one of kind %s", err, want)
	}
}

func set(t *testing.T, s *Store, key blobstore.Key, value []byte) {
	t.Helper()
	if err := s.Update(context.Background(), func(tx blobstore.Tx) error { return tx.Set(key, value) }); err != nil {
		t.Fatal(err)
	}
}

func get(s *Store, key blobstore.Key) (v []byte, err error) {
	err = s.View(context.Background(), func(tx blobstore.ReadTx) error {
		v, err = tx.Get(key)
		return err
	})
	return v, err
}

// rewrite changes a stored value under the store's hands.
func rewrite(t *testing.T, s *Store, key string, change func([]byte) []byte) {
	t.Helper()
	v, err := s.rawValue(key)
	if err != nil {
		t.Fatal(err)
	}
	l := newLayer()
	l.put(blobstore.Key(key), write{sealed: change(v)})
	if err := s.flush(l); err != nil {
		t.Fatal(err)
	}
}

func flip(b []byte) []byte {
	b[len(b)-1] ^= 1
	return b
}

func TestAnotherKeyringIsRefused(t *testing.T) {
	dir := t.TempDir()
	closeStore(t, open(t, dir, Options{}))
	_, err := Open(dir, newSealer(t, 2), Options{})
	wantKind(t, err, record.Damaged)
	if !strings.Contains(record.Hint(err), "keyring") {
		t.Errorf("hint: %q", record.Hint(err))
	}
	closeStore(t, open(t, dir, Options{})) // and harms nothing
}

func TestANewerVersionIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	rewrite(t, s, formatKey, func([]byte) []byte { return []byte("2") })
	closeStore(t, s)
	_, err := Open(dir, newSealer(t, 1), Options{})
	wantKind(t, err, record.Invalid)
	if !strings.Contains(record.Hint(err), "newer version of dxd") {
		t.Errorf("hint: %q", record.Hint(err))
	}
}

func TestADamagedVersionIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	rewrite(t, s, formatKey, func([]byte) []byte { return []byte("x") })
	closeStore(t, s)
	_, err := Open(dir, newSealer(t, 1), Options{})
	wantKind(t, err, record.Damaged)
}

func TestASecondOpenerIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	_, err := Open(dir, newSealer(t, 1), Options{})
	wantKind(t, err, record.Conflict)
	if record.Hint(err) == "" {
		t.Error("no hint")
	}
	set(t, s, "a", []byte("1"))
	closeStore(t, s)
}

func TestADamagedValueIsTold(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	defer closeStore(t, s)
	for _, key := range []blobstore.Key{"a", "b", "c"} {
		set(t, s, key, []byte("value"))
	}
	rewrite(t, s, "b", flip)
	_, err := get(s, "b")
	wantKind(t, err, record.Damaged)
	err = s.View(context.Background(), func(tx blobstore.ReadTx) error {
		for _, reverse := range []bool{false, true} {
			met := 0
			for e, err := range tx.Scan("", "", reverse) {
				met++
				if damaged := e.Key == "b"; damaged != (record.KindOf(err) == record.Damaged) || !damaged && err != nil {
					t.Errorf("%q, reverse %t: %v", e.Key, reverse, err)
				}
			}
			if met != 3 {
				t.Errorf("reverse %t: the scan met %d of 3 keys", reverse, met)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := get(s, "c"); err != nil {
		t.Errorf("a neighbour: %v", err)
	}
	set(t, s, "b", []byte("mended"))
	if v, err := get(s, "b"); string(v) != "mended" {
		t.Errorf("set anew: %q, %v", v, err)
	}
}

func TestAValueUnderAnotherKeyIsDamaged(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	defer closeStore(t, s)
	set(t, s, "a", []byte("1"))
	set(t, s, "b", []byte("2"))
	other, err := s.rawValue("a")
	if err != nil {
		t.Fatal(err)
	}
	rewrite(t, s, "b", func([]byte) []byte { return other })
	_, err = get(s, "b")
	wantKind(t, err, record.Damaged)
}

// tables are the journal's table files.
func tables(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "journal", "*.sst"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no tables: %v", err)
	}
	return found
}

// TestADamagedTableIsTold damages a table's index and a block of keys.
func TestADamagedTableIsTold(t *testing.T) {
	for name, at := range map[string]func(size int64) int64{
		"index": func(size int64) int64 { return size - 40 },
		"block": func(int64) int64 { return 10 },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, Options{})
			setRows(t, s, 100)
			closeStore(t, s)
			flipAt(t, tables(t, dir)[0], at)
			s, err := Open(dir, newSealer(t, 1), Options{})
			if err == nil {
				err = s.Check()
				closeStore(t, s)
			}
			wantKind(t, err, record.Damaged)
		})
	}
}

func flipAt(t *testing.T, path string, at func(int64) int64) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[at(int64(len(b)))] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAClosedStoreSaysSo(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	closeStore(t, s)
	closeStore(t, s)
	wantKind(t, s.Update(context.Background(), func(blobstore.Tx) error { return nil }), record.Unavailable)
	wantKind(t, s.View(context.Background(), func(blobstore.ReadTx) error { return nil }), record.Unavailable)
	wantKind(t, s.Check(), record.Unavailable)
}

func TestAClosedStoreHasNoTables(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	setRows(t, s, 1000)
	closeStore(t, s) // makes a table of them
	s = open(t, dir, Options{})
	n, _ := s.Tables()
	closeStore(t, s)
	if left, _ := s.Tables(); n == 0 || left != 0 {
		t.Errorf("%d tables, and %d when it is closed", n, left)
	}
}

func TestCloseWaitsForViews(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	set(t, s, "a", []byte("1"))
	err := s.View(context.Background(), func(tx blobstore.ReadTx) error {
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			closeStore(t, s)
		}()
		<-s.closing
		v, err := tx.Get("a")
		if string(v) != "1" {
			t.Errorf("a view during Close: %q, %v", v, err)
		}
		select {
		case <-closed:
			t.Error("Close did not wait")
		default:
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
}

func TestCloseLeavesNoGoroutine(t *testing.T) {
	before := goleak.IgnoreCurrent()
	s := open(t, t.TempDir(), Options{})
	set(t, s, "a", []byte("1"))
	closeStore(t, s)
	goleak.VerifyNone(t, before)
}

// TestAFailedWriteEndsTheJournal stands for a disk that takes no more.
func TestAFailedWriteEndsTheJournal(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	set(t, s, "a", []byte("1"))
	wantKind(t, s.fail(syscall.ENOSPC), record.Internal)
	wantKind(t, s.Watchdog(t.Context()), record.Internal)
	err := s.Update(context.Background(), func(tx blobstore.Tx) error { return tx.Set("b", nil) })
	wantKind(t, err, record.Internal)
	if record.Hint(err) == "" {
		t.Error("no hint")
	}
	if v, err := get(s, "a"); string(v) != "1" {
		t.Errorf("what was durable: %q, %v", v, err)
	}
	closeStore(t, s)
	s = open(t, dir, Options{})
	defer closeStore(t, s)
	set(t, s, "b", []byte("2"))
}

// TestNothingIsWrittenBehindAFailedWrite has a sync fail once, of a group behind
// which an update waits that has read what the group wrote.
func TestNothingIsWrittenBehindAFailedWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := open(t, dir, Options{})
		defer closeStore(t, s)
		good := s.wal.file
		large := make([]byte, groupLimit/4*3) // two of these make two groups
		var behind, third chan error
		begin := func(fn func(blobstore.Tx) error) chan error {
			done := make(chan error, 1)
			go func() { done <- s.Update(context.Background(), fn) }()
			synctest.Wait() // until it waits
			return done
		}
		err := s.Update(context.Background(), func(tx blobstore.Tx) error {
			behind = begin(func(tx blobstore.Tx) error {
				if _, err := tx.Get("a"); err != nil {
					return err
				}
				return tx.Set("b", large)
			})
			third = begin(func(blobstore.Tx) error { // while the second group gathers
				s.wal.file = good
				return errors.New("nothing")
			})
			closed, err := os.Create(filepath.Join(t.TempDir(), "closed"))
			if err != nil {
				return err
			}
			s.wal.file = closed
			return errors.Join(closed.Close(), tx.Set("a", large))
		})
		wantKind(t, err, record.Internal)
		wantKind(t, <-behind, record.Internal)
		<-third
		if _, err := get(s, "b"); record.KindOf(err) != record.NotFound {
			t.Errorf("what was built on the failed write: %v", err)
		}
	})
}

// TestTheReserveIsLeft has a reserve that is larger than what is free.
func TestTheReserveIsLeft(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	set(t, s, "a", []byte("1"))
	id := blobstore.NewFileID()
	p, err := s.Create(id)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	s = open(t, dir, Options{Reserve: 1 << 60})
	defer closeStore(t, s)
	p = errorless(t)(s.Resume(id))
	n, err := p.Write([]byte("x"))
	wantKind(t, err, record.Full)
	if n != 0 || p.Size() != 0 {
		t.Errorf("wrote %d bytes all the same", p.Size())
	}
	if free, err := s.Free(); free != 0 || err != nil {
		t.Errorf("free: %d, %v", free, err)
	}
	wantKind(t, s.Update(context.Background(), func(tx blobstore.Tx) error { return tx.Set("b", nil) }), record.Full)
	if err := s.Update(context.Background(), func(tx blobstore.Tx) error { return tx.Delete("a") }); err != nil {
		t.Errorf("a deletion: %v", err)
	}
	if err := s.Update(context.Background(), func(tx blobstore.Tx) error { return nil }); err != nil {
		t.Errorf("an update that writes nothing: %v", err)
	}
	_, err = get(s, "b")
	wantKind(t, err, record.NotFound)
}

func errorless(t *testing.T) func(blobstore.Partial, error) blobstore.Partial {
	return func(p blobstore.Partial, err error) blobstore.Partial {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
		return p
	}
}

// TestTheDiskShowsNoValue searches all files for what was stored, also after
// it was deleted and compacted for what was sealed.
func TestTheDiskShowsNoValue(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	secret := []byte("a value that nobody is to see")
	set(t, s, "a", secret)
	set(t, s, s.indexOf(t, "alias", secret), nil)
	sealed, err := s.rawValue("a")
	if err != nil {
		t.Fatal(err)
	}
	if found := holding(t, dir, secret); len(found) > 0 {
		t.Errorf("in clear in %v", found)
	}
	if len(holding(t, dir, sealed)) == 0 {
		t.Error("the search finds nothing at all")
	}
	if err := s.Update(context.Background(), func(tx blobstore.Tx) error { return tx.Delete("a") }); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	if found := holding(t, dir, sealed); len(found) > 0 {
		t.Errorf("a deleted value is still in %v after a stop", found)
	}
}

func (s *Store) indexOf(t *testing.T, label string, value []byte) (key blobstore.Key) {
	t.Helper()
	err := s.View(context.Background(), func(tx blobstore.ReadTx) error {
		key = tx.Index(label, value)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func holding(t *testing.T, dir string, what []byte) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, what) {
			found = append(found, filepath.Base(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestOthersAreKeptOut(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s := open(t, dir, Options{})
	defer closeStore(t, s)
	p := errorless(t)(s.Create(blobstore.NewFileID()))
	if p.Size() != 0 {
		t.Error("not empty")
	}
	err := filepath.WalkDir(s.files, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(s.dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the journal's directory: %v, %v", info.Mode(), err)
	}
}

func TestTheLogShowsNoKey(t *testing.T) {
	var out bytes.Buffer
	l := &logger{slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	l.Debugf("First key=%q, %d entries\n", []byte("a-key"), 3)
	l.Infof("range %s to %+v", "a-key", badger.Options{Dir: "a-key"})
	if got := out.String(); strings.Contains(got, "a-key") || !strings.Contains(got, "3 entries") {
		t.Errorf("logged: %s", got)
	}
}

func TestCompactionKeepsWhatWasNotDeleted(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	defer closeStore(t, s)
	for range 12 { // memtables enough for several levels
		setRows(t, s, 1000)
		set(t, s, "large", make([]byte, 1<<19))
		set(t, s, "large", make([]byte, 1<<19))
	}
	if err := s.Update(context.Background(), func(tx blobstore.Tx) error { return tx.Delete("row/0000000000000007") }); err != nil {
		t.Fatal(err)
	}
	if err := s.compact(); err != nil {
		t.Fatal(err)
	}
	_, err := get(s, "row/0000000000000007")
	wantKind(t, err, record.NotFound)
	if v, err := get(s, "row/0000000000000008"); len(v) != 300 || err != nil {
		t.Errorf("%d bytes, %v", len(v), err)
	}
	if s.deleted.Load() {
		t.Error("would compact again")
	}
}

func TestTablesAreCounted(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	defer closeStore(t, s)
	before, most := s.Tables()
	writeUntil(t, s, 500<<10, "no table was counted", func() bool {
		n, _ := s.Tables()
		return n > before
	})
	if most < 256 {
		t.Errorf("only %d tables may there be", most)
	}
}
