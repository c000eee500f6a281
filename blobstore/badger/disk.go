package badger

import (
	"errors"
	"os"
	"strings"
	"syscall"

	"dxd/record"
)

// freeSpace is how many bytes the disk below dir has left for us.
func freeSpace(dir string) (int64, error) {
	free, err := statfs(dir)
	if err != nil {
		return 0, record.Errorf(record.Internal, "couldn't tell how full the disk is: %w", err)
	}
	return free, nil
}

// checkFloor refuses to let Badger write on a disk that is all but full.
func (s *Store) checkFloor() error {
	free, err := freeSpace(s.dir)
	if err == nil && free < floor {
		err = errFull()
	}
	return err
}

func errFull() error {
	return record.WithHint(record.Errorf(record.Full, "no room on the disk: only the reserve is left"),
		"free some space on the disk that holds the state directory")
}

// diskError is an error of kind Full if the disk is, else Internal.
func diskError(err error, format string, args ...any) error {
	if isFull(err) {
		return record.WithHint(record.Errorf(record.Full, format, args...),
			"free some space on the disk that holds the state directory")
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
