package blobstoretest

import (
	"runtime"
	"strings"
	"testing"

	"dxd/blobstore"
)

// exit ends the goroutine as t.FailNow does.
func exit() { runtime.Goexit() }

// scanned is what a scan yields, as "key=value key=value".
func scanned(t *testing.T, tx blobstore.ReadTx, prefix, from blobstore.Key, reverse bool) string {
	t.Helper()
	var out []string
	for e, err := range tx.Scan(prefix, from, reverse) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(e.Key)+"="+string(e.Value))
	}
	return strings.Join(out, " ")
}

// scanCases hold over the keys a, b/1, b/2, b/3, c, b0 ('0' follows '/').
var scanCases = []struct {
	name         string
	prefix, from blobstore.Key
	reverse      bool
	want         string
}{
	{"everything", "", "", false, "a=1 b/1=1 b/2=1 b/3=1 b0=1 c=1"},
	{"everything in reverse", "", "", true, "c=1 b0=1 b/3=1 b/2=1 b/1=1 a=1"},
	{"a prefix", "b/", "", false, "b/1=1 b/2=1 b/3=1"},
	{"a prefix in reverse, whose end is a key", "b/", "", true, "b/3=1 b/2=1 b/1=1"},
	{"from a key", "b/", "b/2", false, "b/2=1 b/3=1"},
	{"from a key in reverse", "b/", "b/2", true, "b/2=1 b/1=1"},
	{"from between two keys", "b/", "b/15", false, "b/2=1 b/3=1"},
	{"from between two keys in reverse", "b/", "b/25", true, "b/2=1 b/1=1"},
	{"from before the prefix", "b/", "a", false, "b/1=1 b/2=1 b/3=1"},
	{"from before the prefix in reverse", "b/", "a", true, ""},
	{"from behind the prefix", "b/", "c", false, ""},
	{"from behind the prefix in reverse", "b/", "c", true, "b/3=1 b/2=1 b/1=1"},
	{"from the key behind the prefix in reverse", "b/", "b0", true, "b/3=1 b/2=1 b/1=1"},
	{"a prefix that is a key", "b/2", "", false, "b/2=1"},
	{"a prefix that is a key, in reverse", "b/2", "", true, "b/2=1"},
	{"a prefix without keys", "bb", "", false, ""},
	{"a prefix without keys in reverse", "bb", "", true, ""},
}

var scanKeys = []string{"a", "1", "b/1", "1", "b/2", "1", "b/3", "1", "c", "1", "b0", "1"}

// testScan scans what is stored, and then the same keys as an update's own.
func testScan(t *testing.T, open Opener) {
	stored, fresh := open.journal(t), open.journal(t)
	set(t, stored, scanKeys...)
	for _, c := range scanCases {
		t.Run(c.name, func(t *testing.T) {
			update(t, stored, func(tx blobstore.Tx) error {
				if got := scanned(t, tx, c.prefix, c.from, c.reverse); got != c.want {
					t.Errorf("stored: got %q, want %q", got, c.want)
				}
				return nil
			})
			update(t, fresh, func(tx blobstore.Tx) error {
				if err := setAll(tx, scanKeys...); err != nil {
					return err
				}
				if got := scanned(t, tx, c.prefix, c.from, c.reverse); got != c.want {
					t.Errorf("own: got %q, want %q", got, c.want)
				}
				return nil
			})
		})
	}
}

func testScanOwn(t *testing.T, open Opener) {
	j := open.journal(t)
	set(t, j, scanKeys...)
	update(t, j, func(tx blobstore.Tx) error {
		if err := setAll(tx, "b/15", "2", "b/3", "2", "b/", "2", "b/4", "2"); err != nil {
			return err
		}
		if err := tx.Delete("b/1"); err != nil {
			return err
		}
		if got, want := scanned(t, tx, "b/", "", false), "b/=2 b/15=2 b/2=1 b/3=2 b/4=2"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got, want := scanned(t, tx, "b/", "", true), "b/4=2 b/3=2 b/2=1 b/15=2 b/=2"; got != want {
			t.Errorf("in reverse: got %q, want %q", got, want)
		}
		return nil
	})
}

// testScanDelete deletes and overwrites each key that it is given.
func testScanDelete(t *testing.T, open Opener) {
	for _, reverse := range []bool{false, true} {
		j := open.journal(t)
		set(t, j, scanKeys...)
		update(t, j, func(tx blobstore.Tx) error {
			if err := setAll(tx, "b/21", "1", "b/22", "1"); err != nil {
				return err
			}
			n := 0
			for e, err := range tx.Scan("b/", "", reverse) {
				if err != nil {
					return err
				}
				n++
				if n%2 == 0 {
					err = tx.Set(e.Key, []byte("2"))
				} else {
					err = tx.Delete(e.Key)
				}
				if err != nil {
					return err
				}
			}
			if n != 5 {
				t.Errorf("met %d keys of 5", n)
			}
			if got, want := scanned(t, tx, "b/", "", false), "b/2=2 b/22=2"; got != want {
				t.Errorf("left: %q, want %q", got, want)
			}
			return nil
		})
	}
}

func testScanEdges(t *testing.T, open Opener) {
	j := open.journal(t)
	set(t, j, "\xff", "1", "\xff\xff", "1", "\xff\xffa", "1", "z", "1")
	update(t, j, func(tx blobstore.Tx) error {
		if got, want := scanned(t, tx, "\xff\xff", "", true), "\xff\xffa=1 \xff\xff=1"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got, want := scanned(t, tx, "\xff", "", false), "\xff=1 \xff\xff=1 \xff\xffa=1"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got, want := scanned(t, tx, "", "", true), "\xff\xffa=1 \xff\xff=1 \xff=1 z=1"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		return nil
	})
}
