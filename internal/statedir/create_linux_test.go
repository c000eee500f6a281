package statedir

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// nobody is a user who must heed modes.
const nobody = 65534

// TestCreateThatFailsAtItsLastSyncCanBeRunAgain has a directory that can be written
// and not opened: the keyring gets its name, which then can't be made durable.
func TestCreateThatFailsAtItsLastSyncCanBeRunAgain(t *testing.T) {
	dir := t.TempDir()
	if os.Geteuid() == 0 {
		runtime.LockOSThread() // for good: the thread ends with the test
		for _, path := range []string{dir, filepath.Dir(dir)} {
			if err := os.Chown(path, nobody, nobody); err != nil {
				t.Fatal(err)
			}
		}
		if err := syscall.Setfsuid(nobody); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Create(dir, []byte("keys"), nil, func(d Dir) error { return os.Chmod(d.Path(), 0o300) })
	if err == nil {
		t.Fatal("it was made")
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil {
		t.Error("what failed opens")
	}
	if _, err := Create(dir, []byte("others"), nil, nil); err != nil {
		t.Fatalf("after %v", err)
	}
	if _, err := Open(dir); err != nil {
		t.Error(err)
	}
}
