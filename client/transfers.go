package client

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"dxd/api/apitype"
	"dxd/record"
)

// Submission is a document or a message to be sent.
type Submission struct {
	To        []string      // aliases
	Name      string        // a message has none
	Type      string        // media type; "application/octet-stream" if empty
	RequestID string        // makes the call idempotent, if not empty
	Expires   time.Duration // when delivery is given up; 0: the daemon's default
	Stream    bool          // send a document on while it is read
}

// Send hands a document over. size is its length in bytes, -1 if not known; a
// document of another length is refused. When Send returns without an error
// the document is queued, and survives a crash of the daemon. When it returns
// with one, a read of the document may be under way for a moment yet.
//
// With Stream, recipients get the document while it is read. If it can't be
// read to its end, nothing of it is left with them.
func (c *Client) Send(ctx context.Context, s Submission, document io.Reader, size int64) (apitype.Submitted, error) {
	query := url.Values{"to": s.To, "name": {s.Name}}
	if s.Stream {
		query.Set("stream", "true")
	}
	return s.submit(ctx, c, query, document, size, "transfers")
}

// SendMessage is Send for a message of at most 16 MiB. Messages to a partner
// arrive in the order in which these calls returned.
func (c *Client) SendMessage(ctx context.Context, s Submission, message io.Reader, size int64) (apitype.Submitted, error) {
	return s.submit(ctx, c, url.Values{"to": s.To}, message, size, "messages")
}

func (s Submission) submit(ctx context.Context, c *Client, query url.Values, body io.Reader, size int64, path string) (apitype.Submitted, error) {
	if s.RequestID != "" {
		query.Set("request_id", s.RequestID)
	}
	if s.Expires != 0 {
		query.Set("expires", s.Expires.String())
	}
	return upload[apitype.Submitted](ctx, c, query, s.Type, body, size, path)
}

// Notarize anchors a salted commitment to a document, which is sent to no one
// and not kept. size is as for Send.
func (c *Client) Notarize(ctx context.Context, name, mediaType string, document io.Reader, size int64) (apitype.Notarized, error) {
	return upload[apitype.Notarized](ctx, c, url.Values{"name": {name}}, mediaType, document, size, "notarizations")
}

func upload[T any](ctx context.Context, c *Client, query url.Values, mediaType string, document io.Reader, size int64, path string) (T, error) {
	if mediaType == "" {
		mediaType = "application/octet-stream"
	}
	return decode[T](c.do(ctx, call{
		method: http.MethodPost, path: []string{path}, query: query,
		header: http.Header{"Content-Type": {mediaType}}, body: newBody(document, size),
	}))
}

// Filter says which transfers to list. Zero values mean all.
type Filter struct {
	Direction string // "in", "out", "none"
	Partner   string // alias, or the organisation's identifier
	State     string
	Limit     int               // 100 if 0
	After     record.TransferID // begin with the next older one
}

// Transfers lists transfers, newest first.
func (c *Client) Transfers(ctx context.Context, f Filter) ([]apitype.Transfer, error) {
	query := url.Values{}
	for name, value := range map[string]string{"direction": f.Direction, "partner": f.Partner, "state": f.State} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if f.Limit != 0 {
		query.Set("limit", strconv.Itoa(f.Limit))
	}
	if !f.After.IsZero() {
		query.Set("after", f.After.String())
	}
	return get[[]apitype.Transfer](ctx, c, query, "transfers")
}

// Transfer finds one transfer or notarisation.
func (c *Client) Transfer(ctx context.Context, id record.TransferID) (apitype.Transfer, error) {
	return get[apitype.Transfer](ctx, c, nil, "transfers", id.String())
}

// How long the daemon holds one question of Wait.
const (
	longPoll     = 30 * time.Second
	progressPoll = 500 * time.Millisecond
)

