package api_test

import (
	"fmt"
	"os"
	"syscall"
	"testing"
)

// Who goes away while the daemon reads its file wants nothing to be sent.
func TestACallerWhoGoesTakesItsFileBack(t *testing.T) {
	h := newHouse(t)
	h.pair("bob")
	f := fileOf(t, nil)
	check(t, syscall.Flock(int(f.Fd()), syscall.LOCK_EX)) // as long as anybody has it open
	check(t, os.Truncate(f.Name(), 4<<30))                // a hole, which takes seconds to seal
	read := accessed(t, f.Name())
	conn := h.handOver(t, toBob, fmt.Sprintf(waits, int64(4<<30)), f)
	check(t, read())
	check(t, conn.Close())
	check(t, f.Close())
	check(t, syscall.Flock(int(opened(t, f.Name(), os.O_RDONLY).Fd()), syscall.LOCK_EX)) // the daemon closes it
	if n := len(h.list()); n != 0 {
		t.Errorf("%d transfers were made", n)
	}
	if n := h.files(); n != 0 {
		t.Errorf("%d payloads are left", n)
	}
}

// accessed gives what waits until somebody reads the file (inotify(7)).
func accessed(t *testing.T, path string) (wait func() error) {
	t.Helper()
	fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC | syscall.IN_NONBLOCK)
	check(t, err)
	events := os.NewFile(uintptr(fd), "inotify")
	t.Cleanup(func() { events.Close() })
	_, err = syscall.InotifyAddWatch(fd, path, syscall.IN_ACCESS)
	check(t, err)
	return func() error {
		_, err := events.Read(make([]byte, 4096))
		return err
	}
}
