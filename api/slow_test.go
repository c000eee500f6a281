package api_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dxd/api"
)

// knock opens a connection over TCP and writes to it what a stranger may.
func (h *house) knock(t *testing.T, said string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", h.tcp)
	check(t, err)
	t.Cleanup(func() { conn.Close() })
	check(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	_, err = io.WriteString(conn, said)
	check(t, err)
	return conn
}

// ends reads until the other side closes the connection, or fails.
func ends(t *testing.T, what string, conn net.Conn) {
	t.Helper()
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%s: the connection stays", what)
	}
}

// TestABodyThatNeverComesKeepsNoConnection announces bodies, without a token and
// with one, and sends one byte of each.
func TestABodyThatNeverComesKeepsNoConnection(t *testing.T) {
	h := newHouseOf(t, bounds{linger: 100 * time.Millisecond})
	cases := map[string]struct {
		path, token, framing string
		status               int
	}{
		"without a token":             {"/v1/transfers?to=bob&name=x", "", "Content-Length: 1000", 401},
		"without a token, chunked":    {"/v1/transfers?to=bob&name=x", "", "Transfer-Encoding: chunked", 401},
		"with the wrong scope":        {"/v1/transfers?to=bob&name=x", readToken, "Content-Length: 1000", 403},
		"to nowhere":                  {"/v1/secrets", adminToken, "Content-Length: 1000", 404},
		"under another name":          {"/v1/transfers?to=bob&name=x", adminToken, "Origin: https://evil.example\r\nContent-Length: 1000", 403},
		"where none is due":           {"/v1/transfers/0190b8f0-3c5e-7abc-8def-0123456789ab/cancel", adminToken, "Content-Length: 1000", 404},
		"of a document for nobody":    {"/v1/transfers?to=nobody&name=x", adminToken, "Content-Length: 1000", 403},
		"that nobody asked for":       {"/v1/health", "", "Content-Length: 1000", 200},
		"of a document without names": {"/v1/transfers?to=bob", adminToken, "Content-Length: 1000", 400},
	}
	conns := map[string]net.Conn{}
	for what, v := range cases {
		method, first := "POST", "x"
		if v.status == 200 {
			method = "GET"
		}
		if strings.Contains(v.framing, "chunked") {
			first = "3e8\r\nx"
		}
		conns[what] = h.knock(t, fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n%s\r\n\r\n%s", method, v.path, h.tcp, v.token, v.framing, first))
	}
	for what, conn := range conns {
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Errorf("%s: no answer: %v", what, err)
			continue
		}
		resp.Body.Close()
		if resp.StatusCode != cases[what].status {
			t.Errorf("%s: %s, not %d", what, resp.Status, cases[what].status)
		}
		ends(t, what, conn)
	}
}

