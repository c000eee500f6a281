package badger

import (
	"errors"
	"fmt"
	"math"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func statfs(dir string) (int64, error) {
	var st syscall.Statfs_t
	err := syscall.Statfs(dir, &st)
	return int64(st.Bavail) * int64(st.Bsize), err
}

// mapsAreFiles says that syncing a file writes, too, what was written to a map
// of it. On Linux msync(2) is that very sync.
const mapsAreFiles = true

// syncData makes the content of a file durable.
func syncData(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return err
		}
	}
}

// preallocate gives a file its blocks where the file system can do that.
func preallocate(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	err = syscall.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS) {
		return nil
	}
	return err
}

// writeBack begins to write a part of a file to the disk and does not wait,
// so that the sync at the end finds little left to do. It is a hint: what
// goes wrong is for the sync to tell.
func writeBack(f *os.File, offset, n int64) {
	const syncFileRangeWrite = 2 // sync_file_range(2)
	syscall.SyncFileRange(int(f.Fd()), offset, n, syncFileRangeWrite)
}

// mostMaps is how many maps a process may have (vm.max_map_count).
func mostMaps() int {
	text, err := os.ReadFile("/proc/sys/vm/max_map_count")
	n := 0
	if _, bad := fmt.Sscan(string(text), &n); err != nil || bad != nil {
		return math.MaxInt // nobody says
	}
	return n
}
