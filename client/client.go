// Package client is the Go SDK over the local API of a running daemon: the
// command line uses it, and so can any application on the same machine.
//
// It never touches a state directory, a key or the network between
// organisations, and it hands out no document as whole before its digest holds.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"dxd/api/apitype"
	"dxd/record"
)

// Config says where the API is.
type Config struct {
	// API is unix:PATH, http://host:port, https://host:port, or host:port,
	// which means http.
	API string
	// Token is the bearer token; a Unix socket needs none.
	Token string
}

// Client calls the API of one daemon. Its methods may be called by several
// goroutines. Their errors carry the kind and the hint that the daemon gave;
// a daemon that does not answer is of kind Unreachable.
type Client struct {
	http     *http.Client
	socket   string // path; "": over TCP
	base     string // scheme and host
	token    string
	patience time.Duration // for an answer's headers, where the daemon waits for nothing
}

// What bounds a call. Streams have no bound but their ctx.
const (
	dialTimeout     = 5 * time.Second
	answerTimeout   = time.Minute
	continueTimeout = 2 * time.Second // for the go-ahead before a body is sent
	maxAnswer       = 32 << 20        // bytes of JSON; a page of 1,000 transfers has 1 MB
	socketBuffer    = 4 << 20         // of a Unix socket: with the usual 208 KiB, caller and daemon mostly wait for each other
	maxIdle         = 128             // connections that are kept for the next calls; net/http would keep 2
)

// New makes a client; it does not connect yet.
func New(cfg Config) (*Client, error) {
	socket, base, err := parse(cfg.API)
	if err != nil {
		return nil, err
	}
	c := &Client{base: base, token: cfg.Token, socket: socket, patience: answerTimeout}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			conn, err := c.dial(ctx, addr)
			if err != nil {
				return nil, err
			}
			return watch(conn), nil
		},
		TLSHandshakeTimeout:   dialTimeout,
		ExpectContinueTimeout: continueTimeout,
		MaxIdleConnsPerHost:   maxIdle,
		IdleConnTimeout:       time.Minute,
		DisableCompression:    true, // lengths and digests are of the bytes as they are
	}
	c.http = &http.Client{
		Transport: transport,
		// A redirect could lead the token elsewhere; the API has none.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// dial connects to the daemon, over TCP at that address.
func (c *Client) dial(ctx context.Context, addr string) (net.Conn, error) {
	network := "tcp"
	if c.socket != "" {
		network, addr = "unix", c.socket
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, network, addr)
	if u, ok := conn.(*net.UnixConn); ok {
		_ = u.SetWriteBuffer(socketBuffer) // the kernel gives what it may
	}
	return conn, err
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// parse reads the address of an API. There is a socket if it is one.
func parse(api string) (socket, base string, err error) {
	if path, ok := strings.CutPrefix(api, "unix:"); ok && path != "" {
		return path, "http://localhost", nil
	}
	if !strings.Contains(api, "://") {
		api = "http://" + api
	}
	u, err := url.Parse(api)
	if err != nil || u.Host == "unix:" || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return "", "", record.WithHint(record.Errorf(record.Invalid, "not an address of an API: %q", record.Printable(api, 120)),
			"it looks like unix:PATH or http://127.0.0.1:8480")
	}
	return "", u.Scheme + "://" + u.Host, nil
}

// call is one request.
type call struct {
	method string
	path   []string // segments behind the prefix, unescaped
	query  url.Values
	header http.Header
	body   *body         // nil: none
	within time.Duration // for the answer's headers; 0: unbounded
}

func (c *Client) url(k call) string {
	u := c.base + apitype.Prefix
	for _, segment := range k.path {
		u += "/" + url.PathEscape(segment)
	}
	if len(k.query) > 0 {
		u += "?" + k.query.Encode()
	}
	return u
}

// errSlow is why a call was given up that had to be answered in time.
var errSlow = record.WithHint(record.Errorf(record.Unreachable, "the daemon did not answer in time"), "its log may say why")

// do sends the request and gives the answer if it is no error. The caller
// closes its body.
func (c *Client) do(ctx context.Context, k call) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	req, err := c.request(ctx, k)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	if k.within > 0 {
		timer := time.AfterFunc(k.within, func() { cancel(errSlow) })
		defer timer.Stop()
	}
	hand := c.http.Do
	if k.body != nil {
		f := k.body.offered()
		switch {
		case k.body.size < 0:
			hand = c.send
		case f != nil && c.socket != "":
			hand = c.offer(f)
		}
	}
	resp, err := hand(req)
	if err != nil {
		err = c.failed(ctx, k, err)
		cancel(nil)
		return nil, err
	}
	resp.Body = &cancelledBody{resp.Body, cancel}
	if resp.StatusCode/100 != 2 {
		defer resp.Body.Close()
		return nil, problem(resp)
	}
	return resp, nil
}

