package api

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// lingering is how long a caller may take to notice that its upload was
// refused in the middle.
const lingering = 5 * time.Second

// lingerOver answers a request so that its caller hears the answer also if it
// comes in the middle of the body: that the disk is full, for one. A server
// that closed the connection right behind such an answer would have some
// callers, who still write to it, see a broken connection and nothing else.
func lingerOver(w http.ResponseWriter, r *http.Request, h http.Handler) {
	if r.ContentLength == 0 {
		h.ServeHTTP(w, r)
		return
	}
	b := &upload{ReadCloser: r.Body}
	r.Body = b
	a := &uploadAnswer{ResponseWriter: w, body: b}
	h.ServeHTTP(a, r)
	if a.refusal == 0 {
		return
	}
	w.Header().Set("Connection", "close") // what follows on it is the rest of the body
	w.Header().Set("Content-Length", strconv.Itoa(a.text.Len()))
	w.WriteHeader(a.refusal)
	_, err := w.Write(a.text.Bytes())
	c := http.NewResponseController(w)
	if err == nil && c.Flush() == nil && c.SetReadDeadline(time.Now().Add(lingering)) == nil {
		_, _ = io.Copy(io.Discard, b.ReadCloser) // whatever ends it: the answer is out
	}
}

// upload is a request's body that knows how far it was read.
type upload struct {
	io.ReadCloser
	begun, over atomic.Bool
}

func (u *upload) Read(p []byte) (int, error) {
	u.begun.Store(true)
	n, err := u.ReadCloser.Read(p)
	if err != nil {
		u.over.Store(true)
	}
	return n, err
}

// isMiddle tells whether there may be more. Of a body that was not asked for,
// a caller may be waiting with the first byte.
func (u *upload) isMiddle() bool { return u.begun.Load() && !u.over.Load() }

// uploadAnswer keeps a refusal that comes in the middle of the body, which is
// short, until it is whole: it has to be told how long it is, since the request
// goes on behind it.
type uploadAnswer struct {
	http.ResponseWriter
	body    *upload
	refusal int // status, 0: none
	text    bytes.Buffer
}

func (a *uploadAnswer) WriteHeader(status int) {
	if a.body.isMiddle() && status >= 400 {
		a.refusal = status
		return
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *uploadAnswer) Write(p []byte) (int, error) {
	if a.refusal != 0 {
		return a.text.Write(p)
	}
	return a.ResponseWriter.Write(p)
}

func (a *uploadAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
