package blobstoretest

import (
	"context"
	"errors"
	"testing"

	"dxd/blobstore"
)

// taken tells whether a token lies there. Update returns after the tokens have
// been left, so there is nothing to wait for.
func taken(tokens <-chan struct{}) bool {
	select {
	case <-tokens:
		return true
	default:
		return false
	}
}

func testWatch(t *testing.T, open Opener) {
	j := open.journal(t)
	a, b, all := j.Watch(t.Context(), "a/"), j.Watch(t.Context(), "b/"), j.Watch(t.Context(), "")
	if taken(a) || taken(b) || taken(all) {
		t.Fatal("a token before any update")
	}
	set(t, j, "a/1", "1")
	if !taken(a) || taken(b) || !taken(all) {
		t.Fatal("a set reached the wrong watchers")
	}
	update(t, j, func(tx blobstore.Tx) error { return tx.Delete("b/none") })
	if taken(a) || !taken(b) {
		t.Fatal("a deletion reached the wrong watchers")
	}
	err := j.Update(context.Background(), func(tx blobstore.Tx) error {
		return errors.Join(tx.Set("a/1", nil), errors.New("no"))
	})
	if err == nil || taken(a) {
		t.Fatalf("an update that failed left a token (%v)", err)
	}
	update(t, j, func(tx blobstore.Tx) error {
		_, err := tx.Get("a/1")
		return err
	})
	if taken(a) {
		t.Fatal("an update that wrote nothing left a token")
	}
}

func testWatchMerge(t *testing.T, open Opener) {
	j := open.journal(t)
	tokens := j.Watch(t.Context(), "a/")
	for range 5 {
		set(t, j, "a/1", "1")
	}
	if !taken(tokens) || taken(tokens) {
		t.Fatal("five updates that nobody heard of did not leave one token")
	}
}

// testWatchEnd relies on nothing but that the service ends some time after its
// context: from then on no update leaves a token.
func testWatchEnd(t *testing.T, open Opener) {
	j := open.journal(t)
	ctx, cancel := context.WithCancel(context.Background())
	tokens := j.Watch(ctx, "a/")
	cancel()
	for range 1000 {
		set(t, j, "a/1", "1")
		if !taken(tokens) {
			return
		}
	}
	t.Fatal("tokens still come")
}
