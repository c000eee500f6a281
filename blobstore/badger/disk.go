package badger

import (
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/dgraph-io/badger/v4"

	"dxd/record"
)

// floor is what has to be free before Badger may write at all. It writes
// through memory maps of sparse files, and a page that finds no room on the
// disk ends the process (SIGBUS) where a write would have got an error.
const floor = 32 << 20

// maxMerge bounds how much of a level one merge is taken to rewrite.
const maxMerge = 64 << 20

// room knows how much Badger may write in the background after an update: the
// flush of its memtables, and the compaction that follows from it.
type room struct{ need atomic.Int64 }

// measure takes the size of what the next compaction merges: all of level 0
// and the first level below it.
func (r *room) measure(db *badger.DB) {
	var sizes [8]int64
	for _, t := range db.Tables() {
		sizes[min(t.Level, len(sizes)-1)] += int64(t.OnDiskSize)
	}
	need := floor + sizes[0]
	for _, size := range sizes[1:] {
		if size > 0 {
			need += min(size, maxMerge)
			break
		}
	}
	r.need.Store(need)
}

// Three bounds on what has to be left free, the lowest first.

func (s *Store) leftByDeletions() int64 { return max(floor, s.room.need.Load()) }
func (s *Store) leftByUpdates() int64   { return max(s.reserve/2, s.leftByDeletions()) }
func (s *Store) leftByPayloads() int64  { return s.leftByUpdates() + s.reserve/2 }

// freeSpace is how many bytes the disk below dir has left for us.
func freeSpace(dir string) (int64, error) {
	free, err := statfs(dir)
	if err != nil {
		return 0, record.Errorf(record.Internal, "couldn't tell how full the disk is: %w", err)
	}
	return free, nil
}

// checkRoom refuses to let Badger write on a disk that is too full for it.
func (s *Store) checkRoom(need int64) error {
	free, err := freeSpace(s.dir)
	if err == nil && free < need {
		err = errFull()
	}
	return err
}

func errFull() error {
	return record.WithHint(record.Errorf(record.Full, "no room on the disk: only the reserve is left"),
		"free some space on the disk that holds the state directory")
}

// diskError is an error of kind Full if the disk is, Unavailable if it takes
// nothing any more, else Internal.
func diskError(err error, format string, args ...any) error {
	switch {
	case isFull(err):
		return record.WithHint(record.Errorf(record.Full, format, args...),
			"free some space on the disk that holds the state directory")
	case mentions(err, syscall.EROFS):
		return record.WithHint(record.Errorf(record.Unavailable, format, args...),
			"the disk that holds the state directory is read-only: the kernel's log may say why; see to it, then start dxd again")
	}
	return record.Errorf(record.Internal, format, args...)
}

func isFull(err error) bool { return mentions(err, syscall.ENOSPC) || mentions(err, syscall.EDQUOT) }

// mentions tells whether err comes from errno. Badger's errors keep only the
// text of the error below them (y.Wrap).
func mentions(err error, errno syscall.Errno) bool {
	return errors.Is(err, errno) || strings.Contains(err.Error(), errno.Error())
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return diskError(err, "couldn't open %q: %w", dir, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return diskError(err, "couldn't sync %q: %w", dir, err)
	}
	return nil
}
