package evm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/rpc"

	"dxd/record"
)

// maxAnswer bounds an endpoint's answer in bytes. The largest that is asked for
// is a block's header with the hashes of its transactions.
const maxAnswer = 4 << 20

// retryAfter is how long an endpoint that failed is asked last.
const retryAfter = 30 * time.Second

// endpoint is one JSON-RPC server. It is not trusted: it may be slow, answer
// without end, or lie.
type endpoint struct {
	name     string // scheme and host: all that is ever printed of its URL
	rpc      *rpc.Client
	http     *http.Client // beneath rpc
	expected int64        // chain id, 0: any

	mu      sync.Mutex // guards what follows
	chainID int64      // as it answered, 0: not asked yet
	failed  time.Time  // when it last failed; zero if it has answered since
}

func newEndpoint(raw string, cfg Config) (*endpoint, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		// The text stays out of the message: it may hold a key.
		return nil, record.WithHint(record.Errorf(record.Invalid, "an endpoint's URL is not of the form http(s)://host…"),
			"endpoints speak JSON-RPC over HTTP; WebSocket and IPC are not supported")
	}
	web := newHTTPClient(cfg.Timeout)
	client, err := rpc.DialOptions(context.Background(), raw, rpc.WithHTTPClient(web))
	if err != nil {
		return nil, record.Errorf(record.Invalid, "couldn't use the endpoint %s://%s", u.Scheme, u.Host)
	}
	return &endpoint{name: u.Scheme + "://" + u.Host, rpc: client, http: web, expected: cfg.ChainID}, nil
}

func newHTTPClient(timeout time.Duration) *http.Client {
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		MaxIdleConnsPerHost:    2,
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: 64 << 10,
		ForceAttemptHTTP2:      true,
	}
	return &http.Client{
		Transport: bounded{transport},
		Timeout:   timeout, // of the whole request, body included
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // an answer from elsewhere is none
		},
	}
}

// bounded cuts answers at maxAnswer bytes, counted after decompression.
type bounded struct{ *http.Transport }

func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.Transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, left: maxAnswer}
	return resp, nil
}

type boundedBody struct {
	io.ReadCloser
	left int
}

var errTooLarge = errors.New("the answer is too large")

// Read fails for good at the limit. (It must not end with io.EOF: the RPC
// client drains bodies, and would take a cut answer for a whole one.)
func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLarge
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// nodeError is an error that the node itself reported, as against one on the
// way to it. Its text is the node's, made printable.
type nodeError struct{ text string }

func (e nodeError) Error() string { return e.text }

// call asks the endpoint. The error is of kind Unavailable, names the endpoint
// without what may be secret in its URL, and wraps a nodeError if the node
// answered with an error.
func (e *endpoint) call(ctx context.Context, result any, method string, args ...any) error {
	err := e.rpc.CallContext(ctx, result, method, args...)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return record.Errorf(record.Unavailable, "%s did not answer %s in time: %w", e.name, method, ctx.Err())
	}
	return record.Errorf(record.Unavailable, "%s, asked for %s: %w", e.name, method, plain(err))
}

// plain strips an error of the URL and of text that is not the node's to say.
func plain(err error) error {
	var urlErr *url.Error
	if errors.As(err, &urlErr) {
		err = urlErr.Err
		if urlErr.Timeout() {
			return errors.New("no answer in time")
		}
	}
	var httpErr rpc.HTTPError
	if errors.As(err, &httpErr) {
		return fmt.Errorf("HTTP status %d %s", httpErr.StatusCode, http.StatusText(httpErr.StatusCode))
	}
	var rpcErr rpc.Error
	if errors.As(err, &rpcErr) {
		return nodeError{record.Printable(rpcErr.Error(), 200)}
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return errors.New("the answer is not JSON")
	}
	return errors.New(record.Printable(err.Error(), 200))
}

// chain asks for the chain's id once, and refuses another than the configured
// one. After a failure it is asked anew: somebody else may answer by now.
func (e *endpoint) chain(ctx context.Context) (int64, error) {
	e.mu.Lock()
	known := e.chainID
	e.mu.Unlock()
	if known != 0 {
		return known, nil
	}
	var id quantity
	if err := e.call(ctx, &id, "eth_chainId"); err != nil {
		return 0, err
	}
	if id < 1 {
		return 0, record.Errorf(record.Unavailable, "%s does not say which chain it is on", e.name)
	}
	if e.expected != 0 && int64(id) != e.expected {
		return 0, record.WithHint(record.Errorf(record.Invalid, "%s answers for chain %d, not %d", e.name, id, e.expected),
			"compare anchor.rpc with anchor.chain_id")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.chainID = int64(id)
	return e.chainID, nil
}

// note remembers whether the endpoint answered.
func (e *endpoint) note(answered bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failed = time.Time{}
	if !answered {
		e.failed = time.Now()
		e.chainID = 0
	}
}

// ailing tells whether the endpoint failed a short while ago.
func (e *endpoint) ailing() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return !e.failed.IsZero() && time.Since(e.failed) < retryAfter
}
