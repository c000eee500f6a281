package statedir

import (
	"os"
	"path/filepath"
	"testing"

	"dxd/record"
)

func TestFileIsSeenWholeOrNotAtAll(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	put(t, path, "old")
	f, err := NewFile(path, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("new")); err != nil {
		t.Fatal(err)
	}
	wantContent(t, path, "old")
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	wantContent(t, path, "new")
	if err := f.Abort(); err != nil {
		t.Errorf("abort after commit: %v", err)
	}
	wantContent(t, path, "new")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	wantEntries(t, filepath.Dir(path), 1)
}

func TestAbortedFileLeavesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	f, err := NewFile(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Abort(); err != nil {
		t.Fatal(err)
	}
	wantEntries(t, filepath.Dir(path), 0)
}

func TestWriteFileOverADirectoryLeavesIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	mkdir(t, path)
	put(t, filepath.Join(path, "inside"), "")
	if err := WriteFile(path, []byte("x"), 0o600); err == nil {
		t.Fatal("wrote over a directory")
	}
	wantEntries(t, filepath.Dir(path), 1)
}

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "ten"), "0123456789")
	if got, err := ReadFile(filepath.Join(dir, "ten"), 10); err != nil || len(got) != 10 {
		t.Errorf("a file of just the limit: %q, %v", got, err)
	}
	_, err := ReadFile(filepath.Join(dir, "ten"), 9)
	wantKind(t, err, record.Invalid)
	_, err = ReadFile(dir, 10)
	wantKind(t, err, record.Invalid)
	_, err = ReadFile(filepath.Join(dir, "none"), 10)
	wantKind(t, err, record.NotFound)
}

func wantContent(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Fatalf("%s holds %q, %v; want %q", path, got, err, want)
	}
}

func wantEntries(t *testing.T, dir string, want int) {
	t.Helper()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != want {
		t.Fatalf("%s holds %v, %v; want %d files", dir, entries, err, want)
	}
}
