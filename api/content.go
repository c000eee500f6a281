package api

import (
	"bufio"
	"cmp"
	"context"
	"encoding/base64"
	"io"
	"mime"
	"net/http"
	"strconv"

	"dxd/exchange"
	"dxd/record"
)

type contentInput struct {
	ID     string `path:"id"`
	Sealed bool   `query:"sealed" doc:"As an age file for the organisation's own recipient key"`
	Hashed bool   `query:"hashed" default:"true" doc:"Whether the last bytes wait until the digest is the one that was signed. A caller that says false compares Repr-Digest itself"`
	request
}

// content hands out the document. What turns out to be damaged on the way ends
// the connection, so that no caller takes it for whole.
func (a *API) content(ctx context.Context, in *contentInput) (func(http.ResponseWriter), error) {
	id, err := record.ParseTransferID(in.ID)
	if err != nil {
		return nil, err
	}
	c, err := a.Exchange.Content(ctx, id)
	if err != nil {
		return nil, err
	}
	d, err := a.download(c, in)
	if err != nil {
		c.Close()
		a.noteDamage(err)
		return nil, err
	}
	return func(w http.ResponseWriter) {
		defer c.Close()
		a.serve(w, in.r, d)
	}, nil
}

// download is what an answer consists of.
type download struct {
	status int
	header http.Header
	length int64
	body   io.Reader
}

func (a *API) download(c *exchange.Content, in *contentInput) (download, error) {
	if in.Sealed {
		return sealed(c)
	}
	d := download{status: http.StatusOK, header: describe(c), length: c.Size}
	part, err := parseRange(in.r, c.Size, d.header.Get("ETag"))
	if err != nil {
		return unsatisfiable(c.Size), nil
	}
	if part.whole(c.Size) {
		d.body, err = whole(c, in.Hashed)
	} else {
		d.body, err = section(c, part)
		d.length = part.length
	}
	if part.asked {
		d.status = http.StatusPartialContent
		d.header.Set("Content-Range", part.contentRange(c.Size))
	}
	return d, err
}

// describe makes the headers that every answer about a document has.
func describe(c *exchange.Content) http.Header {
	return http.Header{
		"Content-Type":            {harmless(c.MediaType)},
		"Content-Disposition":     {disposition(fileName(c))},
		"Content-Security-Policy": {"default-src 'none'; sandbox"},
		"Accept-Ranges":           {"bytes"},
		"Etag":                    {`"` + c.Digest.Hex() + `"`},
		"Repr-Digest":             {"sha-256=:" + base64.StdEncoding.EncodeToString(c.Digest[:]) + ":"}, // RFC 9530, section 3
	}
}

// fileName is what a browser should call the download. A message has no name.
func fileName(c *exchange.Content) string { return cmp.Or(c.Name, c.ID.String()) }

// disposition keeps a browser from showing the document. The name goes in the
// encoding of RFC 8187 where it is not plain ASCII (RFC 6266, section 4.3).
func disposition(name string) string {
	return mime.FormatMediaType("attachment", map[string]string{"filename": name})
}

// harmless is the media type under which a document goes out. The partner
// chose it, so a type in which a page or a script could come is not kept.
func harmless(mediaType string) string {
	kind, _, err := mime.ParseMediaType(mediaType)
	if err != nil {
		return "application/octet-stream"
	}
	switch kind {
	case "application/json", "application/pdf", "application/zip", "image/gif", "image/jpeg", "image/png", "text/csv", "text/plain":
		return kind
	}
	return "application/octet-stream"
}

// whole reads the whole document. Its beginning is read before the answer
// begins: where that is damaged already, the caller still gets a proper error.
func whole(c *exchange.Content, hashed bool) (io.Reader, error) {
	open := c.Opened
	if hashed {
		open = c.Verified
	}
	r, err := open()
	if err != nil {
		return nil, err
	}
	ahead := bufio.NewReader(r)
	if _, err := ahead.Peek(1); err != nil && err != io.EOF {
		return nil, err
	}
	return ahead, nil
}

func section(c *exchange.Content, part byteRange) (io.Reader, error) {
	at, err := c.At()
	if err != nil {
		return nil, err
	}
	return io.NewSectionReader(at, part.start, part.length), nil
}

func sealed(c *exchange.Content) (download, error) {
	r, size, err := c.Sealed()
	return download{status: http.StatusOK, length: size, body: r, header: http.Header{
		"Content-Type":        {"application/octet-stream"},
		"Content-Disposition": {disposition(fileName(c) + ".age")},
	}}, err
}

func unsatisfiable(size int64) download {
	return download{status: http.StatusRequestedRangeNotSatisfiable, header: http.Header{
		"Content-Range": {"bytes */" + strconv.FormatInt(size, 10)},
	}}
}

// socketBuffer is what is sent of a document over a Unix socket before it is
// read. With the usual 208 KiB, daemon and caller mostly wait for each other.
const socketBuffer = 4 << 20

func (a *API) serve(w http.ResponseWriter, r *http.Request, d download) {
	if c, ok := r.Context().Value(connKey{}).(*socketConn); ok && d.length > socketBuffer {
		_ = c.SetWriteBuffer(socketBuffer) // the kernel gives what it may
	}
	for name, values := range d.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", strconv.FormatInt(d.length, 10))
	w.WriteHeader(d.status)
	if r.Method == http.MethodHead || d.body == nil {
		return
	}
	n, err := io.Copy(w, d.body)
	if err == nil && n == d.length {
		return
	}
	a.noteDamage(err)
	panic(http.ErrAbortHandler) // ends the connection: the caller must not take this for whole
}

func (a *API) noteDamage(err error) {
	if record.KindOf(err) == record.Damaged {
		a.Log.Error("a document is damaged on our own disk", "error", err)
	}
}
