package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/readahead"

	"dxd/internal/statedir"
	"dxd/record"
)

// output is a file that is written whole or not at all.
type output struct {
	*statedir.File
	path  string
	over  bool // may take the place of a file
	hash  hash.Hash
	known record.Digest // of what comes from a reader that compares it: it is not hashed once more
	size  int64
}

// outputPath is where -o leads: into a directory under the given name, which
// the sender chose, or to a file.
func outputPath(o, name string) string {
	info, err := os.Stat(o)
	if strings.HasSuffix(o, string(filepath.Separator)) || err == nil && info.IsDir() {
		return filepath.Join(o, safeName(name))
	}
	return o
}

// safeName keeps a sender from making a hidden file, which might be one that
// a shell runs, or one that looks like a flag. What could leave the directory
// was refused long before.
func safeName(name string) string {
	if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "-") {
		return "_" + name[1:]
	}
	return name
}

// newOutput begins the file; over allows to replace one that is there.
func newOutput(path string, over bool) (*output, error) {
	if err := mayPlace(path, over); err != nil {
		return nil, err
	}
	if err := makeFolder(path); err != nil {
		return nil, err
	}
	f, err := statedir.NewFile(path, 0o600)
	return &output{File: f, path: path, over: over, hash: sha256.New()}, unreadable(err)
}

// makeFolder makes the folder that the file is to stand in, but not those above.
func makeFolder(path string) error {
	err := os.Mkdir(filepath.Dir(path), 0o755)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return record.WithHint(record.Errorf(record.Invalid, "couldn't make %q: %w", filepath.Dir(path), err), "make the folders above it first")
	}
	return nil
}

// mayPlace refuses to replace a file without leave, and anything else, such as
// a device, always.
func mayPlace(path string, over bool) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return record.Errorf(record.Invalid, "couldn't write %q: %w", path, err)
	case !info.Mode().IsRegular():
		return record.Errorf(record.Conflict, "%q is not a file", path)
	case !over:
		return record.WithHint(record.Errorf(record.Conflict, "%q exists already", path), "--force replaces it")
	}
	return nil
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.File.Write(p)
	if o.known.IsZero() {
		o.hash.Write(p[:n])
	}
	o.size += int64(n)
	return n, err
}

// What is read ahead of the disk.
const (
	aheadBuffers = 4
	aheadSize    = 256 << 10
)

// fill copies all of r, which it reads while the disk is busy, and puts the file
// in its place.
func (o *output) fill(r io.Reader) error {
	ahead, err := readahead.NewReaderSize(r, aheadBuffers, aheadSize)
	if err != nil {
		return errors.Join(err, o.Abort())
	}
	defer ahead.Close() // which closes nothing of r
	if _, err = io.Copy(o, ahead); err == nil {
		// Again: it may have come meanwhile.
		err = mayPlace(o.path, o.over)
	}
	if err != nil {
		return errors.Join(err, o.Abort())
	}
	return o.Commit()
}

func (o *output) sha256() string {
	if !o.known.IsZero() {
		return o.known.Hex()
	}
	return hex.EncodeToString(o.hash.Sum(nil))
}
