package exchange

import (
	"context"
	"errors"
	"io"
	"sync"

	"dxd/blobstore"
	"dxd/crypto"
	"dxd/record"
)

// inbox holds the payloads that are on their way in. Across a cut link the
// open cipher and hash state waits here for the next stream.
type inbox struct {
	mu   sync.Mutex          // guards open
	open map[arriving]*claim // nil once Run has ended
}

// arriving names a payload that is on its way in. An id means nothing without
// the partner that it is from.
type arriving struct {
	from record.OrgID
	id   record.TransferID
}

// maxWaiting is how many half-received payloads keep their cipher state while
// no stream feeds them; others are read again from their files.
const maxWaiting = 64

// claim is the right of one stream to feed a payload.
type claim struct {
	reset func()        // ends the stream that holds it
	free  chan struct{} // closed when the stream has let go
	in    *incoming     // what it left, nil if there is nothing
}

// take claims the payload for a stream. Whoever holds it is reset: the sender
// opened a new stream since it gave the old one up.
func (b *inbox) take(ctx context.Context, id arriving, reset func()) (*incoming, *claim, error) {
	mine := &claim{reset: reset, free: make(chan struct{})}
	for {
		b.mu.Lock()
		if b.open == nil {
			b.mu.Unlock()
			return nil, nil, record.Errorf(record.Unavailable, "the exchange has ended")
		}
		old := b.open[id]
		if old == nil || old.isFree() {
			b.open[id] = mine
			b.mu.Unlock()
			if old != nil {
				return old.in, mine, nil
			}
			return nil, mine, nil
		}
		b.mu.Unlock()
		old.reset()
		select {
		case <-old.free:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// takeIdle claims the payload if no stream feeds it; the claim is nil if one
// does.
func (b *inbox) takeIdle(id arriving) (*incoming, *claim) {
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.open[id]
	if b.open == nil || old != nil && !old.isFree() {
		return nil, nil
	}
	mine := &claim{reset: func() {}, free: make(chan struct{})}
	b.open[id] = mine
	if old == nil {
		return nil, mine
	}
	return old.in, mine
}

func (c *claim) isFree() bool {
	select {
	case <-c.free:
		return true
	default:
		return false
	}
}

// release lets go, leaving what the next stream can go on with, or nil.
func (b *inbox) release(id arriving, c *claim, in *incoming) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.in = in
	close(c.free)
	switch {
	case b.open == nil:
		in.close()
	case in == nil:
		delete(b.open, id)
	}
	b.trim()
}

// trim is called with mu held.
func (b *inbox) trim() {
	for {
		id, ok := b.spare()
		if !ok {
			return
		}
		b.open[id].in.close()
		delete(b.open, id)
	}
}

// spare finds one to let go of, if too many wait: one of the partner that has the
// most of them, so that nobody who leaves many has another's be read again. It is
// called with mu held.
func (b *inbox) spare() (spare arriving, ok bool) {
	waiting, all := map[record.OrgID]int{}, 0
	for id, c := range b.open {
		if c.waits() {
			waiting[id.from]++
			all++
		}
	}
	if all <= maxWaiting {
		return spare, false
	}
	for id, c := range b.open {
		if c.waits() && (!ok || waiting[id.from] > waiting[spare.from]) {
			spare, ok = id, true
		}
	}
	return spare, ok
}

// waits tells whether no stream feeds the payload, nor is its file synced, which
// would have all others wait for the disk.
func (c *claim) waits() bool { return c.isFree() && !c.in.isSyncing() }

// drop ends the stream that feeds the payload and forgets what it left.
func (b *inbox) drop(ctx context.Context, id arriving) error {
	in, c, err := b.take(ctx, id, func() {})
	if err != nil {
		return err
	}
	in.close()
	b.release(id, c, nil)
	return nil
}

// close lets go of all that waits. A stream that still holds a payload lets go
// of it itself.
func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.open {
		if c.isFree() {
			c.in.close()
		}
	}
	b.open = nil
}

// syncEvery is the pace at which a partial file is made durable, while more is
// written to it. Since a sync waits for the one before, a loss of power costs at
// most twice as much.
const syncEvery = 32 << 20

// feedBlocks are what waits for the cipher.
const feedBlocks = 4

// incoming is a payload of which some bytes are here. They go to the file and
// through the cipher and the hash at once. One goroutine uses it at a time.
type incoming struct {
	file    blobstore.FileID
	part    blobstore.Partial // nil once the file is whole
	key     crypto.FileKey    // that the cipher opens it under
	nonce   record.BodyNonce
	size    int64      // sealed bytes here
	synced  int64      // of these the last sync was begun
	syncing chan error // holds its outcome, once; nil if none is under way
	feed    *feed
	result  chan opened // holds the cipher's end, once
	open    *opened     // taken from result
	written bool        // a row knows the partial
	torn    bool        // file, cipher and size do not agree: only the file can be gone on with
	holes   bool        // a sync has failed: not even the file can
}

// opened is what the cipher found: the plaintext's length and digest, or why
// it does not open.
type opened struct {
	length int64
	digest record.Digest
	err    error
}

// newIncoming starts the cipher for a payload under this key.
func newIncoming(file blobstore.FileID, part blobstore.Partial, nonce record.BodyNonce, key crypto.FileKey) *incoming {
	in := &incoming{file: file, part: part, key: key, nonce: nonce, result: make(chan opened, 1)}
	in.feed = newFeed(feedBlocks)
	go func() { // ends with the feed, which close or finish always end
		defer close(in.feed.gone)
		in.result <- openAll(key, in.feed)
	}()
	return in
}

var errDamaged = record.Errorf(record.Damaged, "the sealed bytes do not open")

// errUnsynced says that nobody knows what of a file is on the disk: after a
// sync that failed, a later one may succeed without writing anything.
var errUnsynced = record.Errorf(record.Internal, "the file may have holes")

func openAll(key crypto.FileKey, sealed io.Reader) opened {
	plain, err := crypto.OpenBody(key, sealed)
	if err != nil {
		return opened{err: errors.Join(errDamaged, err)}
	}
	n, digest, err := copyDigested(io.Discard, plain)
	if err != nil {
		return opened{length: n, err: errors.Join(errDamaged, err)}
	}
	return opened{length: n, digest: digest}
}

// write takes the next sealed bytes.
func (in *incoming) write(p []byte) error { return inBlocks(p, in.take) }

// take takes the next sealed bytes: into the file first, then through the
// cipher, so that the file is never behind what was looked at.
func (in *incoming) take(b *block) error {
	if in.part == nil || in.open != nil { // it was whole, its sender said
		b.giveBack()
		return errDamaged
	}
	in.torn = true
	if _, err := in.part.Write(b.bytes()); err != nil {
		return err
	}
	in.size += int64(b.n)
	if in.size-in.synced >= syncEvery {
		if err := in.sync(); err != nil {
			return err
		}
	}
	if in.feed.give(b) != nil {
		return errDamaged
	}
	in.torn = false
	return nil
}

// sync begins to make durable what is here.
func (in *incoming) sync() error {
	if err := in.waitForSync(); err != nil {
		return err
	}
	part, done := in.part, make(chan error, 1)
	in.synced, in.syncing = in.size, done
	go func() { done <- part.Sync() }() // waitForSync is always called in the end
	return nil
}

// waitForSync waits for the sync that is under way. Its outcome is told once.
func (in *incoming) waitForSync() error {
	if in.syncing == nil {
		return nil
	}
	err := <-in.syncing
	in.syncing = nil
	if err != nil {
		in.holes = true
		return errors.Join(err, errUnsynced)
	}
	return nil
}

// isSyncing tells whether a sync is under way.
func (in *incoming) isSyncing() bool { return in != nil && in.syncing != nil && len(in.syncing) == 0 }

// finish tells the cipher that all is here and takes what it found.
func (in *incoming) finish() opened {
	if in.open == nil {
		in.feed.end(nil)
		o := <-in.result
		in.open = &o
	}
	return *in.open
}

// commit makes the file whole and durable.
func (in *incoming) commit() error {
	if in.part == nil {
		return nil
	}
	if err := in.waitForSync(); err != nil {
		return err
	}
	if err := in.part.Commit(); err != nil {
		in.holes = true
		return errors.Join(err, errUnsynced)
	}
	in.part = nil
	return nil
}

// close lets go of the cipher and leaves the partial file; nil may be closed.
func (in *incoming) close() {
	if in == nil {
		return
	}
	in.feed.end(context.Canceled)
	if in.part == nil {
		return
	}
	if in.waitForSync(); in.holes {
		// What it was about may be on no disk, and no later sync would say so: it
		// has to come again. Where even that fails, the disk takes no receipt either.
		_ = in.part.Truncate(0)
	}
	closeQuietly(in.part)
}

// refeedBuffer is how much of a file is read at a time.
const refeedBuffer = 256 << 10

// refeed reads what the file has through the cipher again, after a restart.
// Where it stops opening, as a loss of power may leave it, it is cut off at the
// last whole chunk, and all before is fed again to a new cipher.
func refeed(ctx context.Context, files blobstore.Files, t Transfer, key crypto.FileKey) (*incoming, error) {
	for {
		in, source, err := reopen(files, t, key)
		if err != nil {
			return nil, err
		}
		err = in.replay(ctx, source)
		if err == nil {
			return in, nil
		}
		if !errors.Is(err, errDamaged) || in.part == nil {
			in.close()
			return nil, err
		}
		o := in.finish()
		good := sealedPrefix(o.length)
		err = in.part.Truncate(min(good, max(0, in.part.Size()-1)))
		in.close()
		if err != nil {
			return nil, err
		}
	}
}

// reopen opens the transfer's file, partial or already whole.
func reopen(files blobstore.Files, t Transfer, key crypto.FileKey) (*incoming, io.ReaderAt, error) {
	part, err := files.Resume(t.Payload)
	if err == nil {
		return newIncoming(t.Payload, part, t.BodyNonce, key), part, nil
	}
	if record.KindOf(err) != record.NotFound {
		return nil, nil, err
	}
	// The process died between the file's commit and C1'.
	whole, err := files.Open(t.Payload)
	if err != nil {
		return nil, nil, err
	}
	return newIncoming(t.Payload, nil, t.BodyNonce, key), whole, nil
}

// replay feeds all of the source to the cipher.
func (in *incoming) replay(ctx context.Context, source io.ReaderAt) error {
	size := int64(0)
	if in.part != nil {
		size = in.part.Size()
	} else {
		whole := source.(blobstore.File)
		defer closeQuietly(whole)
		size = whole.Size()
	}
	buf := make([]byte, refeedBuffer)
	for in.size < size {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := source.ReadAt(buf[:min(refeedBuffer, size-in.size)], in.size)
		if n == 0 {
			return record.Errorf(record.Damaged, "couldn't read a partial file: %w", err)
		}
		if inBlocks(buf[:n], in.feed.give) != nil {
			return errDamaged
		}
		in.size += int64(n)
	}
	in.synced = in.size
	// The cipher may be some blocks behind. An empty one says nothing to it, and
	// the last of these finds room only once it has looked at all.
	for range feedBlocks + 1 {
		if in.feed.give(newEmptyBlock()) != nil {
			return errDamaged
		}
	}
	return nil
}

// An age body is a nonce of 16 bytes, then chunks of 64 KiB each with a tag of
// 16 bytes (C2SP age, "Payload").
const (
	bodyNonceSize = 16
	chunkSize     = 64 << 10
	sealedChunk   = chunkSize + 16
)

// sealedPrefix is how many sealed bytes hold the whole chunks of the first
// plain bytes.
func sealedPrefix(plain int64) int64 { return bodyNonceSize + plain/chunkSize*sealedChunk }

// plainSoFar is how many bytes of the document the first sealed bytes hold.
func plainSoFar(sealed int64) int64 {
	whole := max(0, sealed-bodyNonceSize)
	return whole/sealedChunk*chunkSize + max(0, whole%sealedChunk-16)
}
