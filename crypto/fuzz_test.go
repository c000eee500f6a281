package crypto_test

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"

	"dxd/crypto"
)

// FuzzUnlock tries keyring files that need no passphrase, with their checksum
// mended, so that what is behind it is reached.
func FuzzUnlock(f *testing.F) {
	f.Add(read(f, "keyring-unprotected.json"))
	f.Add(bytes.TrimSuffix(read(f, "keyring.json"), []byte("\n")))
	f.Add([]byte(`{"format":"dxd keyring","version":3}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if needs, err := crypto.NeedsPassphrase(data); needs && err == nil {
			return // Argon2id is too slow to be tried
		}
		for _, file := range [][]byte{data, reseal(data)} {
			k, err := crypto.Unlock(file, nil)
			if err != nil {
				if k != nil {
					t.Error("a keyring is returned beside the error")
				}
				continue
			}
			if again, err := k.Lock(nil); err != nil || !bytes.Equal(again, file) {
				t.Errorf("locked again it is %q, %v", again, err)
			}
		}
	})
}

func FuzzOpenBody(f *testing.F) {
	var x sealingExample
	if err := json.Unmarshal(read(f, "sealing.json"), &x); err != nil {
		f.Fatal(err)
	}
	k, err := crypto.Unlock(read(f, "keyring-unprotected.json"), nil)
	if err != nil {
		f.Fatal(err)
	}
	key, err := k.OpenHeader(x.Header)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(x.Body)
	f.Add(x.Body[:16])
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := crypto.OpenBody(key, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if (err == nil) != bytes.Equal(body, x.Body) {
			t.Errorf("of a body that was made up, %q comes out: %v", got, err)
		}
		if _, err := crypto.PlainLength(int64(len(body))); err != nil && len(got) > 0 && bytes.Equal(body, x.Body) {
			t.Error(err)
		}
	})
}

func FuzzSignTransaction(f *testing.F) {
	k, err := crypto.Unlock(read(f, "keyring-unprotected.json"), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(transaction())
	f.Add([]byte{2, 0xc0})
	f.Add([]byte{2, 0xf8, 0x38, 0xb8, 0x36})
	f.Fuzz(func(t *testing.T, data []byte) {
		sig, err := k.SignTransaction(data)
		if err != nil && sig != [65]byte{} {
			t.Error("a signature is returned beside the error")
		}
		if err == nil && data[0] != 2 {
			t.Errorf("%x is signed", data)
		}
	})
}
