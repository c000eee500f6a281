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

// give hands the next block on. It fails, soon, once the reader has ended, and
// behind end.
func (f *feed) give(b *block) error {
	if f.ended {
		b.giveBack()
		return errGone
	}
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

// trailing writes to w in a goroutine of its own, so that whoever makes what is
// written need not wait for a disk.
type trailing struct {
	*feed
	done chan error
}

// trailingBlocks is how much may wait to be written: 1 MiB.
const trailingBlocks = 16

// newTrailing begins. The caller always calls close in the end.
func newTrailing(w io.Writer) *trailing {
	b := &trailing{newFeed(trailingBlocks), make(chan error, 1)}
	go func() { // ends with the feed, which close ends
		defer close(b.gone)
		b.done <- b.writeTo(w)
	}()
	return b
}

func (b *trailing) writeTo(w io.Writer) error {
	for {
		block, err := b.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		_, err = w.Write(block.bytes())
		block.giveBack()
		if err != nil {
			return err
		}
	}
}

// Write fails, soon, once a write behind it has; close says why.
func (b *trailing) Write(p []byte) (int, error) {
	if err := inBlocks(p, b.give); err != nil {
		return 0, err
	}
	return len(p), nil
}

// close waits until all is written. If that fails, it is why Write failed.
func (b *trailing) close() error {
	b.end(nil)
	return <-b.done
}
