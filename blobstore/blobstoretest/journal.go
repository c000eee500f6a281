package blobstoretest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"dxd/blobstore"
	"dxd/record"
)

func runJournal(t *testing.T, open Opener) {
	for name, test := range map[string]func(*testing.T, Opener){
		"what an update set is there":                  testSet,
		"an update is there after a restart":           testRestart,
		"an update that fails drops its own writes":    testDropped,
		"others in its group keep theirs":              testDroppedInGroup,
		"an update sees its own writes":                testOwnWrites,
		"each update sees all before it":               testOrder,
		"an update that panics harms no other":         testPanic,
		"an update that exits harms no other":          testExit,
		"an update is not run once its context ended":  testCancelled,
		"a view does not change while it is open":      testSnapshot,
		"a view that is over gives nothing":            testOver,
		"a scan keeps to its bounds":                   testScan,
		"a scan sees an update's own writes":           testScanOwn,
		"a scan may be written under":                  testScanDelete,
		"a scan reaches the end of the key space":      testScanEdges,
		"values of every size come back":               testSizes,
		"what is too large is refused":                 testTooLarge,
		"what is promised to fit fits":                 testFits,
		"keys that are none are refused":               testBadKeys,
		"a value belongs to who reads it":              testAliasing,
		"a watcher hears of its prefix alone":          testWatch,
		"tokens that nobody takes merge":               testWatchMerge,
		"a watcher whose context ended hears no more":  testWatchEnd,
		"an index depends on label and value and key":  testIndex,
		"many callers lose no update":                  testMany,
		"updates larger than a group go through alone": testLarge,
	} {
		t.Run(name, func(t *testing.T) { test(t, open) })
	}
}

func testSet(t *testing.T, open Opener) {
	j := open.journal(t)
	set(t, j, "a", "1", "b", "2")
	wantValue(t, j, "a", "1")
	set(t, j, "a", "3")
	wantValue(t, j, "a", "3")
	wantValue(t, j, "c", "")
	update(t, j, func(tx blobstore.Tx) error { return errors.Join(tx.Delete("b"), tx.Delete("none")) })
	wantValue(t, j, "b", "")
}

func testRestart(t *testing.T, open Opener) {
	dir := t.TempDir()
	j, _, done := open(t, dir)
	set(t, j, "a", "1", "b", "2")
	update(t, j, func(tx blobstore.Tx) error { return tx.Delete("b") })
	done()
	j, _, done = open(t, dir)
	defer done()
	wantValue(t, j, "a", "1")
	wantValue(t, j, "b", "")
}

func testDropped(t *testing.T, open Opener) {
	j := open.journal(t)
	set(t, j, "a", "1")
	cause := errors.New("no")
	err := j.Update(context.Background(), func(tx blobstore.Tx) error {
		return errors.Join(setAll(tx, "a", "2", "b", "2"), tx.Delete("a"), cause)
	})
	if !errors.Is(err, cause) {
		t.Fatalf("got %v, want the function's own error", err)
	}
	wantValue(t, j, "a", "1")
	wantValue(t, j, "b", "")
}

