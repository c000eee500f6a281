package crypto_test

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

// shows tells whether the specification quotes each of the texts as they are.
func shows(t *testing.T, spec string, texts ...string) {
	t.Helper()
	b, err := os.ReadFile("../docs/spec/" + spec)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range texts {
		if !bytes.Contains(b, []byte("`"+s+"`")) {
			t.Errorf("%s does not show %s", spec, s)
		}
	}
}

func TestExampleOfTheSealingSpecificationIsTheGoldenOne(t *testing.T) {
	var x sealingExample
	if err := json.Unmarshal(read(t, "sealing.json"), &x); err != nil {
		t.Fatal(err)
	}
	shows(t, "sealing.md", x.FileKey, hex.EncodeToString(x.Body), x.BodyNonce.String(), hex.EncodeToString(x.SealedOpenings))
	raw, err := hex.DecodeString(x.FileKey)
	if err != nil {
		t.Fatal(err)
	}
	for info, salt := range map[string][]byte{"payload": x.BodyNonce[:], "header": nil, "dxd/openings/v1": nil} {
		key, err := hkdf.Key(sha256.New, raw, salt, info, 32)
		if err != nil {
			t.Fatal(err)
		}
		shows(t, "sealing.md", hex.EncodeToString(key))
	}
}

func TestExampleOfTheKeyringSpecificationIsTheGoldenOne(t *testing.T) {
	var f struct {
		Argon2id struct{ Salt string }
		Checksum string
	}
	if err := json.Unmarshal(read(t, "keyring.json"), &f); err != nil {
		t.Fatal(err)
	}
	shows(t, "keyring.md", f.Argon2id.Salt, f.Checksum, goldenPassphrase)
}
