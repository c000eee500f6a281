package pagecache

import (
	"os"

	"golang.org/x/sys/unix"
)

// letGo is posix_fadvise(2). Fadvise fails for what has no pages, like a pipe.
func letGo(f *os.File, offset, n int64) {
	unix.Fadvise(int(f.Fd()), offset, n, unix.FADV_DONTNEED)
}
