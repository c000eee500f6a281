package exchange

import (
	"crypto/sha256"
	"io"
	"runtime"
	"sync"

	"dxd/record"
)

// block is a part of a document on its way from one goroutine to the next: who
// gets it may use it until it gives it away, or back. The stages of a document's
// way each have a goroutine, so that they share the cores that there are.
type block struct {
	data [sealedChunk]byte // holds a chunk of a sealed body, or a plain one
	n    int
	wire int // bytes that it took on the wire, if it came from there
}

// blocks are kept for reuse: the system clears each page of fresh memory when
// it is first touched, which takes longer than to hash it.
var blocks = sync.Pool{New: func() any { return new(block) }}

func newBlock() *block { return blocks.Get().(*block) }

func newEmptyBlock() *block {
	b := newBlock()
	b.n = 0
	return b
}

func (b *block) bytes() []byte { return b.data[:b.n] }

func (b *block) giveBack() { blocks.Put(b) }

// digester hashes a document in a goroutine of its own.
type digester struct {
	work   chan *block
	result chan record.Digest
	size   int64
}

// newDigester begins. The caller always calls sum in the end.
func newDigester() *digester {
	d := &digester{work: make(chan *block, 2), result: make(chan record.Digest, 1)}
	go d.run() // ends with sum
	return d
}

func (d *digester) run() {
	hash := sha256.New()
	for b := range d.work {
		hash.Write(b.bytes())
		b.giveBack()
		runtime.Gosched() // whoever moves the next ones goes first
	}
	d.result <- record.Digest(hash.Sum(nil))
}

// add gives the next block away to be hashed.
func (d *digester) add(b *block) {
	d.size += int64(b.n)
	d.work <- b
}

// sum ends the digester.
func (d *digester) sum() (int64, record.Digest) {
	close(d.work)
	return d.size, <-d.result
}

// copyDigested copies all of r, which it digests.
func copyDigested(w io.Writer, r io.Reader) (int64, record.Digest, error) {
	d := newDigester()
	err := d.copy(w, r)
	n, digest := d.sum()
	return n, digest, err
}

// copy hashes each block when it has been written.
func (d *digester) copy(w io.Writer, r io.Reader) error {
	for {
		b := newBlock()
		var end error
		if b.n, end = r.Read(b.data[:chunkSize]); b.n > 0 {
			if _, err := w.Write(b.bytes()); err != nil {
				b.giveBack()
				return err
			}
		}
		d.add(b)
		runtime.Gosched()
		if end == io.EOF {
			return nil
		}
		if end != nil {
			return end
		}
	}
}
