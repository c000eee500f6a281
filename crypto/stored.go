package crypto

import (
	"crypto/rand"
	"slices"

	"dxd/record"
)

// stored is what people call the storage key: the two keys of what is kept.
// They are drawn together and go together.
type stored struct {
	journal [32]byte // seals the journal's values
	storage [32]byte // wraps the file keys of payloads
}

func newStored() (s stored) {
	rand.Read(s.journal[:])
	rand.Read(s.storage[:])
	return s
}

// StorageRotates tells whether there is an older storage key beside the one in
// use.
func (k *Keyring) StorageRotates() bool { return len(k.secrets().stored) > 1 }

// WithStorage gives the keyring with a new storage key. The older one opens
// what is under it until WithoutOldStorage. The keyring itself stays as it is
// until Become.
func (k *Keyring) WithStorage() (*Keyring, error) {
	next := k.secrets().clone()
	if len(next.stored) > 1 {
		return nil, record.Errorf(record.Conflict, "the storage key is being rotated already")
	}
	next.stored = []stored{newStored(), next.stored[0]}
	return next.keyring()
}

// WithoutOldStorage gives the keyring without the older storage key. What is
// still under it can't be opened by anyone once no file has it any more.
func (k *Keyring) WithoutOldStorage() (*Keyring, error) {
	next := k.secrets().clone()
	next.stored = next.stored[:1:1]
	return next.keyring()
}

// letGo keeps what next lacks until the process ends, a little longer than in
// the file: somebody may be about to open what it read a moment ago. It is
// called with mu held.
func (s *state) letGo(next *secrets) {
	for _, old := range s.secrets.stored {
		if !slices.Contains(next.stored, old) {
			s.gone = append(s.gone, old)
		}
	}
}

// stored lists the keys to try, the one in use first.
func (s *state) stored() []stored {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.gone) == 0 {
		return s.secrets.stored
	}
	return slices.Concat(s.secrets.stored, s.gone)
}