// Wait returns once the transfer has reached the goal (queued, delivered,
// accepted or anchored) or a later state, or can't any more since it failed or
// was refused: look at its state. If seen is not
// nil, it is called with how far the transfer is, about twice a second. When
// ctx expires the error is of kind Timeout; the transfer goes on.
func (c *Client) Wait(ctx context.Context, id record.TransferID, goal string, seen func(apitype.Transfer)) (apitype.Transfer, error) {
	poll := longPoll
	if seen != nil {
		poll = progressPoll
	}
	query := url.Values{"wait": {goal}, "timeout": {poll.String()}}
	for {
		t, err := decode[apitype.Transfer](c.do(ctx, call{
			method: http.MethodGet, path: []string{"transfers", id.String()}, query: query, within: poll + c.patience,
		}))
		if ctx.Err() != nil {
			return t, ctx.Err()
		}
		if err == nil || record.KindOf(err) != record.Timeout {
			return t, err
		}
		if seen == nil {
			continue
		}
		if t, err = c.Transfer(ctx, id); err != nil {
			return t, err
		}
		seen(t)
	}
}

// Cancel stops a transfer that is not delivered yet.
func (c *Client) Cancel(ctx context.Context, id record.TransferID) (apitype.Transfer, error) {
	return post[apitype.Transfer](ctx, c, c.patience, nil, "transfers", id.String(), "cancel")
}

// Accept says for good that the application accepts what it received; the
// sender gets a signed receipt. The application's string means nothing to dxd,
// and comes to the sender as it is: UTF-8 of up to record.MaxApplication bytes,
// or "". The same once more changes nothing.
func (c *Client) Accept(ctx context.Context, id record.TransferID, application string) (apitype.Transfer, error) {
	return c.say(ctx, nil, application, id, "accept")
}

// Refuse says for good that the application refuses what it received, with a
// reason for the people on the other side. The string is as for Accept.
func (c *Client) Refuse(ctx context.Context, id record.TransferID, reason, application string) (apitype.Transfer, error) {
	return c.say(ctx, url.Values{"reason": {reason}}, application, id, "refuse")
}

func (c *Client) say(ctx context.Context, query url.Values, application string, id record.TransferID, word string) (apitype.Transfer, error) {
	return decode[apitype.Transfer](c.do(ctx, call{
		method: http.MethodPost, path: []string{"transfers", id.String(), word}, query: query, within: c.patience,
		header: http.Header{"Content-Type": {"application/octet-stream"}}, body: newBody(strings.NewReader(application), int64(len(application))),
	}))
}

// maxEvidence is more than an evidence file ever has.
const maxEvidence = 16 << 20

// Evidence gives the evidence file of a transfer or notarisation.
func (c *Client) Evidence(ctx context.Context, id record.TransferID) ([]byte, error) {
	return c.file(ctx, maxEvidence, "transfers", id.String(), "evidence")
}

// ProvenEvidence gives it with state proofs, so that it can be checked down to
// a block's hash with no network.
func (c *Client) ProvenEvidence(ctx context.Context, id record.TransferID) ([]byte, error) {
	return c.whole(ctx, maxEvidence, call{
		method: http.MethodGet, path: []string{"transfers", id.String(), "evidence"}, query: url.Values{"state_proof": {"true"}}, within: c.patience,
	})
}

// file reads an answer as it is.
func (c *Client) file(ctx context.Context, limit int64, path ...string) ([]byte, error) {
	return c.fileBy(ctx, http.MethodGet, limit, path...)
}

func (c *Client) fileBy(ctx context.Context, method string, limit int64, path ...string) ([]byte, error) {
	return c.whole(ctx, limit, call{method: method, path: path, within: c.patience})
}

func (c *Client) whole(ctx context.Context, limit int64, of call) ([]byte, error) {
	resp, err := c.do(ctx, of)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err == nil && int64(len(raw)) > limit {
		err = record.Errorf(record.Invalid, "more than %d bytes", limit)
	}
	if err != nil {
		return nil, record.Errorf(record.Unreachable, "couldn't read the daemon's answer: %w", err)
	}
	return raw, nil
}
