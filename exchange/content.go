package exchange

import (
	"bytes"
	"context"
	"io"
	"time"

	"dxd/blobstore"
	"dxd/crypto"
	"dxd/record"
)

// Content is the document of a transfer, opened for reading.
type Content struct {
	View
	file blobstore.File
	key  crypto.FileKey
	seal func(crypto.FileKey) ([]byte, error)

	digest *digester // of Verified, while there is something to hash
}

// Content opens the document of a transfer that is here whole.
func (x *Exchange) Content(ctx context.Context, id record.TransferID) (*Content, error) {
	v, kept, err := x.keptContent(ctx, id)
	if err != nil {
		return nil, err
	}
	if v.small() {
		return x.smallContent(v, kept)
	}
	c := &Content{View: v, seal: x.sealHeader}
	if c.key, err = x.Keys.UnwrapFileKey(kept, id[:]); err != nil {
		return nil, err
	}
	c.file, err = x.Files.Open(v.Payload)
	if record.KindOf(err) != record.NotFound {
		return c, err
	}
	if _, _, err := x.keptContent(ctx, id); err != nil {
		return nil, err // it was erased just now
	}
	return nil, record.Errorf(record.Damaged, "the sealed file of transfer %s is gone from the disk", id)
}

// keptContent reads the row of a transfer whose document is here, and its
// wrapped file key; of a message in the journal the body.
func (x *Exchange) keptContent(ctx context.Context, id record.TransferID) (v View, kept []byte, err error) {
	err = x.Journal.View(ctx, func(tx blobstore.ReadTx) (err error) {
		if v, err = x.viewHere(tx, id); err != nil {
			return err
		}
		key := keyKey(id)
		if v.small() {
			key = contentKey(id)
		}
		kept, err = tx.Get(key)
		return err
	})
	return v, kept, err
}

// viewHere is the transfer, if its document is to be here.
func (x *Exchange) viewHere(tx blobstore.ReadTx, id record.TransferID) (v View, err error) {
	t, err := getItem(tx, id)
	if err != nil {
		return v, err
	}
	if v, err = x.view(tx, t); err == nil {
		err = v.checkHere()
	}
	return v, err
}

// checkHere tells whether the document is here, and if not, why.
func (v View) checkHere() error {
	switch {
	case v.Kind == record.Notarized:
		return record.Errorf(record.NotFound, "a notarisation keeps no document")
	case v.bare():
		return record.Errorf(record.Gone, "the %s is not here any more: it was erased on %s, with all that says what it was",
			v.Kind, time.UnixMilli(v.Erased).UTC().Format(time.DateOnly))
	case v.Erased != 0:
		return record.WithHint(record.Errorf(record.Gone, "the %s is not here any more: it was erased on %s by %s",
			v.Kind, time.UnixMilli(v.Erased).UTC().Format(time.DateOnly), v.ErasedBy),
			"its records are: `dxd evidence "+v.ID.String()+"` still makes its evidence")
	case v.State == Receiving || v.Direction == In && v.State == Cancelled:
		return record.WithHint(record.Errorf(record.Conflict, "the %s is not here whole: the transfer is %s", v.Kind, v.State),
			"`dxd transfer "+v.ID.String()+"` shows how far it is")
	}
	return nil
}

// smallContent seals a body that lay in the journal into memory: what reads it
// need not know where it came from.
func (x *Exchange) smallContent(v View, body []byte) (*Content, error) {
	sealed, key, nonce, err := sealInMemory(body)
	if err != nil {
		return nil, err
	}
	v.SealedLength, v.BodyNonce = int64(len(sealed)), nonce
	return &Content{View: v, file: memoryFile{bytes.NewReader(sealed)}, key: key, seal: x.sealHeader}, nil
}

// sealHeader makes a header for our own recipient key.
func (x *Exchange) sealHeader(k crypto.FileKey) ([]byte, error) {
	return crypto.SealHeader(k, x.Keys.Recipient())
}

