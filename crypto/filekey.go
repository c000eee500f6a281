package crypto

import (
	"crypto/hkdf"
	"crypto/sha256"

	"dxd/record"
)

// fileKeySize is what age prescribes.
const fileKeySize = 16

// FileKey is the age file key of one sealed body. Whoever has it can read the
// body, and can make another that opens under it: it proves no origin. The
// zero value is no key.
type FileKey struct {
	hidden
	key func() *[fileKeySize]byte
}

// IsZero tells whether this is no key.
func (k FileKey) IsZero() bool { return k.key == nil }

// check keeps a key that was never set from being used.
func (k FileKey) check() error {
	if k.IsZero() {
		return record.Errorf(record.Internal, "no file key")
	}
	return nil
}

func newFileKey(key []byte) (FileKey, error) {
	if len(key) != fileKeySize {
		return FileKey{}, record.Errorf(record.Invalid, "a file key has %d bytes, not %d", fileKeySize, len(key))
	}
	fixed := [fileKeySize]byte(key)
	return FileKey{key: func() *[fileKeySize]byte { return &fixed }}, nil
}

// derive gives the key for a purpose that age does not know. The label keeps
// it apart from those that age derives, whose info is "header" and "payload".
func (k FileKey) derive(label string) []byte {
	key, err := hkdf.Key(sha256.New, k.key()[:], nil, label, 32)
	if err != nil {
		panic(err) // 32 bytes are fewer than HKDF can give
	}
	return key
}

// openingsLabel is the purpose of the key that openings are sealed under.
const openingsLabel = "dxd/openings/v1"

// SealOpenings seals the openings of a payload for those who hold its file
// key.
func SealOpenings(key FileKey, openings []byte) []byte {
	return seal(newAEAD(key.derive(openingsLabel)), openings, nil)
}

// OpenOpenings undoes SealOpenings; the error is of kind Damaged.
func OpenOpenings(key FileKey, sealed []byte) ([]byte, error) {
	return open(newAEAD(key.derive(openingsLabel)), sealed, nil)
}

// WrapFileKey seals a file key for the journal, bound to ad. Erasing the
// wrapped key erases the body.
func (k *Keyring) WrapFileKey(key FileKey, ad []byte) []byte {
	return seal(newAEAD(k.secrets().stored[0].storage[:]), key.key()[:], ad)
}

// UnwrapFileKey undoes WrapFileKey; the error is of kind Damaged.
func (k *Keyring) UnwrapFileKey(wrapped, ad []byte) (FileKey, error) {
	var err error
	for _, s := range k.state().stored() {
		var plain []byte
		if plain, err = open(newAEAD(s.storage[:]), wrapped, ad); err == nil {
			return newFileKey(plain)
		}
	}
	return FileKey{}, err
}
