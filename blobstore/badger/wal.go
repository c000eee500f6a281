package badger

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"dxd/record"
)

// wal follows the files in which Badger logs its memtables (NNNNN.mem).
// Badger makes them sparse and does not sync the directory that they are in.
type wal struct {
	dir  string
	last int      // number of the newest
	file *os.File // that one
}

// walRoom is how far Badger writes into such a file, and some.
const walRoom = memTableSize + 2<<20

// open finds the newest file of a journal that Badger has opened.
func (w *wal) open(dir string) error {
	w.dir = dir
	entries, err := os.ReadDir(dir)
	if err != nil {
		return diskError(err, "couldn't read the journal's directory: %w", err)
	}
	for _, e := range entries {
		var n int
		if !strings.HasSuffix(e.Name(), ".mem") {
			continue
		}
		if _, err := fmt.Sscanf(e.Name(), "%d.mem", &n); err == nil && n > w.last {
			w.last = n
		}
	}
	if w.last == 0 {
		return record.Errorf(record.Internal, "couldn't find the journal's log")
	}
	return w.adopt()
}

// follow looks after a commit whether it has begun a new file.
func (w *wal) follow() (switched bool, err error) {
	_, err = os.Stat(w.path(w.last + 1))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, diskError(err, "couldn't look for the journal's log: %w", err)
	}
	w.last++
	return true, w.adopt()
}

// adopt makes the newest file's name durable, and gives it its room on the
// disk now: a write to its map then never meets a full disk, which would kill
// the process. That the disk is full already is found by the next update.
func (w *wal) adopt() error {
	if err := preallocate(w.path(w.last), walRoom); err != nil && !isFull(err) {
		return diskError(err, "couldn't make room for the journal's log: %w", err)
	}
	file, err := os.Open(w.path(w.last))
	if err != nil {
		return diskError(err, "couldn't open the journal's log: %w", err)
	}
	w.close()
	w.file = file
	return syncDir(w.dir)
}

// sync makes durable what the last commit has written: all of it into the
// newest file, since a commit begins a new one before it writes, if at all.
// The file stays open from before its first sync on, so that no error of the
// disk's is missed.
func (w *wal) sync() error {
	if !mapsAreFiles {
		return nil // Badger did it
	}
	if err := syncData(w.file); err != nil {
		return diskError(err, "couldn't sync the journal's log: %w", err)
	}
	return nil
}

func (w *wal) close() {
	if w.file != nil {
		w.file.Close() // only read from and synced
	}
}

func (w *wal) path(n int) string { return filepath.Join(w.dir, fmt.Sprintf("%05d.mem", n)) }
