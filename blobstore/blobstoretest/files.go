package blobstoretest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"dxd/blobstore"
	"dxd/record"
)

func runFiles(t *testing.T, open Opener) {
	for name, test := range map[string]func(*testing.T, Opener){
		"a committed file is whole, also after a restart": testCommit,
		"an empty file is a file":                         testEmptyFile,
		"a partial file is not whole":                     testPartial,
		"a partial file goes on at its end":               testResume,
		"a partial file can be read and cut":              testTruncate,
		"a name is taken once":                            testTaken,
		"removing is idempotent":                          testRemove,
		"a listing shows both forms":                      testList,
		"there is room":                                   testFree,
	} {
		t.Run(name, func(t *testing.T) { test(t, open) })
	}
}

func create(t *testing.T, f blobstore.Files, id blobstore.FileID, content string) blobstore.Partial {
	t.Helper()
	p, err := f.Create(id)
	if err != nil {
		t.Fatal(err)
	}
	appendTo(t, p, content)
	return p
}

func appendTo(t *testing.T, p blobstore.Partial, content string) {
	t.Helper()
	if n, err := p.Write([]byte(content)); err != nil || n != len(content) {
		t.Fatalf("wrote %d of %d bytes: %v", n, len(content), err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantFile(t *testing.T, f blobstore.Files, id blobstore.FileID, want string) {
	t.Helper()
	file, err := f.Open(id)
	must(t, err)
	defer file.Close()
	got, err := io.ReadAll(io.NewSectionReader(file, 0, file.Size()))
	if err != nil || string(got) != want {
		t.Fatalf("the file holds %d bytes (%v), want %d", len(got), err, len(want))
	}
}

func testCommit(t *testing.T, open Opener) {
	dir, id := t.TempDir(), blobstore.NewFileID()
	content := string(bytes.Repeat([]byte("0123456789abcdef"), 1<<20)) // 16 MiB
	_, f, done := open(t, dir)
	p := create(t, f, id, content)
	must(t, p.Commit())
	wantFile(t, f, id, content)
	done()
	_, f, done = open(t, dir)
	defer done()
	wantFile(t, f, id, content)
	_, err := f.Resume(id)
	wantKind(t, err, record.NotFound)
}

func testEmptyFile(t *testing.T, open Opener) {
	f, id := open.files(t), blobstore.NewFileID()
	must(t, create(t, f, id, "").Commit())
	wantFile(t, f, id, "")
}

func testPartial(t *testing.T, open Opener) {
	f, id := open.files(t), blobstore.NewFileID()
	_, err := f.Open(id)
	wantKind(t, err, record.NotFound)
	_, err = f.Resume(id)
	wantKind(t, err, record.NotFound)
	p := create(t, f, id, "abc")
	_, err = f.Open(id)
	wantKind(t, err, record.NotFound)
	must(t, p.Close())
	_, err = f.Open(id)
	wantKind(t, err, record.NotFound)
}

func testResume(t *testing.T, open Opener) {
	dir, id := t.TempDir(), blobstore.NewFileID()
	_, f, done := open(t, dir)
	p := create(t, f, id, "abc")
	must(t, p.Sync())
	appendTo(t, p, "def")
	must(t, p.Close())
	done()
	_, f, done = open(t, dir)
	defer done()
	p, err := f.Resume(id)
	must(t, err)
	if p.Size() != 6 {
		t.Errorf("goes on at %d, want 6", p.Size())
	}
	appendTo(t, p, "ghi")
	must(t, p.Commit())
	wantFile(t, f, id, "abcdefghi")
}

func testTruncate(t *testing.T, open Opener) {
	f, id := open.files(t), blobstore.NewFileID()
	p := create(t, f, id, "abcdef")
	got := make([]byte, 3)
	if _, err := p.ReadAt(got, 2); err != nil || string(got) != "cde" {
		t.Errorf("read %q: %v", got, err)
	}
	must(t, p.Truncate(4))
	if p.Size() != 4 {
		t.Errorf("%d bytes after a cut at 4", p.Size())
	}
	wantKind(t, p.Truncate(5), record.Invalid)
	appendTo(t, p, "xy")
	if _, err := p.ReadAt(got, 5); !errors.Is(err, io.EOF) {
		t.Errorf("a read beyond the end: %v", err)
	}
	must(t, p.Commit())
	wantFile(t, f, id, "abcdxy")
}

func testTaken(t *testing.T, open Opener) {
	f, id := open.files(t), blobstore.NewFileID()
	p := create(t, f, id, "abc")
	_, err := f.Create(id)
	wantKind(t, err, record.Conflict)
	must(t, p.Commit())
	_, err = f.Create(id)
	wantKind(t, err, record.Conflict)
	wantFile(t, f, id, "abc")
}

func testRemove(t *testing.T, open Opener) {
	f := open.files(t)
	partial, whole := blobstore.NewFileID(), blobstore.NewFileID()
	must(t, create(t, f, partial, "abc").Close())
	must(t, create(t, f, whole, "abc").Commit())
	for range 2 {
		must(t, f.Remove(partial))
		must(t, f.Remove(whole))
	}
	_, err := f.Resume(partial)
	wantKind(t, err, record.NotFound)
	_, err = f.Open(whole)
	wantKind(t, err, record.NotFound)
	must(t, create(t, f, whole, "again").Commit())
}

func testList(t *testing.T, open Opener) {
	f := open.files(t)
	var want []string
	for i := range 300 { // more than a listing reads at a time
		id := blobstore.NewFileID()
		must(t, create(t, f, id, "abcd"[:i%4]).Close())
		want = append(want, fmt.Sprintf("%s partial=%v %d", id, true, i%4))
	}
	whole := blobstore.NewFileID()
	must(t, create(t, f, whole, "whole").Commit())
	want = append(want, fmt.Sprintf("%s partial=%v %d", whole, false, 5))
	var got []string
	for info, err := range f.List() {
		must(t, err)
		if info.Modified.IsZero() {
			t.Errorf("%s has no time", info.ID)
		}
		got = append(got, fmt.Sprintf("%s partial=%v %d", info.ID, info.Partial, info.Size))
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("listed %d files, want %d", len(got), len(want))
	}
}

func testFree(t *testing.T, open Opener) {
	free, err := open.files(t).Free()
	if err != nil || free <= 0 {
		t.Fatalf("free: %d, %v", free, err)
	}
}
