package main

import (
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
