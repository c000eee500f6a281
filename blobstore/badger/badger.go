// Package badger keeps a journal and payload files on one machine: the
// journal in Badger, each payload in a file of its own.
//
// It never sees what a payload says, writes no value of the journal in clear,
// and lets no type of Badger's out.
package badger

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/y"

	"dxd/blobstore"
	"dxd/record"
)

// DefaultReserve is the reserve of a store that was told none.
const DefaultReserve = 64 << 20

// Options of a store. The zero value is good.
type Options struct {
	// Reserve is how many bytes payloads leave free on the disk. The journal
	// may use half of it, so that what is in flight can still be recorded;
	// updates that only delete go on as long as the journal's upkeep has
	// room. 0 means DefaultReserve.
	Reserve int64

	// Log gets what Badger says, at debug level, and what it can't do (such
	// as flush to a disk that fails) as a warning; nil discards it.
	Log *slog.Logger
}

// Store is a blobstore.Journal and blobstore.Files.
type Store struct {
	dir     string
	files   string
	reserve int64
	seal    blobstore.Sealer
	log     *slog.Logger
	db      *badger.DB

	pen      chan struct{}  // holds one token: who takes it writes
	updates  chan *update   // to who writes, one at a time
	closing  chan struct{}  // closed when Close begins
	once     sync.Once      // guards closing and closed
	closed   error          // what Close returned
	owned    sync.WaitGroup // the upkeep
	failed   atomic.Pointer[error]
	broken   chan struct{} // closed once failed is set
	deleted  atomic.Bool   // since the last compaction
	wal      wal           // belongs to who writes
	builders builders      // likewise
	room     room
	readers  readers
	removals sync.RWMutex // held by whoever removes a payload; alone by who needs all to stay
	watchers watchers
}

var (
	_ blobstore.Journal = (*Store)(nil)
	_ blobstore.Files   = (*Store)(nil)
)

// Open opens the store in a directory, or makes one there. The error is of
// kind Conflict while another process has it open, Invalid if a newer version
// of dxd made it, Damaged if it was sealed with other keys, and Full if the
// disk is so full that opening it would be unsafe.
func Open(dir string, seal blobstore.Sealer, o Options) (*Store, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Reserve <= 0 {
		o.Reserve = DefaultReserve
	}
	s := &Store{
		dir:     filepath.Join(dir, "journal"),
		files:   filepath.Join(dir, "payloads"),
		reserve: o.Reserve,
		seal:    seal,
		log:     o.Log,
		pen:     make(chan struct{}, 1),
		updates: make(chan *update),
		closing: make(chan struct{}),
		broken:  make(chan struct{}),
	}
	if err := s.makeDirs(dir); err != nil {
		return nil, err
	}
	if err := s.openJournal(); err != nil {
		return nil, err
	}
	s.pen <- struct{}{}
	s.owned.Go(s.upkeep)
	return s, nil
}

// Close ends the store after the updates and views under way. Others get an
// error of kind Unavailable. All Partials and Files are to be closed before.
//
// The error is of kind Full if the disk has no room for what Badger writes at
// the end. Nothing is lost then, and nothing is let go either before the
// process ends.
func (s *Store) Close() error {
	s.once.Do(func() {
		close(s.closing)
		<-s.pen // from the update under way, and for good
		s.owned.Wait()
		s.readers.close()
		s.wal.close()
		if err := s.checkRoom(floor); err != nil {
			s.closed = record.WithHint(record.Errorf(record.KindOf(err), "couldn't close the journal, which goes on from its log at the next start: %w", err), record.Hint(err))
			return
		}
		if err := s.db.Close(); err != nil {
			s.closed = record.Errorf(record.Internal, "couldn't close the journal: %w", err)
		}
	})
	return s.closed
}

// makeDirs makes what is missing and keeps others out of it.
func (s *Store) makeDirs(dir string) error {
	for _, d := range []string{dir, s.dir, s.files} {
		if err := os.Mkdir(d, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return diskError(err, "couldn't make %q: %w", d, err)
		}
	}
	// A process that died between a payload's rename and its sync may have left
	// a name that is not durable: it is before anybody relies on it.
	if err := syncDir(s.files); err != nil {
		return err
	}
	return syncDir(dir)
}

func (s *Store) openJournal() error {
	if err := s.checkRoom(floor); err != nil {
		return err
	}
	if err := checkLogs(s.dir); err != nil {
		return err
	}
	db, err := badger.OpenManaged(tuned(s.dir, &logger{s.log}))
	if err != nil {
		return openError(err)
	}
	s.db = db
	err = s.adopt()
	if err == nil {
		err = s.removeSnapshots() // of which none can be in use: the journal is ours
	}
	if err != nil {
		s.wal.close()
		return errors.Join(err, db.Close())
	}
	return nil
}

// adopt makes an opened journal this store's.
func (s *Store) adopt() error {
	s.readers.open(s.db.MaxVersion())
	s.deleted.Store(true) // perhaps, before a crash
	s.builders = buildersOf(s.db)
	s.room.measure(s.db)
	if err := s.wal.open(s.dir); err != nil {
		return err
	}
	return s.checkFormat()
}

func openError(err error) error {
	if mentions(err, syscall.EWOULDBLOCK) {
		return record.WithHint(record.Errorf(record.Conflict, "the journal is in use by another process"),
			"stop the other dxd that runs with this state directory")
	}
	if strings.Contains(err.Error(), y.ErrChecksumMismatch.Error()) {
		return errDamaged(err)
	}
	return diskError(err, "couldn't open the journal: %w", err)
}

// usable is the error that ended the journal, or nil.
func (s *Store) usable() error {
	if err := s.failed.Load(); err != nil {
		return *err
	}
	return nil
}

func errDamaged(cause error) error {
	return record.WithHint(record.Errorf(record.Damaged, "the journal is damaged: %w", cause),
		"restore the state directory from a backup")
}

func errClosed() error { return record.Errorf(record.Unavailable, "the journal is closed") }
