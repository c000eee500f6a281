package badger

import (
	"context"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"

	"dxd/blobstore"
	"dxd/blobstore/blobstoretest"
	"dxd/record"
)

// sealer does what the keyring's does, under a key that is a test's.
type sealer struct {
	aead cipher.AEAD
	key  []byte
}

func newAEAD(key byte) (sealer, error) {
	k := make([]byte, chacha20poly1305.KeySize)
	k[0] = key
	aead, err := chacha20poly1305.NewX(k)
	return sealer{aead, k}, err
}

func newSealer(t testing.TB, key byte) sealer {
	t.Helper()
	s, err := newAEAD(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s sealer) Seal(plaintext, ad []byte) []byte {
	nonce := make([]byte, s.aead.NonceSize(), s.aead.NonceSize()+len(plaintext)+s.aead.Overhead())
	rand.Read(nonce)
	return s.aead.Seal(nonce, nonce, plaintext, ad)
}

func (s sealer) Open(sealed, ad []byte) ([]byte, error) {
	if len(sealed) < s.aead.NonceSize() {
		return nil, record.Errorf(record.Damaged, "too short")
	}
	n := s.aead.NonceSize()
	plain, err := s.aead.Open(nil, sealed[:n], sealed[n:], ad)
	if err != nil {
		return nil, record.Errorf(record.Damaged, "does not open")
	}
	return plain, nil
}

func (s sealer) Index(label string, value []byte) [16]byte {
	h := hmac.New(sha256.New, s.key)
	h.Write(append([]byte(label), 0))
	h.Write(value)
	return [16]byte(h.Sum(nil))
}

func open(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(dir, newSealer(t, 1), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSuite(t *testing.T) {
	blobstoretest.Run(t, func(t *testing.T, dir string) (blobstore.Journal, blobstore.Files, func()) {
		s := open(t, dir, Options{})
		return s, s, func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

func closeStore(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// count counts one on under "count".
func count(tx blobstore.Tx) (n uint64, err error) {
	v, err := tx.Get("count")
	switch {
	case err == nil:
		n = binary.BigEndian.Uint64(v)
	case record.KindOf(err) != record.NotFound:
		return 0, err
	}
	n++
	return n, tx.Set("count", binary.BigEndian.AppendUint64(nil, n))
}

func setRows(t testing.TB, s *Store, n int) {
	t.Helper()
	err := s.Update(context.Background(), func(tx blobstore.Tx) error {
		for i := range n {
			if err := tx.Set(blobstore.Key(fmt.Sprintf("row/%016d", i)), make([]byte, 300)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
