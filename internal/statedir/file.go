package statedir

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"dxd/record"
)

// temporaryPrefix begins the name of each file that is not whole yet. What a
// crash leaves of them is never read.
const temporaryPrefix = ".dxd-tmp-"

func isTemporary(name string) bool { return strings.HasPrefix(name, temporaryPrefix) }

// File is a file that is being written beside the place that it is to take.
// Nobody sees it there before Commit.
type File struct {
	temp   *os.File
	path   string
	size   int64
	pushed int64 // up to here the disk has begun
}

// pushEvery is how much is written before the disk begins with it.
const pushEvery = 8 << 20

// NewFile begins a file that Commit will put at path, over one that is there.
func NewFile(path string, perm os.FileMode) (*File, error) {
	temp, err := os.CreateTemp(filepath.Dir(path), temporaryPrefix+"*")
	if err != nil {
		return nil, fileError("couldn't write %q: %w", path, err)
	}
	f := &File{temp: temp, path: path}
	if err := temp.Chmod(perm); err != nil {
		return nil, errors.Join(f.fail(err), f.Abort())
	}
	return f, nil
}

// Write appends to the file.
func (f *File) Write(p []byte) (int, error) {
	n, err := f.temp.Write(p)
	f.size += int64(n)
	if err != nil {
		return n, f.fail(err)
	}
	if f.size-f.pushed >= pushEvery {
		writeBack(f.temp, f.pushed, f.size-f.pushed)
		f.pushed = f.size
	}
	return n, nil
}

// Commit puts the file in its place. When it returns nil the file survives a
// loss of power; after an error what was at the path before is still there,
// or the whole new file is.
func (f *File) Commit() error { return f.commit(os.Rename) }

func (f *File) commit(place func(from, to string) error) error {
	err := f.temp.Sync()
	if err == nil {
		err = f.temp.Close()
	}
	if err == nil {
		err = place(f.temp.Name(), f.path)
	}
	if err != nil {
		return errors.Join(f.fail(err), f.Abort())
	}
	// At this point the name is in place, but may be lost with the power
	// until the directory is on the disk.
	return syncDir(filepath.Dir(f.path))
}

// Abort drops the file. After Commit it does nothing.
func (f *File) Abort() error {
	f.temp.Close() // closed already, or about to be removed: nothing is lost
	if err := os.Remove(f.temp.Name()); err != nil && !os.IsNotExist(err) {
		return fileError("couldn't remove %q: %w", f.temp.Name(), err)
	}
	return nil
}

func (f *File) fail(err error) error {
	var link *os.LinkError
	if errors.As(err, &link) {
		err = link.Err
	}
	return fileError("couldn't write %q: %w", f.path, err)
}

// WriteFile puts a whole file in its place, durably, or leaves what is there.
func WriteFile(path string, content []byte, perm os.FileMode) error {
	return write(path, content, perm, os.Rename)
}

// writeNew is WriteFile, but fails with fs.ErrExist rather than replace a file.
func writeNew(path string, content []byte, perm os.FileMode) error {
	return write(path, content, perm, func(from, to string) error {
		// Unlike a rename, a link fails if the name is taken.
		if err := os.Link(from, to); err != nil {
			return err
		}
		return os.Remove(from)
	})
}

func write(path string, content []byte, perm os.FileMode, place func(from, to string) error) error {
	f, err := NewFile(path, perm)
	if err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		return errors.Join(err, f.Abort())
	}
	return f.commit(place)
}

// ReadFile reads a regular file of at most limit bytes. The error is of kind
// NotFound if there is none, and Invalid if it is larger or not a file.
func ReadFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fileError("couldn't read %q: %w", path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fileError("couldn't read %q: %w", path, err)
	}
	if info.IsDir() {
		return nil, record.Errorf(record.Invalid, "couldn't read %q: it is a directory", path)
	}
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fileError("couldn't read %q: %w", path, err)
	}
	if int64(len(content)) > limit {
		return nil, record.Errorf(record.Invalid, "%q is larger than %d bytes", path, limit)
	}
	return content, nil
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return fileError("couldn't sync %q: %w", path, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fileError("couldn't sync %q: %w", path, err)
	}
	return nil
}
