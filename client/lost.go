package client

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"
)

// The transport notices when the daemon has gone, but then it waits for the
// read of the request's body that is under way; and that of a pipe may take for
// ever. So whoever sends one watches the connection, too.

// watched is a connection that says when nothing more can be read from it.
type watched struct {
	net.Conn
	once sync.Once
	gone chan struct{} // closed then
}

func watch(c net.Conn) *watched { return &watched{Conn: c, gone: make(chan struct{})} }

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if err != nil {
		w.once.Do(func() { close(w.gone) })
	}
	return n, err
}

// goneOf is the channel of the connection that a request goes over.
func goneOf(c net.Conn) <-chan struct{} {
	if over, ok := c.(*tls.Conn); ok {
		c = over.NetConn()
	}
	if w, ok := c.(*watched); ok {
		return w.gone
	}
	return nil
}

// answered is what came of a request.
type answered struct {
	resp *http.Response
	err  error
}

// lastAnswer is how long an answer may take that came before the connection
// was gone.
const lastAnswer = time.Second

// send is http.Client.Do for a request whose body may keep it waiting: it does
// not outlive the connection. The read of the body that is under way does.
func (c *Client) send(req *http.Request) (*http.Response, error) {
	over := make(chan (<-chan struct{}), 16) // a request changes its connection less often
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			select {
			case over <- goneOf(info.Conn):
			default:
			}
		},
	}))
	got := make(chan answered, 1)
	go func() { // ends with the read of the body, at the latest
		resp, err := c.http.Do(req)
		got <- answered{resp, err}
	}()
	var gone <-chan struct{}
	var late <-chan time.Time
	for {
		select {
		case gone = <-over: // the one before may have been gone already
			late = nil
		case <-gone:
			gone, late = nil, time.After(lastAnswer)
		case a := <-got:
			return a.resp, a.err
		case <-late:
			go discard(got)
			return nil, io.ErrUnexpectedEOF
		}
	}
}

// discard closes an answer that nobody wants any more.
func discard(got <-chan answered) {
	if a := <-got; a.resp != nil {
		a.resp.Body.Close() // it was not read
	}
}
