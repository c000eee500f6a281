package api

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// defaultLinger is how long a body may take to come that nobody waits for.
const defaultLinger = 5 * time.Second

// lingerOver answers a request so that a body which was not read to its end
// neither hides the answer nor keeps the connection. Left to itself, a server
// reads some of it before it answers, however long that takes: whoever announces
// a body and sends a byte a minute would hold a connection for ever, without a
// token. And one that closed the connection right behind a refusal, that the
// disk is full for one, would have some callers, who still write to it, see a
// broken connection and nothing else.
func lingerOver(w http.ResponseWriter, r *http.Request, h http.Handler, patience time.Duration) {
	if r.ContentLength == 0 {
		h.ServeHTTP(w, r)
		return
	}
	b := &upload{ReadCloser: r.Body, waits: r.Header.Get("Expect") != ""}
	r = r.WithContext(r.Context()) // the server keeps the body as it knows it
	r.Body = b
	a := &uploadAnswer{ResponseWriter: w, body: b, patience: patience}
	h.ServeHTTP(a, r)
	if !a.begun {
		a.WriteHeader(http.StatusOK)
	}
	if a.refusal == 0 {
		return
	}
	w.Header().Set("Connection", "close") // what follows on it is the rest of the body
	w.Header().Set("Content-Length", strconv.Itoa(a.text.Len()))
	w.WriteHeader(a.refusal)
	_, err := w.Write(a.text.Bytes())
	c := http.NewResponseController(w)
	if err == nil && c.Flush() == nil && c.SetReadDeadline(time.Now().Add(patience)) == nil {
		_, _ = io.Copy(io.Discard, b.ReadCloser) // whatever ends it: the answer is out
	}
}

// upload is a request's body that knows whether it was read to its end.
type upload struct {
	io.ReadCloser
	waits       bool // its sender, to be asked for it
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

// uploadAnswer keeps a refusal that comes before the end of the body, which is
// short, until it is whole: it has to be told how long it is, since the request
// goes on behind it.
type uploadAnswer struct {
	http.ResponseWriter
	body     *upload
	patience time.Duration // for the rest of the body
	begun    bool
	refusal  int // status, 0: none
	text     bytes.Buffer
}

func (a *uploadAnswer) WriteHeader(status int) {
	if status < 200 || a.begun { // there is more to come, or it is too late
		a.ResponseWriter.WriteHeader(status)
		return
	}
	a.begun = true
	if !a.body.over.Load() && status >= 400 {
		a.refusal = status
		return
	}
	a.passOver()
	a.ResponseWriter.WriteHeader(status)
}

// maxPassedOver is how much of a body that was of no use is read for the sake
// of its connection.
const maxPassedOver = 256 << 10

// passOver reads what is left of a body that nobody asked for. Where that does
// not end soon, the connection ends with the answer.
func (a *uploadAnswer) passOver() {
	if a.body.over.Load() {
		return
	}
	c := http.NewResponseController(a.ResponseWriter)
	unasked := a.body.waits && !a.body.begun.Load() // reading would ask for it
	if !unasked && c.SetReadDeadline(time.Now().Add(a.patience)) == nil {
		_, err := io.CopyN(io.Discard, a.body.ReadCloser, maxPassedOver)
		if err == io.EOF && c.SetReadDeadline(time.Time{}) == nil {
			return
		}
	}
	a.Header().Set("Connection", "close")
}

func (a *uploadAnswer) Write(p []byte) (int, error) {
	if !a.begun {
		a.WriteHeader(http.StatusOK)
	}
	if a.refusal != 0 {
		return a.text.Write(p)
	}
	return a.ResponseWriter.Write(p)
}

// FlushError sends what there is of an answer; a refusal goes out whole.
func (a *uploadAnswer) FlushError() error {
	if !a.begun {
		a.WriteHeader(http.StatusOK)
	}
	if a.refusal != 0 {
		return nil
	}
	return http.NewResponseController(a.ResponseWriter).Flush()
}

func (a *uploadAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
