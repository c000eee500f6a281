package crypto

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
)

// Sealer protects a journal: it seals the values and hides what must not
// stand in the keys.
type Sealer struct {
	hidden
	aead  func() cipher.AEAD
	index func() []byte
}

// Sealer gives the keyring's sealer for the journal.
func (k *Keyring) Sealer() *Sealer {
	aead := newAEAD(k.secrets().journal[:])
	return &Sealer{
		aead:  func() cipher.AEAD { return aead },
		index: func() []byte { return k.secrets().index[:] },
	}
}

// Seal encrypts and authenticates a value, bound to ad.
func (s *Sealer) Seal(plaintext, ad []byte) []byte { return seal(s.aead(), plaintext, ad) }

// Open undoes Seal; the error is of kind Damaged.
func (s *Sealer) Open(sealed, ad []byte) ([]byte, error) { return open(s.aead(), sealed, ad) }

// Index is a pseudo-random function of label and value.
func (s *Sealer) Index(label string, value []byte) [16]byte {
	h := hmac.New(sha256.New, s.index())
	// The label's length goes first, so that no two pairs run together.
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(label))))
	h.Write([]byte(label))
	h.Write(value)
	return [16]byte(h.Sum(nil))
}