// testDroppedInGroup has callers that fail among callers that don't.
func testDroppedInGroup(t *testing.T, open Opener) {
	j := open.journal(t)
	cause := errors.New("no")
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			err := j.Update(context.Background(), func(tx blobstore.Tx) error {
				if err := setAll(tx, "shared", strconv.Itoa(i), fmt.Sprintf("own/%02d", i), "1"); err != nil {
					return err
				}
				if i%3 == 0 {
					return cause
				}
				return nil
			})
			if (i%3 == 0) != errors.Is(err, cause) {
				t.Errorf("update %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	for i := range 60 {
		want := "1"
		if i%3 == 0 {
			want = ""
		}
		wantValue(t, j, blobstore.Key(fmt.Sprintf("own/%02d", i)), want)
	}
}

func testOwnWrites(t *testing.T, open Opener) {
	j := open.journal(t)
	set(t, j, "a", "1")
	update(t, j, func(tx blobstore.Tx) error {
		if err := errors.Join(setAll(tx, "b", "2"), tx.Delete("a")); err != nil {
			return err
		}
		if _, err := tx.Get("a"); record.KindOf(err) != record.NotFound {
			t.Errorf("a deleted key: %v", err)
		}
		if v, err := tx.Get("b"); string(v) != "2" {
			t.Errorf("a key just set: %q, %v", v, err)
		}
		return nil
	})
}

// testOrder counts in one key from many goroutines: with a lost update the
// count would fall short.
func testOrder(t *testing.T, open Opener) {
	j := open.journal(t)
	seen := make([]int, 200)
	var wg sync.WaitGroup
	for i := range seen {
		wg.Go(func() {
			err := j.Update(context.Background(), func(tx blobstore.Tx) (err error) {
				seen[i], err = increment(tx, "count")
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	slices.Sort(seen)
	for i, n := range seen {
		if n != i+1 {
			t.Fatalf("update %d saw count %d", i+1, n)
		}
	}
	wantValue(t, j, "count", "200")
}

// increment counts one on.
func increment(tx blobstore.Tx, key blobstore.Key) (int, error) {
	n := 0
	v, err := tx.Get(key)
	if err == nil {
		n, err = strconv.Atoi(string(v))
	} else if record.KindOf(err) == record.NotFound {
		err = nil
	}
	if err != nil {
		return 0, err
	}
	return n + 1, tx.Set(key, []byte(strconv.Itoa(n+1)))
}

func testPanic(t *testing.T, open Opener) {
	j := open.journal(t)
	func() {
		defer func() {
			if got := recover(); got != "on purpose" {
				t.Errorf("recovered %v", got)
			}
		}()
		j.Update(context.Background(), func(tx blobstore.Tx) error {
			if err := tx.Set("a", []byte("1")); err != nil {
				return err
			}
			panic("on purpose")
		})
	}()
	wantValue(t, j, "a", "")
	set(t, j, "b", "1")
}

func testExit(t *testing.T, open Opener) {
	j := open.journal(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		j.Update(context.Background(), func(tx blobstore.Tx) error {
			if err := tx.Set("a", []byte("1")); err != nil {
				return err
			}
			exit()
			return nil
		})
	})
	wg.Wait()
	wantValue(t, j, "a", "")
	set(t, j, "b", "1")
}

// testCancelled holds the journal with one update while another, which waits,
// loses its context.
func testCancelled(t *testing.T, open Opener) {
	j := open.journal(t)
	ctx, cancel := context.WithCancel(context.Background())
	held, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		err := j.Update(context.Background(), func(blobstore.Tx) error {
			close(held)
			<-release
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-held
	ended := make(chan error)
	go func() {
		ended <- j.Update(ctx, func(blobstore.Tx) error {
			t.Error("ran all the same")
			return nil
		})
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(release)
	wg.Wait()
	if err := j.View(ctx, func(blobstore.ReadTx) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("a view with an ended context: %v", err)
	}
}

func testSnapshot(t *testing.T, open Opener) {
	j := open.journal(t)
	set(t, j, "a", "1", "b", "1")
	err := j.View(context.Background(), func(tx blobstore.ReadTx) error {
		set(t, j, "a", "2", "c", "2")
		update(t, j, func(tx blobstore.Tx) error { return tx.Delete("b") })
		if got := scanned(t, tx, "", "", false); got != "a=1 b=1" {
			t.Errorf("the view changed: %s", got)
		}
		if v, err := tx.Get("b"); string(v) != "1" {
			t.Errorf("the view lost a key: %q, %v", v, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantValue(t, j, "b", "")
}

func testOver(t *testing.T, open Opener) {
	j := open.journal(t)
	set(t, j, "a", "1")
	var left blobstore.Tx
	update(t, j, func(tx blobstore.Tx) error {
		left = tx
		return nil
	})
	if _, err := left.Get("a"); err == nil {
		t.Error("Get worked")
	}
	if left.Set("a", nil) == nil || left.Delete("a") == nil {
		t.Error("a write worked")
	}
	for _, err := range left.Scan("", "", false) {
		if err == nil {
			t.Error("Scan worked")
		}
	}
}

func testSizes(t *testing.T, open Opener) {
	j := open.journal(t)
	for _, n := range []int{0, 1, 100, 4096, 64 << 10, 512 << 10, 1000 << 10} {
		want := strings.Repeat("x", n)
		set(t, j, "v", want)
		err := j.View(context.Background(), func(tx blobstore.ReadTx) error {
			got, err := tx.Get("v")
			if string(got) != want {
				t.Errorf("a value of %d bytes came back with %d", n, len(got))
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// testTooLarge finds the limits by going beyond them; the journal lives on.
func testTooLarge(t *testing.T, open Opener) {
	j := open.journal(t)
	ctx := context.Background()
	wantKind(t, j.Update(ctx, func(tx blobstore.Tx) error {
		return tx.Set("v", make([]byte, 2<<20))
	}), record.Invalid)
	wantKind(t, j.Update(ctx, func(tx blobstore.Tx) error {
		for i := range 64 {
			if err := tx.Set(blobstore.Key(strconv.Itoa(i)), make([]byte, 64<<10)); err != nil {
				return err
			}
		}
		return nil
	}), record.Invalid)
	wantKind(t, j.Update(ctx, func(tx blobstore.Tx) error {
		for i := range 100_000 {
			if err := tx.Delete(blobstore.Key(strconv.Itoa(i))); err != nil {
				return err
			}
		}
		return nil
	}), record.Invalid)
	set(t, j, "a", "1")
	wantValue(t, j, "v", "")
}

func testFits(t *testing.T, open Opener) {
	j := open.journal(t)
	update(t, j, func(tx blobstore.Tx) error {
		for i := range 10_000 {
			if err := tx.Set(blobstore.Key(fmt.Sprintf("%04d", i)), nil); err != nil {
				return err
			}
		}
		return nil
	})
	update(t, j, func(tx blobstore.Tx) error {
		return errors.Join(tx.Set("large", make([]byte, 1023<<10)), tx.Set(blobstore.Key(strings.Repeat("k", 1024)), nil))
	})
	wantValue(t, j, "large", string(make([]byte, 1023<<10)))
	update(t, j, func(tx blobstore.Tx) error { // as large as the largest bundle of messages makes it
		for i := range 4000 {
			if err := tx.Set(blobstore.Key(fmt.Sprintf("%04d", i)), make([]byte, 384)); err != nil {
				return err
			}
		}
		return nil
	})
}

func testBadKeys(t *testing.T, open Opener) {
	j := open.journal(t)
	for _, key := range []blobstore.Key{"", "!format", blobstore.Key(strings.Repeat("k", 70_000))} {
		wantKind(t, j.Update(context.Background(), func(tx blobstore.Tx) error { return tx.Set(key, nil) }), record.Invalid)
		wantKind(t, j.Update(context.Background(), func(tx blobstore.Tx) error { return tx.Delete(key) }), record.Invalid)
		wantKind(t, j.View(context.Background(), func(tx blobstore.ReadTx) error {
			_, err := tx.Get(key)
			return err
		}), record.Invalid)
	}
}

// testAliasing writes into what it gave and what it got.
func testAliasing(t *testing.T, open Opener) {
	j := open.journal(t)
	update(t, j, func(tx blobstore.Tx) error {
		given := []byte("1")
		if err := tx.Set("a", given); err != nil {
			return err
		}
		given[0] = 'x'
		got, err := tx.Get("a")
		if err == nil {
			got[0] = 'y'
		}
		return err
	})
	wantValue(t, j, "a", "1")
}

func testIndex(t *testing.T, open Opener) {
	j := open.journal(t)
	err := j.View(context.Background(), func(tx blobstore.ReadTx) error {
		a := tx.Index("alias", []byte("v"))
		if a != tx.Index("alias", []byte("v")) {
			t.Error("two indexes of one value differ")
		}
		if a == tx.Index("peer", []byte("v")) || a == tx.Index("alias", []byte("w")) {
			t.Error("indexes of two values are equal")
		}
		if strings.Contains(string(a), "v") && len(a) < 16 {
			t.Errorf("an index that hides nothing: %q", a)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func testMany(t *testing.T, open Opener) {
	dir := t.TempDir()
	j, _, done := open(t, dir)
	var wg sync.WaitGroup
	for caller := range 16 {
		wg.Go(func() {
			for i := range 20 {
				key := fmt.Sprintf("k/%02d/%02d", caller, i)
				if err := j.Update(context.Background(), func(tx blobstore.Tx) error {
					return setAll(tx, key, key)
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	done()
	j, _, done = open(t, dir)
	defer done()
	n := 0
	err := j.View(context.Background(), func(tx blobstore.ReadTx) error {
		for e, err := range tx.Scan("k/", "", false) {
			if err != nil {
				return err
			}
			if string(e.Value) != string(e.Key) {
				t.Errorf("%q holds %q", e.Key, e.Value)
			}
			n++
		}
		return nil
	})
	if err != nil || n != 16*20 {
		t.Fatalf("%d of %d updates are there (%v)", n, 16*20, err)
	}
}

func testLarge(t *testing.T, open Opener) {
	j := open.journal(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			err := j.Update(context.Background(), func(tx blobstore.Tx) error {
				if _, err := increment(tx, "count"); err != nil {
					return err
				}
				return tx.Set(blobstore.Key(fmt.Sprintf("large/%d", i)), make([]byte, 900<<10))
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	wantValue(t, j, "count", "8")
}
