package client

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync"

	"dxd/record"
)

// body is a request's body that remembers why it could not be read, and ends
// the request with an error, never with a document cut short, if it is not of
// the announced size. The transport reads it in a goroutine of its own.
type body struct {
	src  io.Reader
	size int64 // -1: not known
	left int64 // until size

	mu  sync.Mutex // guards err
	err error
}

func jsonBody(raw []byte) *body { return newBody(bytes.NewReader(raw), int64(len(raw))) }

func newBody(src io.Reader, size int64) *body { return &body{src: src, size: size, left: size} }

// attach gives the body to the request.
func (b *body) attach(req *http.Request) error {
	if b.size == 0 { // net/http takes a length of 0 for an unknown one
		if err := b.probe(); err != nil {
			return err
		}
		req.Body, req.ContentLength = http.NoBody, 0
		return nil
	}
	req.Body, req.ContentLength = b, b.size
	if b.size < 0 || b.size > expectAbove {
		// So that a refusal comes before the body, and not in its middle.
		req.Header.Set("Expect", "100-continue")
	}
	return nil
}

// expectAbove is from how many bytes on a go-ahead is worth a round trip.
const expectAbove = 64 << 10

// Read gives the last byte of a known size only after the source has ended
// there: a file that grew must not look whole.
func (b *body) Read(p []byte) (int, error) {
	if b.size >= 0 && int64(len(p)) > b.left {
		p = p[:b.left]
	}
	if b.size >= 0 && b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.src.Read(p)
	b.left -= int64(n)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return 0, b.fail(record.Errorf(record.Invalid, "couldn't read the document: %w", err))
	case b.size < 0:
		return n, err
	case err != nil && b.left > 0:
		return 0, b.fail(changed(b.size, b.size-b.left))
	case b.left == 0 && err == nil:
		if err := b.probe(); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// probe tells whether the source has ended.
func (b *body) probe() error {
	var one [1]byte
	n, err := io.ReadFull(b.src, one[:])
	switch {
	case n > 0:
		return b.fail(changed(b.size, b.size+1))
	case errors.Is(err, io.EOF):
		return nil
	}
	return b.fail(record.Errorf(record.Invalid, "couldn't read the document: %w", err))
}

func changed(size, got int64) error {
	verb := "shrank"
	if got > size {
		verb = "grew"
	}
	return record.WithHint(record.Errorf(record.Invalid, "the document %s while it was read: it was announced with %d bytes", verb, size),
		"a file must not change while it is sent")
}

func (b *body) fail(err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
	return err
}

// failure is why the body could not be read, nil if it could.
func (b *body) failure() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// Close does nothing: the source is the caller's.
func (b *body) Close() error { return nil }
