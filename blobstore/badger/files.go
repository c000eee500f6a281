package badger

import (
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"dxd/blobstore"
	"dxd/internal/pagecache"
	"dxd/record"
)

// partialSuffix ends the name of a file that is not whole.
const partialSuffix = ".partial"

func (s *Store) wholePath(id blobstore.FileID) string { return filepath.Join(s.files, id.String()) }

func (s *Store) partialPath(id blobstore.FileID) string { return s.wholePath(id) + partialSuffix }

// Create is blobstore.Files's.
func (s *Store) Create(id blobstore.FileID) (blobstore.Partial, error) {
	// A whole file never changes, so Commit must not find one in its place.
	if _, err := os.Lstat(s.wholePath(id)); err == nil {
		return nil, record.Errorf(record.Conflict, "there is a payload %s already", id)
	}
	f, err := os.OpenFile(s.partialPath(id), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, record.Errorf(record.Conflict, "there is a partial payload %s already", id)
	}
	if err != nil {
		return nil, diskError(err, "couldn't make a payload: %w", err)
	}
	return &partial{s: s, id: id, f: f}, nil
}

// Resume is blobstore.Files's.
func (s *Store) Resume(id blobstore.FileID) (blobstore.Partial, error) {
	f, size, err := openSized(s.partialPath(id), os.O_RDWR)
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(size, io.SeekStart); err != nil {
		return nil, errors.Join(diskError(err, "couldn't go on with a payload: %w", err), f.Close())
	}
	return &partial{s: s, id: id, f: f, size: size, pushed: size}, nil
}

// Open is blobstore.Files's.
func (s *Store) Open(id blobstore.FileID) (blobstore.File, error) {
	f, size, err := openSized(s.wholePath(id), os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	return whole{f, size}, nil
}

func openSized(path string, flag int) (*os.File, int64, error) {
	f, err := os.OpenFile(path, flag, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, record.Errorf(record.NotFound, "no payload %s", filepath.Base(path))
	}
	if err != nil {
		return nil, 0, diskError(err, "couldn't open a payload: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(diskError(err, "couldn't open a payload: %w", err), f.Close())
	}
	return f, info.Size(), nil
}

// whole is a payload that doesn't change any more.
type whole struct {
	f    *os.File
	size int64
}

func (w whole) Size() int64                             { return w.size }
func (w whole) ReadAt(b []byte, off int64) (int, error) { return readAt(w.f, b, off) }
func (w whole) Close() error                            { return w.f.Close() }

// readAt reads a payload, which is mostly done from one end to the other.
func readAt(f *os.File, b []byte, off int64) (int, error) {
	n, err := f.ReadAt(b, off)
	pagecache.Passed(f, off, off+int64(n))
	return n, err
}

// Remove is blobstore.Files's.
func (s *Store) Remove(id blobstore.FileID) error {
	s.removals.RLock()
	defer s.removals.RUnlock()
	for _, path := range []string{s.wholePath(id), s.partialPath(id)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return diskError(err, "couldn't remove a payload: %w", err)
		}
	}
	// Even if none was there: a removal before may not have got this far.
	return syncDir(s.files)
}

// List is blobstore.Files's.
func (s *Store) List() iter.Seq2[blobstore.FileInfo, error] {
	return func(yield func(blobstore.FileInfo, error) bool) {
		dir, err := os.Open(s.files)
		if err != nil {
			yield(blobstore.FileInfo{}, diskError(err, "couldn't list the payloads: %w", err))
			return
		}
		defer dir.Close()
		for {
			entries, err := dir.ReadDir(256)
			for _, e := range entries {
				if info, ok := describe(e); ok && !yield(info, nil) {
					return
				}
			}
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(blobstore.FileInfo{}, diskError(err, "couldn't list the payloads: %w", err))
				return
			}
		}
	}
}

// describe tells of a file, unless it isn't ours or has gone meanwhile.
func describe(e fs.DirEntry) (blobstore.FileInfo, bool) {
	name, isPartial := strings.CutSuffix(e.Name(), partialSuffix)
	id, err := blobstore.ParseFileID(name)
	if err != nil {
		return blobstore.FileInfo{}, false
	}
	info, err := e.Info()
	if err != nil {
		return blobstore.FileInfo{}, false
	}
	return blobstore.FileInfo{ID: id, Partial: isPartial, Size: info.Size(), Modified: info.ModTime()}, true
}

// Free is blobstore.Files's.
func (s *Store) Free() (int64, error) {
	free, err := freeSpace(s.files)
	return max(0, free-s.leftByPayloads()), err
}
