package crypto_test

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"io"
	"os"
	"testing"

	"filippo.io/age"
	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"

	"dxd/crypto"
	"dxd/record"
)

// The golden files of this package can't be made twice the same, since keys
// and nonces are drawn at random. -update makes new ones; without it they are
// what an earlier version wrote, and must open for ever.
var update = flag.Bool("update", false, "write the golden files anew")

const (
	testdata         = "../docs/spec/testdata/"
	goldenPassphrase = "correct horse battery staple"
)

// sealingExample is the worked example of docs/spec/sealing.md. []byte is
// base64.
type sealingExample struct {
	Recipient      string           `json:"recipient"` // of keyring.json
	FileKey        string           `json:"file_key"`  // hex
	BodyNonce      record.BodyNonce `json:"body_nonce"`
	Plain          []byte           `json:"plain"`
	Header         []byte           `json:"header"`
	Body           []byte           `json:"body"`
	Openings       []byte           `json:"openings"`
	SealedOpenings []byte           `json:"sealed_openings"`
}

func read(t testing.TB, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(testdata + file)
	if err != nil {
		t.Fatalf("%v; `go test ./crypto -update` writes the golden files", err)
	}
	return b
}

func write(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(testdata+file, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// writeGolden makes a keyring and a sealed payload for it.
func writeGolden(t *testing.T) {
	k := generate(t)
	write(t, "keyring.json", lock(t, k, goldenPassphrase))
	write(t, "keyring-unprotected.json", lock(t, k, ""))
	x := sealingExample{Recipient: k.Recipient(), Plain: []byte("Angebot Nr. 7\n"), Openings: []byte(`["opening"]`)}
	key, body := sealed(t, x.Plain)
	header, err := crypto.SealHeader(key, x.Recipient)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := age.DecryptHeader(header, identityOf(t, k))
	if err != nil {
		t.Fatal(err)
	}
	x.FileKey, x.BodyNonce = hex.EncodeToString(raw), record.BodyNonce(body[:16])
	x.Header, x.Body, x.SealedOpenings = header, body, crypto.SealOpenings(key, x.Openings)
	b, err := json.MarshalIndent(x, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	write(t, "sealing.json", append(b, '\n'))
}

// keysOf reads the keys of an unprotected keyring file, as its specification
// says.
func keysOf(t *testing.T, file []byte) (keys struct {
	Root, Journal, Index, Storage        string
	Signing, Nodes, Recipients, Accounts []string
}) {
	t.Helper()
	var f struct{ Keys []byte }
	if err := json.Unmarshal(file, &f); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(f.Keys, &keys); err != nil {
		t.Fatal(err)
	}
	return keys
}

func identityOf(t *testing.T, k *crypto.Keyring) age.Identity {
	t.Helper()
	id, err := age.ParseHybridIdentity(keysOf(t, lock(t, k, "")).Recipients[0])
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestGoldenKeyringOpens(t *testing.T) {
	if *update {
		writeGolden(t)
	}
	k, err := crypto.Unlock(read(t, "keyring.json"), []byte(goldenPassphrase))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(lock(t, k, ""), read(t, "keyring-unprotected.json")) {
		t.Error("the two golden keyrings do not hold the same keys in the same form")
	}
	card := signCard(t, k)
	if _, err := record.OpenCard(card.Envelope); err != nil {
		t.Error(err)
	}
}

// TestKeyringFileIsWhatItsSpecificationSays opens the golden keyring step by
// step, without package crypto.
func TestKeyringFileIsWhatItsSpecificationSays(t *testing.T) {
	file := bytes.TrimSuffix(read(t, "keyring.json"), []byte("\n"))
	var f struct {
		Argon2id struct {
			Memory uint32 `json:"memory_kib"`
			Passes uint32
			Lanes  uint8
			Salt   string
		}
		Keys     []byte
		Checksum string
	}
	if err := json.Unmarshal(file, &f); err != nil {
		t.Fatal(err)
	}
	withoutSum := append(file[:bytes.Index(file, []byte(`,"checksum"`))], '}')
	if sum := sha256.Sum256(withoutSum); hex.EncodeToString(sum[:]) != f.Checksum {
		t.Error("the checksum is another")
	}
	ad := append(withoutSum[:bytes.Index(withoutSum, []byte(`,"keys"`))], '}')
	salt, err := hex.DecodeString(f.Argon2id.Salt)
	if err != nil {
		t.Fatal(err)
	}
	key := argon2.IDKey([]byte(goldenPassphrase), salt, f.Argon2id.Passes, f.Argon2id.Memory, f.Argon2id.Lanes, 32)
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := aead.Open(nil, f.Keys[:24], f.Keys[24:], ad)
	if err != nil {
		t.Fatal(err)
	}
	var plain struct{ Keys []byte }
	if err := json.Unmarshal(read(t, "keyring-unprotected.json"), &plain); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(keys, plain.Keys) {
		t.Error("the keys are others than those of the unprotected file")
	}
	if f.Argon2id.Memory < 64<<10 || f.Argon2id.Passes < 3 {
		t.Errorf("a passphrase is guessed too cheaply: %+v", f.Argon2id)
	}
}

// TestSealingIsWhatItsSpecificationSays follows the worked example of
// docs/spec/sealing.md.
func TestSealingIsWhatItsSpecificationSays(t *testing.T) {
	var x sealingExample
	if err := json.Unmarshal(read(t, "sealing.json"), &x); err != nil {
		t.Fatal(err)
	}
	k, err := crypto.Unlock(read(t, "keyring-unprotected.json"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if k.Recipient() != x.Recipient || !bytes.HasPrefix(x.Body, x.BodyNonce[:]) {
		t.Error("the example is not for the golden keyring, or its nonce is another")
	}
	key, err := k.OpenHeader(x.Header)
	if err != nil {
		t.Fatal(err)
	}
	r, err := crypto.OpenBody(key, bytes.NewReader(x.Body))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, x.Plain) {
		t.Errorf("the body reads %q, %v", got, err)
	}
	if got, err := crypto.OpenOpenings(key, x.SealedOpenings); err != nil || !bytes.Equal(got, x.Openings) {
		t.Errorf("the openings read %q, %v", got, err)
	}

	raw, err := hex.DecodeString(x.FileKey)
	if err != nil {
		t.Fatal(err)
	}
	// The one chunk of the body, by hand: counter 0, last chunk.
	if got := openByHand(t, raw, x.BodyNonce[:], "payload", append(make([]byte, 11), 1), x.Body[16:]); !bytes.Equal(got, x.Plain) {
		t.Errorf("by hand the body reads %q", got)
	}
	if got := openByHand(t, raw, nil, "dxd/openings/v1", x.SealedOpenings[:24], x.SealedOpenings[24:]); !bytes.Equal(got, x.Openings) {
		t.Errorf("by hand the openings read %q", got)
	}
}

// openByHand derives a key from a file key and opens what is sealed under it,
// with ChaCha20-Poly1305 or, for a nonce of 24 bytes, XChaCha20-Poly1305.
func openByHand(t *testing.T, fileKey, salt []byte, info string, nonce, sealed []byte) []byte {
	t.Helper()
	key, err := hkdf.Key(sha256.New, fileKey, salt, info, 32)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := chacha20poly1305.New(key)
	if len(nonce) == chacha20poly1305.NonceSizeX {
		aead, err = chacha20poly1305.NewX(key)
	}
	if err != nil {
		t.Fatal(err)
	}
	plain, err := aead.Open(nil, nonce, sealed, nil)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}
