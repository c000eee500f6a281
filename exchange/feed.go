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

// feedBlocks is room for a frame.
const feedBlocks = bodyFrame / chunkSize

func newFeed() *feed {
	return &feed{work: make(chan *block, feedBlocks), gone: make(chan struct{}), why: io.EOF}
}

// errGone says that nobody reads any more.
var errGone = errors.New("nobody reads what is written")

// Write fails, soon, once the reader has ended.
func (f *feed) Write(p []byte) (n int, err error) {
	for n < len(p) {
		b := newBlock()
		m := copy(b.data[:], p[n:])
		b.n = m
		select {
		case f.work <- b:
			n += m
		case <-f.gone:
			b.giveBack()
			return n, errGone
		}
	}
	return n, nil
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

// Read is io.Reader's.
func (f *feed) Read(p []byte) (int, error) {
	if f.rest == nil {
		b, more := <-f.work
		if !more {
			return 0, f.why
		}
		f.rest, f.read = b, 0
	}
	n := copy(p, f.rest.bytes()[f.read:])
	if f.read += n; f.read == f.rest.n {
		f.rest.giveBack()
		f.rest = nil
	}
	return n, nil
}
