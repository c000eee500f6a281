package crypto_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"regexp"
	"testing"

	"dxd/crypto"
	"dxd/record"
)

// rotating is the keyring with a new storage key beside the one of before.
func rotating(t *testing.T, k *crypto.Keyring) *crypto.Keyring {
	t.Helper()
	next, err := k.WithStorage()
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func rotated(t *testing.T, k *crypto.Keyring) *crypto.Keyring {
	t.Helper()
	next, err := k.WithoutOldStorage()
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func wrappedKey(t *testing.T, k *crypto.Keyring) []byte {
	t.Helper()
	w, err := crypto.SealBody(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return k.WrapFileKey(w.Key(), []byte("ad"))
}

func TestWhatIsUnderTheOlderStorageKeyOpensUntilThatIsGone(t *testing.T) {
	k := generate(t)
	before := k.Sealer()
	ad := []byte("ad")
	old, wrapped := before.Seal([]byte("value"), ad), wrappedKey(t, k)
	index := before.Index("org", []byte("x"))
	k.Become(rotating(t, k))
	if !k.StorageRotates() || !before.Stale(old, ad) {
		t.Error("nothing is to be sealed anew")
	}
	fresh := before.Seal([]byte("value"), ad)
	if before.Stale(fresh, ad) || before.Index("org", []byte("x")) != index {
		t.Error("a sealer does not go along")
	}
	if _, err := k.WithStorage(); record.KindOf(err) != record.Conflict {
		t.Errorf("a second rotation: %v", err)
	}
	inFile := func() *crypto.Keyring {
		t.Helper()
		again, err := crypto.Unlock(lock(t, k, "correct"), []byte("correct"))
		if err != nil {
			t.Fatal(err)
		}
		return again
	}
	during := inFile()
	k.Become(rotated(t, k))
	after := inFile()
	for _, c := range []struct {
		what     string
		keys     *crypto.Keyring
		opensOld bool
	}{{"during", during, true}, {"by whoever read it before", k, true}, {"after", after, false}} {
		_, err := c.keys.Sealer().Open(old, ad)
		_, wrapErr := c.keys.UnwrapFileKey(wrapped, ad)
		if (err == nil) != c.opensOld || (wrapErr == nil) != c.opensOld {
			t.Errorf("%s: %v, %v", c.what, err, wrapErr)
		}
		if v, err := c.keys.Sealer().Open(fresh, ad); string(v) != "value" || err != nil {
			t.Errorf("%s: what is under the new key: %v", c.what, err)
		}
		if c.keys.StorageRotates() != (c.keys == during) {
			t.Errorf("%s: rotates: %t", c.what, c.keys.StorageRotates())
		}
	}
}

func TestOtherKeysRotateWhileTheStorageKeyDoes(t *testing.T) {
	k := generate(t)
	k.Become(rotating(t, k))
	k.Become(with(t, k, crypto.RoleSigning))
	if !k.StorageRotates() {
		t.Error("the older storage key is lost")
	}
}

func TestAFileWithTwoStorageKeysIsOfVersion2(t *testing.T) {
	k := generate(t)
	one, two := lock(t, k, ""), lock(t, rotating(t, k), "")
	version := func(file []byte, v string) bool { return bytes.Contains(file, []byte(`"version":`+v+`,`)) }
	if !version(one, "1") || !version(two, "2") || !version(lock(t, rotated(t, rotating(t, k)), ""), "1") {
		t.Error("an older program may read what it can't keep, or can't read what it could")
	}
	content := regexp.MustCompile(`"keys":"([^"]*)"`)
	change := func(file []byte, from, to string) []byte {
		plain, err := base64.StdEncoding.DecodeString(string(content.FindSubmatch(file)[1]))
		if err != nil {
			t.Fatal(err)
		}
		changed := regexp.MustCompile(from).ReplaceAll(plain, []byte(to))
		if bytes.Equal(changed, plain) {
			t.Fatalf("nothing matches %q", from)
		}
		return reseal(content.ReplaceAll(file, []byte(`"keys":"`+base64.StdEncoding.EncodeToString(changed)+`"`)))
	}
	for name, file := range map[string][]byte{
		"version 1 with two":          reseal(bytes.Replace(two, []byte(`"version":2`), []byte(`"version":1`), 1)),
		"version 2 with one":          reseal(bytes.Replace(one, []byte(`"version":1`), []byte(`"version":2`), 1)),
		"half of the older one":       change(two, `,"former_storage":"[^"]*"`, ``),
		"the other half":              change(two, `"former_journal":"[^"]*",`, ``),
		"an older one that is short":  change(two, `"former_storage":"..`, `"former_storage":"`),
		"an older one that is empty":  change(two, `"former_storage":"[^"]*"`, `"former_storage":""`),
		"an older one in upper cases": change(two, `"former_storage":"..`, `"former_storage":"FF`),
	} {
		if k, err := crypto.Unlock(file, nil); record.KindOf(err) != record.Damaged || k != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
