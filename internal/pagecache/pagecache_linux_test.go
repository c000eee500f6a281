package pagecache

import (
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestTheBeginningStays writes and reads a file, of which all but its beginning
// and its end is let go.
func TestTheBeginningStays(t *testing.T) {
	const keep, piece, size = 16 << 20, 1 << 20, 128 << 20
	path := filepath.Join(t.TempDir(), "large")
	f, err := os.Create(path)
	check(t, err)
	defer f.Close()
	var fs unix.Statfs_t
	check(t, unix.Fstatfs(int(f.Fd()), &fs))
	inMemory := fs.Type == unix.TMPFS_MAGIC // its pages are the file
	for at := int64(0); at < size; at += piece {
		_, err := f.Write(make([]byte, piece))
		check(t, err)
		check(t, f.Sync()) // a disk that keeps up
		passed(f, at, at+piece, keep)
	}
	wantPages(t, f, 0, keep, true)
	wantPages(t, f, keep, size-lag, inMemory)
	wantPages(t, f, size-lag, size, true)
	for at := int64(0); at < size; at += piece {
		_, err := f.ReadAt(make([]byte, piece), at)
		check(t, err)
		passed(f, at, at+piece, keep)
	}
	wantPages(t, f, 0, keep, true)
	wantPages(t, f, keep, size-lag, inMemory)
}

// wantPages checks what of a file is in the page cache (mincore(2)). The system
// may let go or read ahead as it likes, so that a part is told by its most.
func wantPages(t *testing.T, f *os.File, from, to int64, want bool) {
	t.Helper()
	m, err := unix.Mmap(int(f.Fd()), from, int(to-from), unix.PROT_READ, unix.MAP_SHARED)
	check(t, err)
	defer unix.Munmap(m)
	pages := make([]byte, len(m)/os.Getpagesize())
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)), uintptr(unsafe.Pointer(&pages[0]))); errno != 0 {
		t.Fatal(errno)
	}
	there := 0
	for _, p := range pages {
		there += int(p & 1)
	}
	if got := there > len(pages)/2; got != want {
		t.Errorf("%d of %d pages from %d MiB on are there", there, len(pages), from>>20)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
