package crypto

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
)

// Sealer protects a journal: it seals the values and hides what must not
// stand in the keys. It goes along with a rotation of the storage key.
type Sealer struct {
	hidden
	keys func() *Keyring
}

// Sealer gives the keyring's sealer for the journal.
func (k *Keyring) Sealer() *Sealer { return &Sealer{keys: func() *Keyring { return k }} }

// Seal encrypts and authenticates a value, bound to ad.
func (s *Sealer) Seal(plaintext, ad []byte) []byte {
	return seal(newAEAD(s.keys().secrets().stored[0].journal[:]), plaintext, ad)
}

// Open undoes Seal; the error is of kind Damaged.
func (s *Sealer) Open(sealed, ad []byte) (plaintext []byte, err error) {
	for _, key := range s.keys().state().stored() {
		if plaintext, err = open(newAEAD(key.journal[:]), sealed, ad); err == nil {
			return plaintext, nil
		}
	}
	return nil, err
}

// Stale tells whether what was sealed does not open under the key in use.
func (s *Sealer) Stale(sealed, ad []byte) bool {
	_, err := open(newAEAD(s.keys().secrets().stored[0].journal[:]), sealed, ad)
	return err != nil
}

// Index is a pseudo-random function of label and value.
func (s *Sealer) Index(label string, value []byte) [16]byte {
	h := hmac.New(sha256.New, s.keys().secrets().index[:])
	// The label's length goes first, so that no two pairs run together.
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(label))))
	h.Write([]byte(label))
	h.Write(value)
	return [16]byte(h.Sum(nil))
}