func (c *Client) request(ctx context.Context, k call) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, k.method, c.url(k), nil)
	if err != nil {
		return nil, record.Errorf(record.Invalid, "couldn't make a request: %w", err)
	}
	for name, values := range k.header {
		req.Header[name] = values
	}
	if k.body != nil {
		if err := k.body.attach(req); err != nil {
			return nil, err
		}
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return req, nil
}

// cancelledBody frees what belongs to a request when its answer is closed.
type cancelledBody struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

func (b *cancelledBody) Close() error {
	defer b.cancel(nil)
	return b.ReadCloser.Close()
}

// failed says why there was no answer: the caller gave up, its document could
// not be read, or the daemon is not there.
func (c *Client) failed(ctx context.Context, k call, err error) error {
	if k.body != nil {
		if bodyErr := k.body.failure(); bodyErr != nil {
			return bodyErr
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) { // its text holds the whole URL, with the document's name
		err = wrapped.Err
	}
	return record.WithHint(record.Errorf(record.Unreachable, "the daemon does not answer: %w", err), "is `dxd run` running?")
}

// problem reads an error that the daemon sent.
func problem(resp *http.Response) error {
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		raw = nil
	}
	return problemError(raw, resp.Status)
}

// problemError makes an error of a Problem; what says where it came from.
func problemError(raw []byte, what string) error {
	var p apitype.Problem
	if err := json.Unmarshal(raw, &p); err != nil || p.Kind == "" || p.Detail == "" {
		return record.WithHint(record.Errorf(record.Internal, "an answer that is not of the API: %s", record.Printable(what, 80)),
			"is there something else at this address?")
	}
	return errorOf(p)
}

// errorOf is what the daemon says went wrong, as an error.
func errorOf(p apitype.Problem) error {
	failure := record.Errorf(record.ParseKind(p.Kind), "%s", record.Printable(p.Detail, 2000))
	if p.Hint != "" {
		failure = record.WithHint(failure, record.Printable(p.Hint, 2000))
	}
	return failure
}

// get calls a route and decodes its JSON.
func get[T any](ctx context.Context, c *Client, query url.Values, path ...string) (T, error) {
	return decode[T](c.do(ctx, call{method: http.MethodGet, path: path, query: query, within: c.patience}))
}

// post calls a route with JSON, or with nothing if in is nil.
func post[T any](ctx context.Context, c *Client, within time.Duration, in any, path ...string) (T, error) {
	return send[T](ctx, c, http.MethodPost, within, in, path...)
}

// send is post with any method.
func send[T any](ctx context.Context, c *Client, method string, within time.Duration, in any, path ...string) (T, error) {
	k := call{method: method, path: path, within: within}
	if in != nil {
		if err := k.json(in); err != nil {
			var zero T
			return zero, err
		}
	}
	return decode[T](c.do(ctx, k))
}

// json makes v the body.
func (k *call) json(v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return record.Errorf(record.Invalid, "couldn't encode a request: %w", err)
	}
	k.header = http.Header{"Content-Type": {"application/json"}}
	k.body = jsonBody(raw)
	return nil
}

// decode reads the JSON of an answer. Names that a newer daemon added are ignored.
func decode[T any](resp *http.Response, err error) (T, error) {
	var v T
	if err != nil {
		return v, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&v); err != nil {
		var zero T
		return zero, record.Errorf(record.Unreachable, "couldn't read the daemon's answer: %w", err)
	}
	return v, nil
}
