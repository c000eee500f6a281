// Package pagecache keeps a large file that is written or read from one end to
// the other from pushing all others out of the system's page cache: the daemon
// shares its machine, and pages that were just given back cost less than fresh
// ones.
//
// It never changes what is in a file or on the disk, and never waits for it.
package pagecache

import "os"

const (
	// kept is how many bytes from a file's beginning on stay in the page cache.
	// What was written is often read next, and most files are smaller.
	kept = 1 << 30

	// step is how many bytes are let go together.
	step = 8 << 20

	// lag is how far behind a writer's place pages are let go: until they are on
	// the disk the system keeps them.
	lag = 32 << 20

	// again is how many bytes before that are let go once more: the disk may not
	// have kept up.
	again = 256 << 20
)

// Passed tells the system that the bytes of f from one offset to another were
// written or read, and that it need not keep those before them. It is a hint:
// only time is lost where it does nothing.
func Passed(f *os.File, from, to int64) { passed(f, from, to, kept) }

func passed(f *os.File, from, to, kept int64) {
	if from/step == to/step {
		return
	}
	end := to/step*step - lag
	if start := max(kept, end-again); start < end {
		letGo(f, start, end-start)
	}
}
