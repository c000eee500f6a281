package badger

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"dxd/blobstore"
	"dxd/record"
)

var errDropped = errors.New("dropped on purpose")

// TestTheJournalIsAMap compares the journal with a plain map over random
// updates, some of which fail, some scans, and reopenings.
func TestTheJournalIsAMap(t *testing.T) {
	keys := rapid.SampledFrom([]blobstore.Key{"a", "a/1", "a/2", "a/3", "a0", "b/1", "b/2", "\xff", "\xff\xff"})
	prefixes := rapid.SampledFrom([]blobstore.Key{"", "a", "a/", "b/", "c", "\xff"})
	dir := t.TempDir()
	s := open(t, dir, Options{})
	defer func() { closeStore(t, s) }()
	rapid.Check(t, func(rt *rapid.T) {
		model := map[blobstore.Key]string{}
		empty(t, s)
		rt.Repeat(map[string]func(*rapid.T){
			"update": func(rt *rapid.T) {
				next := maps.Clone(model)
				err := s.Update(context.Background(), func(tx blobstore.Tx) error {
					clear(next)
					maps.Copy(next, model)
					return randomUpdate(rt, tx, next, keys, prefixes)
				})
				if err == nil {
					model = next
				} else if !errors.Is(err, errDropped) {
					rt.Fatal(err)
				}
			},
			"view": func(rt *rapid.T) {
				err := s.View(context.Background(), func(tx blobstore.ReadTx) error {
					return compareScan(rt, tx, model, prefixes, keys)
				})
				if err != nil {
					rt.Fatal(err)
				}
			},
			"reopen": func(rt *rapid.T) {
				if rapid.IntRange(0, 30).Draw(rt, "seldom") == 0 {
					closeStore(t, s)
					s = open(t, dir, Options{})
				}
			},
		})
	})
}

func empty(t *testing.T, s *Store) {
	t.Helper()
	err := s.Update(context.Background(), func(tx blobstore.Tx) error {
		for e, err := range tx.Scan("", "", false) {
			if err != nil {
				return err
			}
			if err := tx.Delete(e.Key); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func randomUpdate(rt *rapid.T, tx blobstore.Tx, model map[blobstore.Key]string, keys, prefixes *rapid.Generator[blobstore.Key]) error {
	for range rapid.IntRange(1, 6).Draw(rt, "steps") {
		key := keys.Draw(rt, "key")
		var err error
		switch rapid.IntRange(0, 3).Draw(rt, "step") {
		case 0:
			model[key] = rapid.StringN(0, 8, 8).Draw(rt, "value")
			err = tx.Set(key, []byte(model[key]))
		case 1:
			delete(model, key)
			err = tx.Delete(key)
		case 2:
			err = compareGet(rt, tx, model, key)
		case 3:
			err = compareScan(rt, tx, model, prefixes, keys)
		}
		if err != nil {
			return err
		}
	}
	if rapid.IntRange(0, 4).Draw(rt, "drop") == 0 {
		return errDropped
	}
	return nil
}

func compareGet(rt *rapid.T, tx blobstore.ReadTx, model map[blobstore.Key]string, key blobstore.Key) error {
	want, ok := model[key]
	got, err := tx.Get(key)
	if !ok && record.KindOf(err) == record.NotFound && err != nil {
		return nil
	}
	if err == nil && (!ok || string(got) != want) {
		rt.Fatalf("%q holds %q, want %q (%v)", key, got, want, ok)
	}
	return err
}

func compareScan(rt *rapid.T, tx blobstore.ReadTx, model map[blobstore.Key]string, prefixes, keys *rapid.Generator[blobstore.Key]) error {
	prefix, reverse := prefixes.Draw(rt, "prefix"), rapid.Bool().Draw(rt, "reverse")
	from := blobstore.Key("")
	if rapid.Bool().Draw(rt, "from") {
		from = keys.Draw(rt, "from key")
	}
	var got []blobstore.Key
	for e, err := range tx.Scan(prefix, from, reverse) {
		if err != nil {
			return err
		}
		if model[e.Key] != string(e.Value) {
			rt.Fatalf("%q holds %q, want %q", e.Key, e.Value, model[e.Key])
		}
		got = append(got, e.Key)
	}
	if want := expected(model, prefix, from, reverse); !slices.Equal(got, want) {
		rt.Fatalf("scan %q from %q, reverse %v: got %q, want %q", prefix, from, reverse, got, want)
	}
	return nil
}

// expected is what a scan of the map gives.
func expected(model map[blobstore.Key]string, prefix, from blobstore.Key, reverse bool) (keys []blobstore.Key) {
	for key := range model {
		outside := from != "" && (key < from && !reverse || key > from && reverse)
		if strings.HasPrefix(string(key), string(prefix)) && !outside {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	if reverse {
		slices.Reverse(keys)
	}
	return keys
}
