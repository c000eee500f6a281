// Package crypto holds an organisation's private keys, signs records with
// them, and seals and opens payloads. It is the only door to age, HPKE and
// x/crypto's ciphers.
//
// It never opens a file, takes a context or logs, and it never hands out a
// private key: what is signed is a typed record or a transaction that it has
// looked at, so that nobody can use it to sign anything else. It does not wipe
// keys from memory, since Go copies values where it likes; a promise to do so
// would not hold.
package crypto

import (
	"crypto/cipher"
	"crypto/rand"
	"fmt"
	"log/slog"

	"golang.org/x/crypto/chacha20poly1305"

	"dxd/record"
)

// newAEAD is XChaCha20-Poly1305. Its nonces are 24 bytes, enough to draw them
// at random for as many values as a key will ever seal.
func newAEAD(key []byte) cipher.AEAD {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		panic(err) // only a key that is not 32 bytes long fails
	}
	return aead
}

// seal encrypts under a fresh random nonce, which stands in front.
func seal(aead cipher.AEAD, plaintext, ad []byte) []byte {
	out := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plaintext)+aead.Overhead())
	rand.Read(out)
	return aead.Seal(out, out, plaintext, ad)
}

// open undoes seal.
func open(aead cipher.AEAD, sealed, ad []byte) ([]byte, error) {
	n := aead.NonceSize()
	if len(sealed) < n+aead.Overhead() {
		return nil, record.Errorf(record.Damaged, "a sealed value of %d bytes is too short to be one", len(sealed))
	}
	plain, err := aead.Open(nil, sealed[:n], sealed[n:], ad)
	if err != nil {
		return nil, record.Errorf(record.Damaged, "a sealed value is damaged, or not the one that belongs here")
	}
	return plain, nil
}

// hidden is embedded by whatever holds a secret. It answers every way of
// printing or encoding a value with the same word or a refusal. Where fmt
// finds a secret in another type's unexported field it can't call methods, and
// follows pointers: so the secret itself stands behind a function.
type hidden struct{}

const hiddenText = "(secret)"

func (hidden) String() string                { return hiddenText }
func (hidden) GoString() string              { return hiddenText }
func (hidden) Format(f fmt.State, verb rune) { fmt.Fprint(f, hiddenText) }
func (hidden) LogValue() slog.Value          { return slog.StringValue(hiddenText) }
func (hidden) MarshalText() ([]byte, error)  { return nil, errHidden() }
func (hidden) MarshalJSON() ([]byte, error)  { return nil, errHidden() }
func (hidden) GobEncode() ([]byte, error)    { return nil, errHidden() }
func (hidden) MarshalBinary() ([]byte, error) {
	return nil, errHidden()
}

func errHidden() error { return record.Errorf(record.Internal, "a secret can't be encoded") }
