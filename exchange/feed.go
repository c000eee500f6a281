package exchange

import (
	"errors"
	"io"
)

// feed is io.Pipe with room for a few blocks, so that who writes and who reads
// need not wait for each other at each of them. Each side is one goroutine.
type feed struct {
	work  chan *block
	gone  chan struct{} // closed when the reader has ended
	ended bool          // by the writer
	why   error         // set before work is closed
	rest  *block        // what the reader has of a block
	read  int
}

func newFeed(room int) *feed {
	return &feed{work: make(chan *block, room), gone: make(chan struct{}), why: io.EOF}
}

// errGone says that nobody reads any more.
var errGone = errors.New("nobody reads what is written")

// give hands the next block on. It fails, soon, once the reader has ended.
func (f *feed) give(b *block) error {
	select {
	case f.work <- b:
		return nil
	case <-f.gone:
		b.giveBack()
		return errGone
	}
}

// inBlocks copies all of p into blocks.
func inBlocks(p []byte, take func(*block) error) error {
	for len(p) > 0 {
		b := newBlock()
		b.n = copy(b.data[:], p)
		p = p[b.n:]
		if err := take(b); err != nil {
			return err
		}
	}
	return nil
}

// end says that no more will be written, or with an error that what was is not
// all. What comes after the first call changes nothing.
func (f *feed) end(why error) {
	if f.ended {
		return
	}
	f.ended = true
	if why != nil {
		f.why = why
	}
	close(f.work)
}

// next takes the next block.
func (f *feed) next() (*block, error) {
	b, more := <-f.work
	if !more {
		return nil, f.why
	}
	return b, nil
}

// Read is io.Reader's, where blocks are not looked at.
func (f *feed) Read(p []byte) (n int, err error) {
	if f.rest == nil {
		if f.rest, err = f.next(); err != nil {
			return 0, err
		}
		f.read = 0
	}
	n = copy(p, f.rest.bytes()[f.read:])
	if f.read += n; f.read == f.rest.n {
		f.rest.giveBack()
		f.rest = nil
	}
	return n, nil
}
