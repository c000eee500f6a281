package client

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"hash"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"dxd/record"
)

// Content is a document on its way from the daemon.
type Content struct {
	Name   string        // "" if it has none that can name a file
	Size   int64         // bytes that will come
	Digest record.Digest // of the document; zero for a sealed one

	body io.ReadCloser
	hash hash.Hash // nil: not checked
	left int64
	err  error
}

// Content opens the document of a transfer. Its Read returns io.EOF only after
// all of it came and its SHA-256 is the one that the daemon announced;
// otherwise the error is of kind Damaged or Unreachable, and what came must be
// thrown away.
func (c *Client) Content(ctx context.Context, id record.TransferID) (*Content, error) {
	content, resp, err := c.content(ctx, id, url.Values{"hashed": {"false"}}) // it is here
	if err != nil {
		return nil, err
	}
	if content.Digest, err = reprDigest(resp.Header.Get("Repr-Digest")); err != nil {
		resp.Body.Close()
		return nil, err
	}
	content.hash = sha256.New()
	return content, nil
}

// SealedContent opens the document as an age file for the organisation's own
// recipient key. Only its length is checked here: the file authenticates itself.
func (c *Client) SealedContent(ctx context.Context, id record.TransferID) (*Content, error) {
	content, _, err := c.content(ctx, id, url.Values{"sealed": {"true"}})
	return content, err
}

func (c *Client) content(ctx context.Context, id record.TransferID, query url.Values) (*Content, *http.Response, error) {
	resp, err := c.do(ctx, call{method: http.MethodGet, path: []string{"transfers", id.String(), "content"}, query: query, within: c.patience})
	if err != nil {
		return nil, nil, err
	}
	if resp.ContentLength < 0 {
		resp.Body.Close()
		return nil, nil, record.Errorf(record.Unreachable, "the daemon's answer has no length")
	}
	name := fileName(resp.Header.Get("Content-Disposition"))
	return &Content{Name: name, Size: resp.ContentLength, body: resp.Body, left: resp.ContentLength}, resp, nil
}

// fileName is the name in a Content-Disposition (RFC 6266), if a file can have it.
func fileName(disposition string) string {
	_, params, err := mime.ParseMediaType(disposition)
	if err != nil || record.CheckName(params["filename"]) != nil {
		return ""
	}
	return params["filename"]
}

// reprDigest reads the SHA-256 of a Repr-Digest (RFC 9530, section 3).
func reprDigest(field string) (record.Digest, error) {
	for item := range strings.SplitSeq(field, ",") {
		encoded, ok := strings.CutPrefix(strings.TrimSpace(item), "sha-256=:")
		if !ok {
			continue
		}
		raw, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(encoded, ":"))
		if err == nil && len(raw) == sha256.Size {
			return record.Digest(raw), nil
		}
	}
	return record.Digest{}, record.Errorf(record.Unreachable, "the daemon's answer has no digest")
}

// Read reads the document; see Client.Content for its errors.
func (c *Content) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.body.Read(p)
	c.left -= int64(n)
	if c.hash != nil {
		c.hash.Write(p[:n])
	}
	switch {
	case err == io.EOF && c.left == 0:
		c.err = c.check()
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		c.err = err
	case err != nil:
		c.err = record.WithHint(record.Errorf(record.Unreachable, "the document did not come whole: %w", err),
			"the daemon's log says why; a damaged document is never handed out whole")
	}
	return n, c.err
}

// check is called at the end, with which all bytes have come.
func (c *Content) check() error {
	if c.hash != nil && record.Digest(c.hash.Sum(nil)) != c.Digest {
		return record.Errorf(record.Damaged, "the document has another SHA-256 than it should")
	}
	return io.EOF
}

// Close ends the request.
func (c *Content) Close() error { return c.body.Close() }
