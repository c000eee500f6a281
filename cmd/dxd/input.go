package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"dxd/record"
)

// unreadable gives an error about a local file the exit code 1: 6 and 7 are
// about what the daemon keeps and allows, and scripts tell them apart by that.
func unreadable(err error) error {
	switch record.KindOf(err) {
	case record.NotFound, record.Refused:
		return record.Errorf(record.Invalid, "%w", err)
	}
	return err
}

// document is what is to be sent, notarised or verified.
type document struct {
	io.ReadCloser
	name string
	size int64 // -1: not known
}

// openDocument opens the file, or standard input for "-", which has no name.
func (a *app) openDocument(path string) (document, error) {
	if path == "-" {
		return document{io.NopCloser(a.in), "", -1}, nil
	}
	f, err := os.Open(path)
	var cause *fs.PathError
	if errors.As(err, &cause) {
		err = cause.Err // which does not say the path again
	}
	if err != nil {
		return document{}, record.Errorf(record.Invalid, "couldn't open %q: %w", path, err)
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = record.WithHint(record.Errorf(record.Invalid, "couldn't open %q: it is a directory", path), "pack it first, for instance with tar")
	}
	if err != nil {
		f.Close() // nothing was written
		return document{}, err
	}
	d := document{f, filepath.Base(path), info.Size()}
	if !info.Mode().IsRegular() {
		d.size = -1 // a pipe or a device tells none
	}
	return d, nil
}

// written tells, each time that it is asked, whether somebody has written to the
// file since. What was read then may be partly old and partly new, and that is
// what was signed; only another length is refused.
func (d document) written() func() bool {
	f, ok := d.ReadCloser.(*os.File)
	if !ok || d.size < 0 {
		return func() bool { return false }
	}
	before, err := f.Stat()
	return func() bool {
		now, errNow := f.Stat()
		return err == nil && errNow == nil && !now.ModTime().Equal(before.ModTime())
	}
}

// named gives the document the name that the caller wants, and refuses early
// what the daemon would refuse.
func (d *document) named(name string) error {
	if name != "" {
		d.name = name
	}
	if d.name == "" {
		return usageError{record.WithHint(record.Errorf(record.Invalid, "--name is missing"), "what comes from standard input has no name of its own")}
	}
	return record.WithHint(record.CheckName(d.name), "give another name with --name")
}

// source is what the daemon is given: a file as it is, which the daemon can read
// by itself, or else what comes until ctx ends. The bar follows.
func (d document) source(ctx context.Context, bar *progress) io.Reader {
	if f, ok := d.ReadCloser.(*os.File); ok && d.size >= 0 {
		bar.follow(f)
		return f
	}
	return bar.reader(d.until(ctx))
}

// until makes reading end with ctx, also while nothing comes: a person who
// stops a pipe does not want to wait for its other end.
func (d document) until(ctx context.Context) io.Reader {
	if d.size >= 0 {
		return d // a file never keeps anybody waiting
	}
	return &interruptible{ctx: ctx, src: d, read: make(chan chunk, 1)}
}

// interruptible reads in a goroutine. A read that never ends is given up, and
// ends with the process.
type interruptible struct {
	ctx  context.Context
	src  io.Reader
	read chan chunk
	rest bytes.Reader
	err  error // after rest
}

type chunk struct {
	data []byte
	err  error
}

func (r *interruptible) Read(p []byte) (int, error) {
	if r.rest.Len() == 0 {
		if r.err != nil {
			return 0, r.err
		}
		go func() {
			buf := make([]byte, max(len(p), 1))
			n, err := r.src.Read(buf)
			r.read <- chunk{buf[:n], err}
		}()
		select {
		case c := <-r.read:
			r.rest.Reset(c.data)
			r.err = c.err
		case <-r.ctx.Done():
			r.err = r.ctx.Err()
			return 0, r.err
		}
	}
	if r.rest.Len() == 0 {
		return 0, r.err
	}
	return r.rest.Read(p)
}
