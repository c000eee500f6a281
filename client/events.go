package client

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"

	"dxd/api/apitype"
	"dxd/record"
)

// EventFilter says where in the log of events to begin.
type EventFilter struct {
	// After is the number behind which to begin. nil: behind what the
	// subscription has acknowledged, or else before the oldest that is kept.
	After        *int64
	Subscription string // its name; "" for none
	Limit        int    // of a page: 100 if 0, no more than 1,000
}

func (f EventFilter) query() url.Values {
	query := url.Values{}
	if f.After != nil {
		query.Set("after", strconv.FormatInt(*f.After, 10))
	}
	if f.Subscription != "" {
		query.Set("subscription", f.Subscription)
	}
	if f.Limit != 0 {
		query.Set("limit", strconv.Itoa(f.Limit))
	}
	return query
}

// Events gives one page of events, the oldest first. Gone: some that were
// asked for are not kept any more.
func (c *Client) Events(ctx context.Context, f EventFilter) ([]apitype.Event, error) {
	return get[[]apitype.Event](ctx, c, f.query(), "events")
}

// Subscribe makes a subscription that begins behind the number, or, if after
// is nil, before the oldest event that is kept. One that is there already
// stays as it is.
func (c *Client) Subscribe(ctx context.Context, name string, after *int64) (apitype.Subscription, error) {
	return send[apitype.Subscription](ctx, c, http.MethodPut, c.patience, apitype.Subscribe{After: after}, "events", "subscriptions", name)
}

// Subscription finds one.
func (c *Client) Subscription(ctx context.Context, name string) (apitype.Subscription, error) {
	return get[apitype.Subscription](ctx, c, nil, "events", "subscriptions", name)
}

// Acknowledge says that the consumer is done with all events up to this one.
// When it returns without an error, the daemon never sends them again to it.
func (c *Client) Acknowledge(ctx context.Context, name string, seq int64) error {
	_, err := post[apitype.Subscription](ctx, c, c.patience, apitype.Ack{Seq: seq}, "events", "subscriptions", name, "ack")
	return err
}

// Subscriptions lists all, those that are furthest behind first.
func (c *Client) Subscriptions(ctx context.Context) ([]apitype.Subscription, error) {
	return get[[]apitype.Subscription](ctx, c, nil, "events", "subscriptions")
}

// Unsubscribe removes a subscription, and gives it as it was.
func (c *Client) Unsubscribe(ctx context.Context, name string) (apitype.Subscription, error) {
	return decode[apitype.Subscription](c.do(ctx, call{
		method: http.MethodDelete, path: []string{"events", "subscriptions", name}, within: c.patience,
	}))
}

// Between attempts to reach a daemon whose stream broke off.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
)

// Follow yields events as they come, in order, until ctx ends or the loop does.
// When the connection breaks off it connects again, as often as it takes, and
// goes on behind the last event that it yielded; lost, if not nil, is told why.
// An error ends it: that of the first connection, or one that no new attempt
// would change, such as a Conflict when another consumer of the subscription
// has taken over. The error of an ended ctx is the ctx's.
func (c *Client) Follow(ctx context.Context, f EventFilter, lost func(error)) iter.Seq2[apitype.Event, error] {
	return func(yield func(apitype.Event, error) bool) {
		l := listener{c: c, query: f.query(), pause: backoff.NewExponentialBackOff()}
		l.pause.InitialInterval, l.pause.MaxInterval = firstPause, longestPause
		for {
			err := l.listen(ctx, yield)
			switch {
			case errors.Is(err, errStopped):
				return
			case ctx.Err() != nil:
				yield(apitype.Event{}, ctx.Err())
				return
			case !l.connected || !isPassing(err):
				yield(apitype.Event{}, err)
				return
			}
			if lost != nil {
				lost(err)
			}
			select {
			case <-time.After(l.pause.NextBackOff()):
			case <-ctx.Done():
			}
		}
	}
}

// errStopped says that whoever loops over events wants no more.
var errStopped = errors.New("no more events are wanted")

// isPassing tells whether a new attempt may have another end.
func isPassing(err error) bool {
	switch record.KindOf(err) {
	case record.Unreachable, record.Unavailable, record.Quota: // of streams: the one that broke off may still count
		return true
	}
	return false
}

// listener is a consumer across its connections.
type listener struct {
	c         *Client
	query     url.Values
	pause     *backoff.ExponentialBackOff
	connected bool   // ever
	last      string // number of the event that was yielded last
}

// maxSilence is how long the daemon may send nothing, not even a heartbeat
// (one comes every 15 s), before the connection counts as dead.
const maxSilence = 45 * time.Second

var errSilent = record.Errorf(record.Unreachable, "the daemon has gone silent")

// listen yields what comes over one connection; it always returns an error.
func (l *listener) listen(ctx context.Context, yield func(apitype.Event, error) bool) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	header := http.Header{"Accept": {apitype.EventStreamType}}
	if l.last != "" {
		header.Set("Last-Event-ID", l.last)
	}
	resp, err := l.c.do(ctx, call{method: http.MethodGet, path: []string{"events"}, query: l.query, header: header, within: l.c.patience})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	l.connected = true
	silence := time.AfterFunc(maxSilence, func() { cancel(errSilent) })
	defer silence.Stop()
	frames := newFrames(resp.Body, func() { silence.Reset(maxSilence) })
	for {
		f, err := frames.next()
		if err != nil {
			return record.Errorf(record.Unreachable, "the stream of events broke off: %w", err)
		}
		silence.Stop() // the time that the consumer takes is its own
		if err := l.take(f, yield); err != nil {
			return err
		}
		silence.Reset(maxSilence)
	}
}

// take does with one frame what there is to do.
func (l *listener) take(f frame, yield func(apitype.Event, error) bool) error {
	switch f.event {
	case apitype.ProblemEvent:
		return problemError(f.data, "the stream of events")
	case "":
	default:
		return nil // of a newer daemon
	}
	var e apitype.Event
	if err := json.Unmarshal(f.data, &e); err != nil || f.id != strconv.FormatInt(e.Seq, 10) {
		return record.Errorf(record.Internal, "the daemon sent what is no event")
	}
	l.last = f.id
	l.pause.Reset()
	if !yield(e, nil) {
		return errStopped
	}
	return nil
}
