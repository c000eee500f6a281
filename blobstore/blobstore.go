// Package blobstore says what dxd needs of a place to keep things: a journal,
// in which every commit point is one update, and files for sealed payloads.
//
// It never sees plaintext of a document: files are given sealed, and the
// journal seals each value with the Sealer that it was opened with. Nothing
// here may assume that an organisation has one process.
package blobstore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"iter"
	"time"

	"dxd/record"
)

// Key names a value in the journal. Keys are stored in clear, so they hold
// only random identifiers, numbers and states; names, addresses and digests go
// through Index. Each room's keys begin with a prefix of its own.
//
// A key has 1 to 1024 bytes and does not begin with "!". A journal takes values
// of up to 1,023 KiB, and updates of up to 1,792 KiB with keys and 10,000 keys.
// What it does not take is refused as Invalid.
type Key string

// Entry is a key with its value.
type Entry struct {
	Key   Key
	Value []byte
}

// ReadTx is one consistent view of the journal. It is not to be used after
// the function that it was given to has returned, nor by several goroutines.
type ReadTx interface {
	// Get returns the value under the key. The error is of kind NotFound if
	// there is none, and Damaged if it does not open.
	Get(key Key) ([]byte, error)

	// Scan yields the entries whose keys have the prefix in the order of
	// their keys, or in the reverse order. It begins at the key from, which
	// need not exist, or at the first (in reverse: the last) if from is "".
	// What does not open comes as its key alone, with an error of kind
	// Damaged, and the scan can go on; any other error ends it. Keys may be
	// set and deleted meanwhile; only whether one that the scan has not come
	// to shows the change is open.
	Scan(prefix, from Key, reverse bool) iter.Seq2[Entry, error]

	// Index hides a value that must not stand in a key: an HMAC under a key
	// of the keyring, equal for equal label and value.
	Index(label string, value []byte) Key
}

// Tx is a view that can be written, and sees its own writes.
type Tx interface {
	ReadTx
	Set(key Key, value []byte) error
	Delete(key Key) error
}

// Journal is an ordered, durable, transactional map.
type Journal interface {
	// Update runs fn. Updates run one after another, and each sees all those
	// before it. If fn fails, its writes and no others are dropped and Update
	// returns its error as it is. When Update returns nil, the writes survive
	// a crash and a loss of power. When it returns another error, they may or
	// may not have happened.
	//
	// fn may be run again, so it must have no effect but on tx and on
	// variables that it sets anew each time. It must not call the journal. If
	// it panics, its writes are dropped and the panic is the caller's.
	//
	// Once the disk has little more than its reserve left, the error is of
	// kind Full, for updates that only delete last. Nothing durable is lost,
	// and nothing of this update was written.
	Update(ctx context.Context, fn func(tx Tx) error) error

	// View runs fn on all that has been updated before.
	View(ctx context.Context, fn func(tx ReadTx) error) error

	// Watch returns a channel that holds a token after each durable update
	// that set or deleted a key with the prefix; tokens that nobody took
	// merge into one. The channel ends its service, unclosed, with ctx.
	Watch(ctx context.Context, prefix Key) <-chan struct{}
}

// FileID is a payload file's random name.
type FileID [16]byte

// NewFileID draws a name.
func NewFileID() (id FileID) {
	rand.Read(id[:])
	return id
}

func (id FileID) String() string { return hex.EncodeToString(id[:]) }

// IsZero tells whether this names no file.
func (id FileID) IsZero() bool { return id == FileID{} }

// ParseFileID reads what String wrote, and nothing else.
func ParseFileID(s string) (FileID, error) {
	var id FileID
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) || hex.EncodeToString(b) != s {
		return id, record.Errorf(record.Invalid, "not a file's name: %q", record.Printable(s, 80))
	}
	return FileID(b), nil
}

func (id FileID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }
func (id *FileID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseFileID(string(text))
	return err
}

// Files keeps sealed payloads. A file is partial while it is written, whole
// after Commit, and never changes again.
type Files interface {
	// Create begins the partial file of this name; Conflict if there is one.
	Create(id FileID) (Partial, error)

	// Resume opens a partial file that was left, to go on at its end;
	// NotFound if there is none.
	Resume(id FileID) (Partial, error)

	// Open opens a whole file; NotFound if there is none.
	Open(id FileID) (File, error)

	// Remove removes the file, partial or whole. That there is none is no
	// error. The removal is durable when Remove returns.
	Remove(id FileID) error

	// List yields all files in no order.
	List() iter.Seq2[FileInfo, error]

	// Free is how many bytes can be written before the reserve is touched.
	Free() (int64, error)
}

// FileInfo describes one file of a listing.
type FileInfo struct {
	ID       FileID
	Partial  bool
	Size     int64
	Modified time.Time
}

// File is a whole payload file.
type File interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Partial is a file that is being written. One goroutine writes it at a time.
type Partial interface {
	// Write appends. Once the disk has only its reserve left, the error is
	// of kind Full. What is written survives a crash of the process, but a
	// loss of power only after Sync or Commit.
	io.Writer
	io.ReaderAt

	// Size is the number of bytes written.
	Size() int64

	// Truncate drops all bytes from size on.
	Truncate(size int64) error

	// Sync makes what was written so far durable, the file's name included.
	Sync() error

	// Commit makes the file whole: when it returns nil, Open finds all of
	// it, now and after a loss of power. The Partial is closed.
	Commit() error

	// Close leaves the partial file for Resume.
	Close() error
}

// Sealer is what a journal needs of the keyring.
type Sealer interface {
	// Seal encrypts and authenticates a value, bound to ad.
	Seal(plaintext, ad []byte) []byte
	// Open undoes Seal; the error is of kind Damaged.
	Open(sealed, ad []byte) ([]byte, error)
	// Index is a pseudo-random function of label and value, 16 bytes.
	Index(label string, value []byte) [16]byte
}
