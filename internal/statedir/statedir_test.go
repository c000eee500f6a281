package statedir

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"dxd/record"
)

func create(t *testing.T) Dir {
	t.Helper()
	d, err := Create(filepath.Join(t.TempDir(), "state"), []byte("keys"), []byte("# config\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func wantKind(t *testing.T, err error, want record.Kind) {
	t.Helper()
	if err == nil || record.KindOf(err) != want {
		t.Fatalf("error %v of kind %v, want kind %v", err, record.KindOf(err), want)
	}
}

func TestCreatedDirectoryOpensAndIsPrivate(t *testing.T) {
	d, err := Open(create(t).Path())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := d.Keyring()
	if err != nil || string(keys) != "keys" {
		t.Errorf("keyring is %q, %v", keys, err)
	}
	config, err := d.Config()
	if err != nil || string(config) != "# config\n" {
		t.Errorf("config is %q, %v", config, err)
	}
	for path, want := range map[string]os.FileMode{d.Path(): 0o700, d.KeyringPath(): 0o600, d.ConfigPath(): 0o600} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, %v; want %v", path, info.Mode().Perm(), err, want)
		}
	}
}

func TestCreateIn(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(t *testing.T, dir string)
		kind    record.Kind // Internal: must succeed
		untaken string      // a file that must be left as it was
	}{
		{"a place whose parents are missing is made", func(t *testing.T, dir string) {
			os.Remove(dir)
		}, record.Internal, ""},
		{"an empty directory is taken", func(t *testing.T, dir string) {}, record.Internal, ""},
		{"a fresh volume is taken", func(t *testing.T, dir string) {
			mkdir(t, filepath.Join(dir, "lost+found"))
		}, record.Internal, ""},
		{"what a crashed init left is taken", func(t *testing.T, dir string) {
			put(t, filepath.Join(dir, "version"), "1\n")
			put(t, filepath.Join(dir, "dxd.toml"), "old")
			put(t, filepath.Join(dir, ".dxd-tmp-1"), "half")
			mkdir(t, filepath.Join(dir, "journal"))
			put(t, filepath.Join(dir, "journal", "000001.vlog"), "old")
			put(t, filepath.Join(dir, "unfinished"), "")
		}, record.Internal, ""},
		{"a state directory is refused", func(t *testing.T, dir string) {
			put(t, filepath.Join(dir, "keyring"), "precious")
		}, record.Conflict, "keyring"},
		{"a journal whose keyring is gone is refused", func(t *testing.T, dir string) {
			put(t, filepath.Join(dir, "journal"), "precious")
		}, record.Conflict, "journal"},
		{"a letter among leftovers is refused", func(t *testing.T, dir string) {
			put(t, filepath.Join(dir, "unfinished"), "")
			put(t, filepath.Join(dir, "letter.txt"), "precious")
		}, record.Conflict, "letter.txt"},
		{"a directory with other things is refused", func(t *testing.T, dir string) {
			put(t, filepath.Join(dir, "letter.txt"), "precious")
		}, record.Conflict, "letter.txt"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			tt.prepare(t, dir)
			_, err := Create(filepath.Join(dir), []byte("keys"), nil, nil)
			if tt.kind == record.Internal {
				if err != nil {
					t.Fatal(err)
				}
				if _, err := Open(dir); err != nil {
					t.Fatal(err)
				}
				return
			}
			wantKind(t, err, tt.kind)
			if got, err := os.ReadFile(filepath.Join(dir, tt.untaken)); err != nil || string(got) != "precious" {
				t.Errorf("%s is now %q, %v", tt.untaken, got, err)
			}
		})
	}
}

func TestCreateThatFailsLeavesNothing(t *testing.T) {
	full := record.Errorf(record.Full, "no room")
	fail := func(d Dir) error {
		mkdir(t, filepath.Join(d.Path(), JournalName))
		put(t, filepath.Join(d.Path(), JournalName, "000001.vlog"), "half")
		return full
	}
	parent := t.TempDir()
	_, err := Create(filepath.Join(parent, "state"), []byte("keys"), nil, fail)
	wantKind(t, err, record.Full)
	wantEntries(t, parent, 0)

	_, err = Create(parent, []byte("keys"), nil, fail)
	wantKind(t, err, record.Full)
	wantEntries(t, parent, 0)

	put(t, filepath.Join(parent, "file"), "")
	if _, err = Create(filepath.Join(parent, "file", "state"), nil, nil, nil); err == nil {
		t.Fatal("made a directory below a file")
	}
	wantEntries(t, parent, 1)
}

