package exchange

import (
	"context"
	"sync"

	"dxd/blobstore"
)

// fresh knows the files that this process has begun: they need no row yet. It
// asks no clock, which may be set back, or be finer than that of the disk.
type fresh struct {
	mu    sync.Mutex                // guards files
	files map[blobstore.FileID]bool // nil once the sweep is over
}

// newFile names a file that the sweep leaves alone.
func (x *Exchange) newFile() blobstore.FileID {
	id := blobstore.NewFileID()
	x.fresh.mu.Lock()
	defer x.fresh.mu.Unlock()
	if x.fresh.files != nil {
		x.fresh.files[id] = true
	}
	return id
}

func (f *fresh) has(id blobstore.FileID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.files[id]
}

func (f *fresh) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.files = nil
}

// sweep removes files without a row: what an earlier process left between a
// payload and its commit point. A row without its file cannot happen.
func (x *Exchange) sweep(ctx context.Context) error {
	defer x.fresh.forget()
	for f, err := range x.Files.List() {
		if err != nil {
			return err
		}
		if x.fresh.has(f.ID) {
			continue
		}
		needed, err := x.needed(ctx, f.ID)
		if err != nil {
			return err
		}
		if needed {
			continue
		}
		if err := x.Files.Remove(f.ID); err != nil {
			return err
		}
		x.Log.Info("removed a payload file that belongs to no transfer", "bytes", f.Size)
	}
	return nil
}

// needed tells whether a row needs the file.
func (x *Exchange) needed(ctx context.Context, id blobstore.FileID) (needed bool, err error) {
	err = x.Journal.View(ctx, func(tx blobstore.ReadTx) (err error) {
		needed, err = isMarked(tx, id)
		return err
	})
	return needed, err
}
