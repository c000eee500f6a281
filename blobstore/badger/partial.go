package badger

import (
	"io"
	"os"

	"dxd/blobstore"
	"dxd/internal/pagecache"
	"dxd/record"
)

const (
	// pushEvery is how much is written before the disk is set to work on it.
	pushEvery = 8 << 20

	// lookEvery is how much is written at most before the disk's free space
	// is looked at again, and lookShare the part of that space: files that
	// are written at the same time don't know of each other.
	lookEvery = 16 << 20
	lookShare = 8
)

// partial is a payload that is being written.
type partial struct {
	s         *Store
	id        blobstore.FileID
	f         *os.File
	size      int64
	pushed    int64 // up to here the disk has been set to work
	allowance int64 // bytes that may be written before looking at the disk
}

func (p *partial) Size() int64 { return p.size }

func (p *partial) ReadAt(b []byte, off int64) (int, error) { return readAt(p.f, b, off) }

func (p *partial) Write(b []byte) (int, error) {
	if err := p.admit(int64(len(b))); err != nil {
		return 0, err
	}
	n, err := p.f.Write(b)
	pagecache.Passed(p.f, p.size, p.size+int64(n))
	p.size += int64(n)
	p.allowance -= int64(n)
	if err != nil {
		return n, diskError(err, "couldn't write a payload: %w", err)
	}
	if p.size-p.pushed >= pushEvery {
		writeBack(p.f, p.pushed, p.size-p.pushed)
		p.pushed = p.size
	}
	return n, nil
}

// admit tells whether n bytes can be written without touching the reserve.
func (p *partial) admit(n int64) error {
	if n <= p.allowance {
		return nil
	}
	free, err := p.s.Free()
	if err != nil {
		return err
	}
	if n > free {
		return errFull()
	}
	p.allowance = max(n, min(lookEvery, free/lookShare))
	return nil
}

func (p *partial) Truncate(size int64) error {
	if size < 0 || size > p.size {
		return record.Errorf(record.Invalid, "couldn't cut a payload of %d bytes at %d", p.size, size)
	}
	if err := p.f.Truncate(size); err != nil {
		return diskError(err, "couldn't cut a payload: %w", err)
	}
	if _, err := p.f.Seek(size, io.SeekStart); err != nil {
		return diskError(err, "couldn't cut a payload: %w", err)
	}
	p.size, p.pushed = size, min(size, p.pushed)
	return nil
}

func (p *partial) Sync() error {
	if err := p.f.Sync(); err != nil {
		return diskError(err, "couldn't sync a payload: %w", err)
	}
	return syncDir(p.s.files)
}

func (p *partial) Commit() error {
	if err := p.f.Sync(); err != nil {
		return diskError(err, "couldn't sync a payload: %w", err)
	}
	if err := os.Rename(p.s.partialPath(p.id), p.s.wholePath(p.id)); err != nil {
		return diskError(err, "couldn't keep a payload: %w", err)
	}
	// The bytes were durable before the file got its name, so a crash leaves
	// it partial or whole, never whole with bytes missing. At the next point
	// the name is durable too.
	if err := syncDir(p.s.files); err != nil {
		return err
	}
	return p.Close()
}

func (p *partial) Close() error {
	if err := p.f.Close(); err != nil {
		return diskError(err, "couldn't close a payload: %w", err)
	}
	return nil
}
