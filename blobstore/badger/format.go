package badger

import (
	"errors"
	"strconv"

	"github.com/dgraph-io/badger/v4"

	"dxd/record"
)

// formatVersion counts changes to the journal's format that an older dxd
// would misread.
const formatVersion = 1

// The journal's own keys. The version is the one value in clear, so that it
// can be told apart from a wrong key.
const (
	formatKey = reserved + "format"
	sealKey   = reserved + "check"
)

// checkText is sealed under sealKey, to tell a wrong key at once.
const checkText = "dxd/journal/v1"

// checkFormat refuses a journal of a newer version or under other keys, and
// marks one that is new.
func (s *Store) checkFormat() error {
	version, err := s.rawValue(formatKey)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return s.markNew()
	}
	if err != nil {
		return record.Errorf(record.Internal, "couldn't read the journal's version: %w", err)
	}
	n, err := strconv.Atoi(string(version))
	switch {
	case err != nil || n < 1:
		return record.Errorf(record.Damaged, "the journal's version is damaged")
	case n > formatVersion:
		return record.WithHint(record.Errorf(record.Invalid, "the journal has version %d, this dxd knows %d", n, formatVersion),
			"it was made by a newer version of dxd: use that one")
	}
	sealed, err := s.rawValue(sealKey)
	if err == nil {
		_, err = s.seal.Open(sealed, []byte(sealKey))
	}
	if err != nil {
		return record.WithHint(record.Errorf(record.Damaged, "the journal does not open with this keyring: %w", err),
			"keyring and journal belong together: restore both from one backup")
	}
	return nil
}

// markNew marks a journal that holds nothing yet.
func (s *Store) markNew() error {
	if s.db.MaxVersion() > 0 {
		return record.Errorf(record.Damaged, "the journal's version is missing")
	}
	l := newLayer()
	l.put(formatKey, write{sealed: []byte(strconv.Itoa(formatVersion))})
	l.put(sealKey, write{sealed: s.seal.Seal([]byte(checkText), []byte(sealKey))})
	return s.flush(l)
}

func (s *Store) rawValue(key string) (value []byte, err error) {
	txn := s.db.NewTransactionAt(s.readers.durable(), false)
	defer txn.Discard()
	item, err := txn.Get([]byte(key))
	if err != nil {
		return nil, err
	}
	return item.ValueCopy(nil)
}
