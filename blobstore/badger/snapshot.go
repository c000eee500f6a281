package badger

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/dgraph-io/badger/v4"

	"dxd/blobstore"
	"dxd/record"
)

// snapshotPrefix begins the name of a directory of links beside the payloads.
const snapshotPrefix = "snapshot-"

// Snapshot is one moment of a store: its journal as it was, and the whole
// payloads that it may speak of, all of them sealed. Until Close it keeps old
// versions of the journal and the files of payloads, whatever is erased
// meanwhile. Partial payloads are not part of it: their senders send them again.
type Snapshot struct {
	s   *Store
	at  uint64
	dir string
}

// Snapshot takes one. No payload is removed while it links to all of them.
func (s *Store) Snapshot() (*Snapshot, error) {
	s.removals.Lock()
	defer s.removals.Unlock()
	at, ok := s.readers.enter()
	if !ok {
		return nil, errClosed()
	}
	p := &Snapshot{s: s, at: at}
	var err error
	if p.dir, err = os.MkdirTemp(filepath.Dir(s.files), snapshotPrefix); err != nil {
		s.readers.leave(at)
		return nil, diskError(err, "couldn't take a snapshot: %w", err)
	}
	if err := p.link(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// link gives each whole payload a second name.
func (p *Snapshot) link() error {
	for f, err := range p.s.List() {
		if err != nil {
			return err
		}
		if f.Partial {
			continue
		}
		if err := os.Link(p.s.wholePath(f.ID), p.path(f.ID)); err != nil {
			return diskError(err, "couldn't take a snapshot of the payloads: %w", err)
		}
	}
	return nil
}

func (p *Snapshot) path(id blobstore.FileID) string { return filepath.Join(p.dir, id.String()) }

// Close lets go of it.
func (p *Snapshot) Close() error {
	p.s.readers.leave(p.at)
	if err := os.RemoveAll(p.dir); err != nil {
		return diskError(err, "couldn't remove a snapshot: %w", err)
	}
	return nil
}

// removeSnapshots removes what a process that died left of its own.
func (s *Store) removeSnapshots() error {
	left, err := filepath.Glob(filepath.Join(filepath.Dir(s.files), snapshotPrefix+"*"))
	for _, dir := range left {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	if err != nil {
		return diskError(err, "couldn't remove an old snapshot: %w", err)
	}
	return nil
}

// Payloads yields the payloads in the order of their names.
func (p *Snapshot) Payloads() iter.Seq2[blobstore.FileInfo, error] {
	return func(yield func(blobstore.FileInfo, error) bool) {
		entries, err := os.ReadDir(p.dir)
		if err != nil {
			yield(blobstore.FileInfo{}, diskError(err, "couldn't list a snapshot: %w", err))
			return
		}
		for _, e := range entries {
			if info, ok := describe(e); ok && !yield(info, nil) {
				return
			}
		}
	}
}

// Open opens one of them.
func (p *Snapshot) Open(id blobstore.FileID) (io.ReadCloser, error) {
	f, _, err := openSized(p.path(id), os.O_RDONLY)
	return f, err
}

// maxChunk is where a chunk of the journal ends, unless one entry is larger.
const maxChunk = 1 << 20

// Journal yields the journal in chunks of whole entries, as it is stored: keys,
// and values that are sealed. A chunk is good until the next.
func (p *Snapshot) Journal() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		txn := p.s.db.NewTransactionAt(p.at, false)
		defer txn.Discard()
		it := txn.NewIterator(badger.DefaultIteratorOptions)
		defer it.Close()
		var chunk []byte
		for it.Rewind(); it.Valid(); it.Next() {
			item := it.Item()
			err := item.Value(func(value []byte) error {
				chunk = appendEntry(chunk, item.Key(), value)
				return nil
			})
			if err != nil {
				yield(nil, record.Errorf(record.Damaged, "couldn't read the journal: %w", err))
				return
			}
			if len(chunk) < maxChunk {
				continue
			}
			if !yield(chunk, nil) {
				return
			}
			chunk = chunk[:0]
		}
		if len(chunk) > 0 {
			yield(chunk, nil)
		}
	}
}

// An entry is the length of its key, the key, the length of its value, and the
// value. Lengths are unsigned varints.
func appendEntry(chunk, key, value []byte) []byte {
	chunk = append(binary.AppendUvarint(chunk, uint64(len(key))), key...)
	return append(binary.AppendUvarint(chunk, uint64(len(value))), value...)
}

// Loader fills the directory of a new store with what a snapshot held. It needs
// no key, and so can't tell a false value from a true one: the store does, when
// it is opened and read.
type Loader struct {
	files string
	db    *badger.DB
	batch *badger.WriteBatch
}

// NewLoader begins an empty store in a directory.
func NewLoader(dir string) (*Loader, error) {
	journal := filepath.Join(dir, "journal")
	l := &Loader{files: filepath.Join(dir, "payloads")}
	for _, d := range []string{journal, l.files} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return nil, diskError(err, "couldn't make %q: %w", d, err)
		}
	}
	var err error
	if l.db, err = badger.OpenManaged(tuned(journal, &logger{slog.New(slog.DiscardHandler)})); err != nil {
		return nil, openError(err)
	}
	l.batch = l.db.NewManagedWriteBatch()
	return l, nil
}

// Journal takes a chunk.
func (l *Loader) Journal(r io.Reader) error {
	in := bufio.NewReader(r)
	for {
		key, err := readPart(in, maxKey)
		if err == io.EOF {
			return nil
		}
		var value []byte
		if err == nil {
			value, err = readPart(in, valueThreshold)
		}
		if err != nil {
			return record.Errorf(record.Damaged, "a chunk of the journal is damaged")
		}
		if len(key) == 0 || strings.HasPrefix(string(key), "!badger!") {
			return record.Errorf(record.Damaged, "a chunk of the journal has a key that is none")
		}
		if err := l.batch.SetEntryAt(badger.NewEntry(key, value), 1); err != nil {
			return diskError(err, "couldn't fill the journal: %w", err)
		}
	}
}

// readPart reads a length and so many bytes; io.EOF if there is nothing.
func readPart(in *bufio.Reader, limit uint64) ([]byte, error) {
	n, err := binary.ReadUvarint(in)
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, errors.New("too long")
	}
	part := make([]byte, n)
	if _, err := io.ReadFull(in, part); err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	return part, nil
}

// Payload takes a payload.
func (l *Loader) Payload(id blobstore.FileID, r io.Reader) (err error) {
	f, err := os.OpenFile(filepath.Join(l.files, id.String()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return diskError(err, "couldn't make a payload: %w", err)
	}
	if _, err = io.Copy(f, r); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return diskError(err, "couldn't write a payload: %w", err)
	}
	return nil
}

// Close makes all of it durable.
func (l *Loader) Close() error {
	err := l.batch.Flush()
	if err = errors.Join(err, l.db.Close()); err != nil {
		return diskError(err, "couldn't fill the journal: %w", err)
	}
	return errors.Join(syncDir(l.files), syncDir(filepath.Dir(l.files)))
}

// Abort drops it; what was written so far stays in the directory.
func (l *Loader) Abort() error {
	l.batch.Cancel()
	return l.db.Close()
}
