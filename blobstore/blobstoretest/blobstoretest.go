// Package blobstoretest is the suite that every implementation of a journal
// and of files has to pass.
//
// It never looks behind the interfaces; what is special to one implementation
// is tested beside it.
package blobstoretest

import (
	"context"
	"testing"

	"dxd/blobstore"
	"dxd/record"
)

// Opener opens the journal and the files that are kept in a directory, which
// may be those that an earlier call left there. The function closes them.
type Opener func(t *testing.T, dir string) (blobstore.Journal, blobstore.Files, func())

// Run runs the suite.
func Run(t *testing.T, open Opener) {
	t.Run("journal", func(t *testing.T) { runJournal(t, open) })
	t.Run("files", func(t *testing.T) { runFiles(t, open) })
}

// journal opens a journal in a new directory until the test ends.
func (open Opener) journal(t *testing.T) blobstore.Journal {
	t.Helper()
	j, _, done := open(t, t.TempDir())
	t.Cleanup(done)
	return j
}

func (open Opener) files(t *testing.T) blobstore.Files {
	t.Helper()
	_, f, done := open(t, t.TempDir())
	t.Cleanup(done)
	return f
}

// update runs an update that has to succeed.
func update(t *testing.T, j blobstore.Journal, fn func(tx blobstore.Tx) error) {
	t.Helper()
	if err := j.Update(context.Background(), fn); err != nil {
		t.Fatalf("update: %v", err)
	}
}

// set stores key, value, key, value, …
func set(t *testing.T, j blobstore.Journal, pairs ...string) {
	t.Helper()
	update(t, j, func(tx blobstore.Tx) error { return setAll(tx, pairs...) })
}

func setAll(tx blobstore.Tx, pairs ...string) error {
	for i := 0; i < len(pairs); i += 2 {
		if err := tx.Set(blobstore.Key(pairs[i]), []byte(pairs[i+1])); err != nil {
			return err
		}
	}
	return nil
}

// wantValue checks what stands under a key; "" means nothing.
func wantValue(t *testing.T, j blobstore.Journal, key blobstore.Key, want string) {
	t.Helper()
	var got []byte
	err := j.View(context.Background(), func(tx blobstore.ReadTx) (err error) {
		got, err = tx.Get(key)
		return err
	})
	if want == "" {
		wantKind(t, err, record.NotFound)
		return
	}
	if err != nil || string(got) != want {
		t.Fatalf("%q holds %q (%v), want %q", key, got, err, want)
	}
}

func wantKind(t *testing.T, err error, want record.Kind) {
	t.Helper()
	if err == nil || record.KindOf(err) != want {
		t.Fatalf("got error %v, want one of kind %s", err, want)
	}
}