// TestMalformedRequestsAreAnsweredOrCutOff speaks what is no HTTP, and HTTP that
// two readers could read in two ways.
func TestMalformedRequestsAreAnsweredOrCutOff(t *testing.T) {
	h := newHouse(t)
	host := "Host: " + h.tcp + "\r\n"
	token := "Authorization: Bearer " + adminToken + "\r\n"
	for what, said := range map[string]string{
		"noise":                       "\x00\x16\x03\x01\xff\xfe\r\n\r\n",
		"a TLS hello":                 "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"the preface of HTTP/2":       "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"HTTP of before the headers":  "GET /v1/partners\r\n\r\n",
		"no host":                     "GET /v1/partners HTTP/1.1\r\n" + token + "\r\n",
		"two hosts":                   "GET /v1/partners HTTP/1.1\r\n" + host + "Host: evil.example\r\n" + token + "\r\n",
		"another host in its target":  "GET http://evil.example/v1/partners HTTP/1.1\r\n" + host + token + "\r\n",
		"a tunnel":                    "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n",
		"two lengths":                 "POST /v1/partners HTTP/1.1\r\n" + host + token + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
		"a negative length":           "POST /v1/partners HTTP/1.1\r\n" + host + token + "Content-Length: -1\r\n\r\n",
		"a length that is no number":  "POST /v1/partners HTTP/1.1\r\n" + host + token + "Content-Length: 0x10\r\n\r\n",
		"an encoding that is none":    "POST /v1/partners HTTP/1.1\r\n" + host + token + "Transfer-Encoding: chunked, identity\r\n\r\n",
		"a chunk of nonsense":         "POST /v1/partners HTTP/1.1\r\n" + host + token + "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
		"a chunk beyond all bounds":   "POST /v1/partners HTTP/1.1\r\n" + host + token + "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
		"a header without a colon":    "GET /v1/partners HTTP/1.1\r\n" + host + token + "nothing\r\n\r\n",
		"a NUL in a header":           "GET /v1/partners HTTP/1.1\r\n" + host + token + "X: a\x00b\r\n\r\n",
		"a target that is no path":    "GET v1/partners HTTP/1.1\r\n" + host + token + "\r\n",
		"a target that is cut off":    "GET /v1/partners%2 HTTP/1.1\r\n" + host + token + "\r\n",
		"a path that climbs":          "GET /v1/../../etc/passwd HTTP/1.1\r\n" + host + token + "\r\n",
		"a token twice":               "GET /v1/partners HTTP/1.1\r\n" + host + "Authorization: Bearer x\r\n" + token + "\r\n",
		"a token of another scheme":   "GET /v1/partners HTTP/1.1\r\n" + host + "Authorization: Basic " + adminToken + "\r\n\r\n",
		"a token in the target":       "GET /v1/partners?token=" + adminToken + " HTTP/1.1\r\n" + host + "\r\n",
		"a token without end":         "GET /v1/partners HTTP/1.1\r\n" + host + "Authorization: Bearer " + strings.Repeat("x", 20_000) + "\r\n\r\n",
		"a question before it may":    "OPTIONS /v1/partners HTTP/1.1\r\n" + host + "Origin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\n\r\n",
		"an upgrade to something":     "GET /v1/events HTTP/1.1\r\n" + host + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		"thousands of small headers":  "GET /v1/health HTTP/1.1\r\n" + host + strings.Repeat("a: b\r\n", 10_000) + "\r\n",
		"thousands of small trailers": "POST /v1/transfers HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("a: b\r\n", 10_000) + "\r\n",
	} {
		conn := h.knock(t, said)
		_ = conn.(*net.TCPConn).CloseWrite() // unless it was cut off already
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err == nil && (resp.StatusCode/100 == 2 || resp.Header.Get("Access-Control-Allow-Origin") != "" || resp.Header.Get("Location") != "") {
			t.Errorf("%s: answered with %s, %v", what, resp.Status, resp.Header)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: no end", what)
		}
		conn.Close()
	}
	if left := h.list(); len(left) != 0 || h.files() != 0 {
		t.Errorf("%d transfers and %d files are left", len(left), h.files())
	}
}

// TestWhoeverKnocksWithoutEndTakesNoMoreThanSoManyConnections floods a listener
// with connections that say nothing: they end, and who has something to say
// comes through.
func TestWhoeverKnocksWithoutEndTakesNoMoreThanSoManyConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound, knocks, silence = 8, 100, time.Second
		var most, open atomic.Int64
		door := doorway{make(chan net.Conn, knocks+1), make(chan struct{})}
		ctx, stop := context.WithCancel(t.Context())
		var served sync.WaitGroup
		served.Go(func() {
			expect(t, api.Server{
				Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }),
				Log:     slog.New(slog.DiscardHandler), HeaderTimeout: silence, Connections: bound,
			}.Serve(ctx, counted{door, &open, &most}))
		})
		defer served.Wait()
		defer stop()
		for range knocks {
			defer door.knock().Close()
		}
		begun := time.Now()
		web := &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) { return door.knock(), nil }}
		resp, err := web.RoundTrip(httptest.NewRequest("GET", "http://localhost/", nil).WithContext(t.Context()))
		check(t, err)
		resp.Body.Close()
		if resp.StatusCode != http.StatusNoContent {
			t.Errorf("answered with %s", resp.Status)
		}
		if n := most.Load(); n > bound || n == 0 {
			t.Errorf("%d connections were open at a time", n)
		}
		if took := time.Since(begun); took > (knocks/bound+1)*silence {
			t.Errorf("answered after %s", took)
		}
	})
}

// doorway is a listener in memory.
type doorway struct {
	came   chan net.Conn
	closed chan struct{}
}

// knock gives the near end of a connection to it.
func (d doorway) knock() net.Conn {
	near, far := net.Pipe()
	d.came <- far
	return near
}

func (d doorway) Accept() (net.Conn, error) {
	select {
	case c := <-d.came:
		return c, nil
	case <-d.closed:
		return nil, net.ErrClosed
	}
}

func (d doorway) Close() error {
	close(d.closed)
	return nil
}

func (doorway) Addr() net.Addr { return &net.TCPAddr{} }

// counted counts the connections of a listener.
type counted struct {
	net.Listener
	open, most *atomic.Int64
}

func (c counted) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		n := c.open.Add(1)
		for was := c.most.Load(); n > was && !c.most.CompareAndSwap(was, n); was = c.most.Load() {
		}
		conn = &countedConn{conn, sync.OnceFunc(func() { c.open.Add(-1) })}
	}
	return conn, err
}

type countedConn struct {
	net.Conn
	gone func()
}

func (c *countedConn) Close() error {
	c.gone()
	return c.Conn.Close()
}
