package daemon

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dxd/crypto"
	"dxd/internal/config"
	"dxd/internal/statedir"
	"dxd/record"
)

// someBackup is the backup of a new organisation, and its directory.
func someBackup(t testing.TB) ([]byte, statedir.Dir) {
	t.Helper()
	dir, keys, err := Create(t.Context(), filepath.Join(t.TempDir(), "state"), "Acme Ltd", nil, []byte("# mine\n"))
	if err != nil {
		t.Fatal(err)
	}
	return backupOf(t, dir, keys), dir
}

func backupOf(t testing.TB, dir statedir.Dir, keys *crypto.Keyring) []byte {
	t.Helper()
	o := openedWith(t, dir, keys)
	defer o.Close()
	write, err := o.Backup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// contents reads all entries; nil if the backup is refused.
func contents(backup []byte) map[string]string {
	u, all := newUnpacker(bytes.NewReader(backup)), map[string]string{}
	for {
		name, content, err := u.next()
		if err != nil {
			return nil
		}
		if name == entryEnd {
			return all
		}
		data, err := io.ReadAll(content)
		if err != nil {
			return nil
		}
		all[name] = string(data)
	}
}

func TestNoChangeOfABackupGoesUnseen(t *testing.T) {
	backup, _ := someBackup(t)
	whole := contents(backup)
	if len(whole) < 5 || whole[entryConfig] != "# mine\n" || CheckBackup(bytes.NewReader(backup)) != nil {
		t.Fatalf("the backup holds %d entries", len(whole))
	}
	refused := 0
	for i := 0; i < len(backup); i += 7 {
		changed := bytes.Clone(backup)
		changed[i] ^= 1 << (i % 8)
		got := contents(changed)
		if got == nil {
			refused++
			continue
		}
		for name, content := range whole { // padding means nothing
			if got[name] != content || len(got) != len(whole) {
				t.Fatalf("byte %d: another %s is taken for whole", i, name)
			}
		}
	}
	end := bytes.LastIndexByte(backup, '\n') // of the last entry; behind it is padding
	for n := 0; n < end; n += 97 {
		if contents(backup[:n]) != nil {
			t.Fatalf("%d of %d bytes are taken for whole", n, len(backup))
		}
	}
	t.Logf("%d of %d changes refused", refused, len(backup)/7)
	if refused < len(backup)/7/3 {
		t.Error("too few to mean anything")
	}
}

func TestARestoredDirectoryIsTheOneThatWasBackedUp(t *testing.T) {
	backup, from := someBackup(t)
	path := filepath.Join(t.TempDir(), "new")
	dir, made, err := Restore(bytes.NewReader(backup), path)
	if err != nil {
		t.Fatal(err)
	}
	if age := time.Since(made); age < -time.Minute || age > time.Hour {
		t.Errorf("it is of %s", made)
	}
	before, err := from.Keyring()
	if err != nil {
		t.Fatal(err)
	}
	if after, err := dir.Keyring(); err != nil || !bytes.Equal(before, after) {
		t.Errorf("another keyring, %v", err)
	}
	keys, err := crypto.Unlock(before, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := checkConfirmed(dir); record.KindOf(err) != record.Refused || record.Hint(err) == "" {
		t.Errorf("unconfirmed: %v", err)
	}
	o := openedWith(t, dir, keys)
	defer o.Close()
	if o.Book.Self().Body.Name != "Acme Ltd" {
		t.Error("another card")
	}
	if err := o.ConfirmRestore(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := checkConfirmed(dir); err != nil {
		t.Errorf("confirmed: %v", err)
	}
	if err := o.ConfirmRestore(t.Context()); record.KindOf(err) != record.Conflict {
		t.Errorf("once more: %v", err)
	}
}

func TestABackupThatIsRefusedLeavesNothing(t *testing.T) {
	backup, _ := someBackup(t)
	newer := bytes.Clone(backup)
	copy(newer[bytes.Index(newer, []byte(backupFormat)):], "dxd backup, version 2\n")
	for name, data := range map[string][]byte{
		"nothing": nil, "no backup": []byte("hello"), "cut": backup[:len(backup)*2/3], "newer": newer,
		"changed": bytes.Replace(backup, []byte("# mine"), []byte("# yours"[:6]), 1),
	} {
		path := filepath.Join(t.TempDir(), "new")
		_, _, err := Restore(bytes.NewReader(data), path)
		if err == nil {
			t.Errorf("%s is restored", name)
		}
		if name != "newer" && (record.KindOf(err) != record.Damaged || record.Hint(err) == "") {
			t.Errorf("%s is not said to be no good backup: %v", name, err)
		}
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s leaves something: %v", name, err)
		}
	}
}

func FuzzRestore(f *testing.F) {
	backup, _ := someBackup(f)
	f.Add(backup)
	f.Add(backup[:4096])
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "new")
		_, _, err := Restore(bytes.NewReader(data), path)
		whole := CheckBackup(bytes.NewReader(data)) == nil
		if err == nil && !whole {
			t.Error("what is not whole is restored")
		}
		if _, gone := os.Stat(path); err != nil && !os.IsNotExist(gone) {
			t.Error("what is refused leaves something")
		}
	})
}

func openedWith(t testing.TB, dir statedir.Dir, keys *crypto.Keyring) *Organisation {
	t.Helper()
	o, err := Open(t.Context(), dir, config.Default(), keys, slog.New(slog.DiscardHandler), Watcher{})
	if err != nil {
		t.Fatal(err)
	}
	return o
}
