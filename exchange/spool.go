package exchange

import (
	"sync"

	"dxd/blobstore"
	"dxd/record"
)

// spool is the sealed file of a document that is still being read. One
// goroutine writes it; others follow, each at its own pace: they read what is
// there, and are woken when there is more. So none of them slows the writer.
type spool struct {
	blobstore.Partial
	open func() (blobstore.File, error) // opens the file once it is whole

	reading sync.RWMutex   // held to read, and to make the file whole under the readers
	whole   blobstore.File // nil before

	mu      sync.Mutex    // guards what follows
	size    int64         // sealed bytes that can be read
	fate    fate          // decided once
	changed chan struct{} // closed at the next change, and made anew
	holders int
}

// fate is what becomes of a document that is being read.
type fate int

const (
	undecided fate = iota
	promised       // it is whole, and C1 has passed
	givenUp        // it will never be
)

// errGivenUp says that a document was given up while it was being read.
var errGivenUp = record.Errorf(record.Conflict, "the document was given up before it was whole")

// newSpool follows a file that is about to be written. It has one holder.
func newSpool(part blobstore.Partial, open func() (blobstore.File, error)) *spool {
	return &spool{Partial: part, open: open, changed: make(chan struct{}), holders: 1}
}

// look says how much can be read and what was decided, and gives a channel
// that is closed once that changes.
func (s *spool) look() (size int64, f fate, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size, s.fate, s.changed
}

// Size is that of what can be read.
func (s *spool) Size() int64 {
	size, _, _ := s.look()
	return size
}

// Write appends, and wakes those who follow.
func (s *spool) Write(b []byte) (int, error) {
	n, err := s.Partial.Write(b)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.size += int64(n)
	s.wake()
	return n, err
}

// wake is called with mu held.
func (s *spool) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// settle decides what becomes of the document, unless that is decided, and
// says what it is.
func (s *spool) settle(f fate) fate {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fate == undecided {
		s.fate = f
		s.wake()
	}
	return s.fate
}

// ReadAt reads what is there already, unless the document was given up.
func (s *spool) ReadAt(b []byte, off int64) (int, error) {
	s.reading.RLock()
	defer s.reading.RUnlock()
	if _, f, _ := s.look(); f == givenUp {
		return 0, errGivenUp // and its file may be closed
	}
	if s.whole != nil {
		return s.whole.ReadAt(b, off)
	}
	return s.Partial.ReadAt(b, off)
}

// Commit makes the file whole while others read it. They wait only for its
// name to become durable, since its bytes are already.
func (s *spool) Commit() error {
	if err := s.Sync(); err != nil {
		return err
	}
	s.reading.Lock()
	defer s.reading.Unlock()
	if err := s.Partial.Commit(); err != nil {
		return err
	}
	var err error
	s.whole, err = s.open()
	return err
}

// Close gives up a file that can't become whole.
func (s *spool) Close() error {
	s.settle(givenUp)
	s.reading.Lock()
	defer s.reading.Unlock()
	return s.Partial.Close()
}

// hold keeps the file open for one more.
func (s *spool) hold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holders++
}

// letGo undoes hold. The last one closes the file.
func (s *spool) letGo() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holders--
	if s.holders == 0 && s.whole != nil {
		closeQuietly(s.whole)
	}
}
