package crypto

import (
	"bytes"
	"errors"
	"io"

	"filippo.io/age"
	"golang.org/x/crypto/chacha20poly1305"

	"dxd/record"
)

// A sealed body is what stands behind the header of an age v1 file: a nonce,
// then chunks of 64 KiB, each with its own tag (c2sp.org/age, "Payload").
const (
	bodyNonceSize = 16
	chunkSize     = 64 << 10
	tagSize       = chacha20poly1305.Overhead
)

// BodyWriter seals a body as it is written.
type BodyWriter struct {
	age   io.WriteCloser
	key   FileKey
	nonce record.BodyNonce
}

// SealBody begins a body under a fresh file key and writes its nonce to w.
// The body is whole only after Close.
func SealBody(w io.Writer) (*BodyWriter, error) {
	var begin bytes.Buffer
	out := &redirect{&begin}
	var grab capture
	sealer, err := age.Encrypt(out, &grab)
	if err != nil {
		return nil, record.Errorf(record.Internal, "couldn't begin to seal: %w", err)
	}
	// So far age has written a header, of no use here, and the nonce.
	b := &BodyWriter{age: sealer, key: grab.key}
	copy(b.nonce[:], begin.Bytes()[begin.Len()-bodyNonceSize:])
	out.Writer = w
	if _, err := w.Write(b.nonce[:]); err != nil {
		return nil, err
	}
	return b, nil
}

// redirect is a writer whose destination can change.
type redirect struct{ io.Writer }

// capture is an age recipient that keeps the file key for us.
type capture struct{ key FileKey }

func (c *capture) Wrap(fileKey []byte) (_ []*age.Stanza, err error) {
	c.key, err = newFileKey(fileKey)
	return bodyStanzas(), err
}

// bodyStanzas stand in the headers that never leave this package: age wants a
// stanza.
func bodyStanzas() []*age.Stanza { return []*age.Stanza{{Type: "dxd"}} }

// Write seals p. Errors are those of the writer below.
func (b *BodyWriter) Write(p []byte) (int, error) { return b.age.Write(p) }

// Close seals the last chunk. It does not close the writer below.
func (b *BodyWriter) Close() error { return b.age.Close() }

// Key is the file key of the body.
func (b *BodyWriter) Key() FileKey { return b.key }

// Nonce is what the body begins with.
func (b *BodyWriter) Nonce() record.BodyNonce { return b.nonce }

// OpenBody opens a body as it is read. Nothing is read before the first Read,
// and no byte is given out of a chunk whose tag does not hold. The error is
// of kind Damaged if the body is damaged, cut short or too long; an error of
// the reader below is returned as it is.
//
// A whole body proves only that it was sealed under this key, which every
// recipient has: its origin is proved by the digest in a signed record.
func OpenBody(key FileKey, sealed io.Reader) (io.Reader, error) {
	if err := key.check(); err != nil {
		return nil, err
	}
	return &bodyReader{key: key, sealed: sealed}, nil
}

type bodyReader struct {
	key    FileKey
	sealed io.Reader
	plain  io.Reader // once the nonce has been read
}

func (r *bodyReader) Read(p []byte) (int, error) {
	if r.plain == nil {
		header := bytes.NewReader(writeHeader(r.key, bodyStanzas()))
		plain, err := age.Decrypt(io.MultiReader(header, markReader{r.sealed}), r.key.identity())
		if err != nil {
			return 0, bodyError(err)
		}
		r.plain = plain
	}
	n, err := r.plain.Read(p)
	return n, bodyError(err)
}

func (k FileKey) identity() age.Identity { return age.NewInjectedFileKeyIdentity(k.key()[:]) }

// OpenBodyAt opens a complete body of size bytes for reading at any place,
// and gives the length of what was sealed. The last chunk is opened at once,
// so that a body cut short is noticed here. Errors are as for OpenBody. The
// reader may be used by several goroutines.
func OpenBodyAt(key FileKey, sealed io.ReaderAt, size int64) (io.ReaderAt, int64, error) {
	if err := key.check(); err != nil {
		return nil, 0, err
	}
	if _, err := PlainLength(size); err != nil {
		return nil, 0, err
	}
	header := writeHeader(key, bodyStanzas())
	file := prefixed{header, markReaderAt{sealed}}
	plain, n, err := age.DecryptReaderAt(file, int64(len(header))+size, key.identity())
	if err != nil {
		return nil, 0, bodyError(err)
	}
	return bodyReaderAt{plain}, n, nil
}

type bodyReaderAt struct{ plain io.ReaderAt }

func (r bodyReaderAt) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.plain.ReadAt(p, off)
	return n, bodyError(err)
}

// prefixed is a header with a body behind it.
type prefixed struct {
	header []byte
	body   io.ReaderAt
}

func (f prefixed) ReadAt(p []byte, off int64) (n int, err error) {
	if off < int64(len(f.header)) {
		n = copy(p, f.header[off:])
	}
	if n == len(p) {
		return n, nil
	}
	m, err := f.body.ReadAt(p[n:], off+int64(n)-int64(len(f.header)))
	return n + m, err
}

// sourceError marks an error of the reader below, on its way through age.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return e.err.Error() }

func mark(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &sourceError{err}
}

type markReader struct{ r io.Reader }

func (m markReader) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	return n, mark(err)
}

type markReaderAt struct{ r io.ReaderAt }

func (m markReaderAt) ReadAt(p []byte, off int64) (int, error) {
	n, err := m.r.ReadAt(p, off)
	return n, mark(err)
}

// bodyError says whose fault an error of age's reader is.
func bodyError(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	if source := new(sourceError); errors.As(err, &source) {
		return source.err
	}
	return record.Errorf(record.Damaged, "the sealed payload is damaged: %w", err)
}

// SealedLength is the length of the body that so many bytes are sealed into.
func SealedLength(plain int64) int64 {
	chunks := max(1, (plain+chunkSize-1)/chunkSize) // of nothing, too, there is one
	return bodyNonceSize + plain + chunks*tagSize
}

// PlainLength is the inverse of SealedLength. No body has a length for which
// it gives an error.
func PlainLength(sealed int64) (int64, error) {
	payload := sealed - bodyNonceSize
	chunks := (payload + chunkSize + tagSize - 1) / (chunkSize + tagSize)
	plain := payload - chunks*tagSize
	if payload < tagSize || plain < 0 || SealedLength(plain) != sealed {
		return 0, record.Errorf(record.Invalid, "no sealed body has %d bytes", sealed)
	}
	return plain, nil
}