func TestCreateFillsBeforeTheDirectoryCounts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	_, err := Create(path, []byte("keys"), nil, func(d Dir) error {
		_, err := Open(d.Path())
		wantKind(t, err, record.NotFound)
		_, err = Create(d.Path(), []byte("others"), nil, nil)
		wantKind(t, err, record.Conflict)
		mkdir(t, filepath.Join(d.Path(), JournalName))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantContent(t, filepath.Join(path, "keyring"), "keys")
	wantEntries(t, path, 5) // version, dxd.toml, journal, keyring, lock
}

func TestOpenRefuses(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(t *testing.T, d Dir)
		kind  record.Kind
		hint  string
	}{
		{"a place where nothing is", func(t *testing.T, d Dir) {
			if err := os.RemoveAll(d.Path()); err != nil {
				t.Fatal(err)
			}
		}, record.NotFound, "dxd init"},
		{"a directory without a keyring", func(t *testing.T, d Dir) {
			if err := os.Remove(d.KeyringPath()); err != nil {
				t.Fatal(err)
			}
		}, record.NotFound, "dxd init"},
		{"a journal whose keyring is gone", func(t *testing.T, d Dir) {
			mkdir(t, filepath.Join(d.Path(), "journal"))
			if err := os.Remove(d.KeyringPath()); err != nil {
				t.Fatal(err)
			}
		}, record.Damaged, "dxd restore"},
		{"what an init left that was cut off", func(t *testing.T, d Dir) {
			mkdir(t, filepath.Join(d.Path(), "journal"))
			put(t, filepath.Join(d.Path(), "unfinished"), "")
			if err := os.Remove(d.KeyringPath()); err != nil {
				t.Fatal(err)
			}
		}, record.NotFound, "dxd init"},
		{"a directory of a newer version", func(t *testing.T, d Dir) {
			put(t, filepath.Join(d.Path(), "version"), "2\n")
		}, record.Invalid, "install"},
		{"a version that is no number", func(t *testing.T, d Dir) {
			put(t, filepath.Join(d.Path(), "version"), "x\x1b[0m")
		}, record.Damaged, ""},
		{"a keyring that a group may read", func(t *testing.T, d Dir) {
			chmod(t, d.KeyringPath(), 0o640)
		}, record.Refused, "chmod 600"},
		{"a directory that everyone may enter", func(t *testing.T, d Dir) {
			chmod(t, d.Path(), 0o711)
		}, record.Refused, "chmod 700"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := create(t)
			tt.spoil(t, d)
			_, err := Open(d.Path())
			wantKind(t, err, tt.kind)
			if !strings.Contains(record.Hint(err), tt.hint) {
				t.Errorf("hint %q, want %q in it", record.Hint(err), tt.hint)
			}
			if strings.Contains(err.Error(), "\x1b") {
				t.Errorf("an escape sequence in %q", err)
			}
		})
	}
}

func TestDirectoryHasOneOwner(t *testing.T) {
	d := create(t)
	first, err := d.Lock()
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Lock()
	wantKind(t, err, record.Conflict)
	if want := "(pid " + strconv.Itoa(os.Getpid()) + ")"; !strings.Contains(err.Error(), want) {
		t.Errorf("%q does not name the owner %s", err, want)
	}
	if err := first.Unlock(); err != nil {
		t.Fatal(err)
	}
	last, err := d.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if err := last.Unlock(); err != nil {
		t.Fatal(err)
	}
}

// TestMain lets the test's own binary play the daemon that is killed.
func TestMain(m *testing.M) {
	path := os.Getenv("STATEDIR_TEST_HOLD")
	if path == "" {
		os.Exit(m.Run())
	}
	if _, err := (Dir{path}).Lock(); err != nil {
		os.Exit(1)
	}
	os.Stdout.WriteString("locked")
	select {}
}

func TestLockOfKilledProcessIsFree(t *testing.T) {
	d := create(t)
	holder := exec.Command(os.Args[0])
	holder.Env = append(os.Environ(), "STATEDIR_TEST_HOLD="+d.Path())
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	_, lockErr := d.Lock()
	wantKind(t, lockErr, record.Conflict)
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := holder.Wait(); err == nil {
		t.Fatal("the holder ended by itself")
	}
	l, err := d.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Unlock(); err != nil {
		t.Fatal(err)
	}
}

func TestWhetherItCanBeWritten(t *testing.T) {
	d := create(t)
	names := func() (all []string) {
		entries, err := os.ReadDir(d.Path())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			all = append(all, e.Name())
		}
		return all
	}
	before := names()
	if err := d.CheckWritable(); err != nil {
		t.Fatal(err)
	}
	if after := names(); !slices.Equal(before, after) {
		t.Errorf("it left %q, not %q", after, before)
	}
	err := fileError("couldn't write %q: %w", "x", &fs.PathError{Op: "open", Path: "x", Err: syscall.EROFS})
	wantKind(t, err, record.Unavailable)
	if hint := record.Hint(err); !strings.Contains(hint, "read-only") {
		t.Errorf("of a read-only disk it says %q", hint)
	}
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}