// Close lets go of the file. What Verified gave can't be read any more.
func (c *Content) Close() error {
	if c.digest != nil {
		c.digest.sum() // of a document that was not read to its end
		c.digest = nil
	}
	return c.file.Close()
}

// checkSize tells whether the file is as long as it was: whoever reads no further
// than the document does not see what stands behind it.
func (c *Content) checkSize() error {
	if n := c.file.Size(); n != c.SealedLength {
		return record.Errorf(record.Damaged, "the sealed file has %d bytes, not %d", n, c.SealedLength)
	}
	return nil
}

// At gives random access to the document. Each chunk is authenticated under
// the file key as it is read; the whole was hashed when it came, and is again
// by Verified.
func (c *Content) At() (io.ReaderAt, error) {
	if err := c.checkSize(); err != nil {
		return nil, err
	}
	r, size, err := crypto.OpenBodyAt(c.key, c.file, c.file.Size())
	if err == nil && size != c.Size {
		err = record.Errorf(record.Damaged, "the document has %d bytes, not %d", size, c.Size)
	}
	return r, err
}

// Verified reads the whole document and hashes it. The last bytes are held
// back until the digest is the one that was signed: what does not hold never
// comes whole.
func (c *Content) Verified() (io.Reader, error) {
	plain, err := c.Opened()
	if err != nil {
		return nil, err
	}
	c.digest = newDigester()
	return &verifiedReader{Content: c, plain: plain, left: c.Size}, nil
}

// Opened is Verified for a caller that compares the digest itself: each block is
// authenticated under the file key, and nothing is hashed or held back.
func (c *Content) Opened() (io.Reader, error) {
	if err := c.checkSize(); err != nil {
		return nil, err
	}
	return crypto.OpenBody(c.key, io.NewSectionReader(c.file, 0, c.file.Size()))
}

// Sealed reads the document as an age file for our own recipient key.
func (c *Content) Sealed() (io.Reader, int64, error) {
	header, err := c.seal(c.key)
	if err != nil {
		return nil, 0, err
	}
	body := io.NewSectionReader(c.file, 0, c.file.Size())
	return io.MultiReader(bytes.NewReader(header), body), int64(len(header)) + c.file.Size(), nil
}

// verifiedReader hands out the last block only after the digest was compared.
type verifiedReader struct {
	*Content
	plain io.Reader
	left  int64  // bytes of the document not read yet
	now   *block // that is being handed out, nil if none is
	ready []byte // of it
	err   error
}

func (r *verifiedReader) Read(p []byte) (int, error) {
	if len(r.ready) == 0 && r.err == nil {
		r.err = r.fill()
	}
	if len(r.ready) == 0 {
		return 0, r.err
	}
	n := copy(p, r.ready)
	r.ready = r.ready[n:]
	return n, nil
}

// fill reads the next block; with the last one the error is io.EOF.
func (r *verifiedReader) fill() error {
	if r.now != nil {
		r.digest.add(r.now) // all of it was handed out
	}
	b := newBlock()
	r.now = b
	b.n = int(min(chunkSize, r.left))
	if _, err := io.ReadFull(r.plain, b.bytes()); err != nil {
		return record.Errorf(record.Damaged, "couldn't open the document: %w", err)
	}
	r.left -= int64(b.n)
	if r.left == 0 {
		return r.last()
	}
	r.ready = b.bytes()
	return nil
}

// last compares the digest before the last block is handed out.
func (r *verifiedReader) last() error {
	if _, err := io.ReadFull(r.plain, make([]byte, 1)); err != io.EOF {
		return record.Errorf(record.Damaged, "the document does not end where it should")
	}
	copied := newBlock()
	copied.n = copy(copied.data[:], r.now.bytes())
	r.digest.add(copied)
	_, digest := r.digest.sum()
	r.digest = nil
	if digest != r.Digest {
		return record.Errorf(record.Damaged, "the document is not the one that was signed")
	}
	r.ready = r.now.bytes()
	return io.EOF
}
