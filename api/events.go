package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"dxd/api/apitype"
	"dxd/event"
	"dxd/partner"
	"dxd/record"
)

// maxStreams is how many streams of events there are at a time.
const maxStreams = 64

// A client that takes longer than that to read is dropped, and loses nothing:
// it comes back with the last number that it has.
const (
	defaultHeartbeat = 15 * time.Second
	defaultPatience  = 30 * time.Second
)

type eventsInput struct {
	After        int64  `query:"after" minimum:"-1" default:"-1" doc:"Behind which number to begin; unless told, the subscription's last acknowledged one, or before the oldest that is kept"`
	Subscription string `query:"subscription" doc:"Name of a subscription"`
	Limit        int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Of a page; a stream has none"`
	LastEventID  string `header:"Last-Event-ID" doc:"Of a stream: behind which number to go on"`
	request
}

// addEvents registers the one route that has two forms of answer.
func (a *API) addEvents(api huma.API, op huma.Operation) {
	schema := api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[[]apitype.Event](), true, "Events")
	op.Responses[strconv.Itoa(op.DefaultStatus)].Content["application/json"] = &huma.MediaType{Schema: schema}
	stream(a, a.events)(api, op)
}

// events answers with a page, or with a stream if the caller asks for one.
func (a *API) events(ctx context.Context, in *eventsInput) (func(http.ResponseWriter), error) {
	if wantsStream(in.r) {
		return a.followEvents(ctx, in)
	}
	after := in.After
	if in.Subscription != "" && after == event.Oldest {
		s, err := a.Events.Subscription(ctx, in.Subscription)
		if err != nil {
			return nil, err
		}
		after = s.Acked
	}
	page, err := a.Events.Page(ctx, after, in.Limit)
	if err != nil {
		return nil, err
	}
	all, err := a.eventsJSON(ctx, page)
	if err != nil {
		return nil, err
	}
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(all); err != nil {
			a.Log.Debug("couldn't send events", "error", err)
		}
	}, nil
}

// wantsStream tells whether the caller accepts a stream by name.
func wantsStream(r *http.Request) bool {
	for _, header := range r.Header.Values("Accept") {
		for one := range strings.SplitSeq(header, ",") {
			if kind, _, err := mime.ParseMediaType(one); err == nil && kind == apitype.EventStreamType {
				return true
			}
		}
	}
	return false
}

// followEvents finds out where to begin, and gives the function that streams.
func (a *API) followEvents(ctx context.Context, in *eventsInput) (func(http.ResponseWriter), error) {
	select {
	case a.streams <- struct{}{}:
	default:
		return nil, record.Errorf(record.Quota, "%d streams of events are open, and no more are taken", maxStreams)
	}
	ctx, stop := untilDraining(ctx)
	ctx, after, leave, err := a.attend(ctx, in)
	end := func() {
		leave()
		stop()
		<-a.streams
	}
	var reader *event.Reader
	if err == nil {
		reader, err = a.Events.Follow(ctx, after)
	}
	if err != nil {
		end()
		return nil, err
	}
	return func(w http.ResponseWriter) {
		defer end()
		f := feed{api: a, w: w, out: http.NewResponseController(w)}
		if err := f.send(ctx, reader); err != nil {
			a.Log.Debug("a stream of events broke off", "error", err)
		}
	}, nil
}

// attend takes the subscription's place, if the caller names one, and tells
// behind which number to begin. leave is to be called in any case.
func (a *API) attend(ctx context.Context, in *eventsInput) (_ context.Context, after int64, leave func(), err error) {
	nothing := func() {}
	after = in.After
	if in.LastEventID != "" {
		if after, err = strconv.ParseInt(in.LastEventID, 10, 64); err != nil || after < 0 {
			return ctx, 0, nothing, record.Errorf(record.Invalid, "Last-Event-ID is not the number of an event: %q", record.Printable(in.LastEventID, 40))
		}
	}
	if in.Subscription == "" {
		return ctx, after, nothing, nil
	}
	attended, acked, leave, err := a.Events.Attend(ctx, in.Subscription)
	if err != nil {
		return ctx, 0, nothing, err
	}
	if after == event.Oldest {
		after = acked
	}
	return attended, after, leave, nil
}

// feed is the answer that is a stream.
type feed struct {
	api *API
	w   http.ResponseWriter
	out *http.ResponseController
}

// send sends events as they come until the caller goes, the daemon stops, or
// there is something to tell that ends the stream.
func (f feed) send(ctx context.Context, reader *event.Reader) error {
	f.w.Header().Set("Content-Type", apitype.EventStreamType)
	err := f.put([]byte(":\n\n")) // the headers go out with it
	for err == nil {
		var page []event.Event
		page, err = f.next(ctx, reader)
		switch {
		case err == nil:
			err = f.sendPage(ctx, page)
		case ctx.Err() != nil:
			return f.farewell(ctx, context.Cause(ctx))
		case errors.Is(err, context.DeadlineExceeded):
			err = f.put([]byte(":\n\n"))
		default:
			return f.farewell(ctx, err)
		}
	}
	return err
}

// next waits for events, but no longer than a stream may be silent.
func (f feed) next(ctx context.Context, reader *event.Reader) ([]event.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, f.api.Heartbeat)
	defer cancel()
	return reader.Next(ctx)
}

// sendPage sends events, in several pieces where they name many transfers.
func (f feed) sendPage(ctx context.Context, page []event.Event) error {
	for len(page) > 0 {
		some, err := f.api.eventsJSON(ctx, page)
		if err != nil {
			return errors.Join(err, f.farewell(ctx, err))
		}
		raw, err := frames(some)
		if err != nil {
			return err
		}
		if err := f.put(raw); err != nil {
			return err
		}
		page = page[len(some):]
	}
	return nil
}

// frames is how events look in the stream. JSON has no line feed in it.
func frames(some []apitype.Event) ([]byte, error) {
	var b bytes.Buffer
	for _, e := range some {
		data, err := json.Marshal(e)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "id: %d\ndata: %s\n\n", e.Seq, data)
	}
	return b.Bytes(), nil
}

// farewell tells why the stream ends, unless it is that the caller has gone or
// that the daemon stops: who finds it cut comes again.
func (f feed) farewell(ctx context.Context, why error) error {
	if errors.Is(why, context.Canceled) {
		return nil
	}
	data, err := json.Marshal(f.api.failure(ctx, why).Problem)
	if err != nil {
		return err
	}
	return f.put(fmt.Appendf(nil, "event: %s\ndata: %s\n\n", apitype.ProblemEvent, data))
}

// put sends some bytes at once. A caller that does not read them in time is
// given up.
func (f feed) put(b []byte) error {
	if err := f.out.SetWriteDeadline(time.Now().Add(f.api.Patience)); err != nil {
		return err
	}
	if _, err := f.w.Write(b); err != nil {
		return err
	}
	return f.out.Flush()
}

// maxIDs is with how many transfers in them some events are enough for one
// answer: a bundle alone has up to 1,024. Each stream that nobody reads holds
// an answer.
const maxIDs = 2 << 10

// eventsJSON shows events, at least the first: fewer than there are if they
// name many transfers.
func (a *API) eventsJSON(ctx context.Context, page []event.Event) ([]apitype.Event, error) {
	all := make([]apitype.Event, 0, len(page))
	named := 0
	for _, e := range page {
		one := a.eventJSON(e)
		if !e.Bundle.IsZero() {
			var err error
			if one.IDs, err = a.Exchange.Members(ctx, e.Bundle); err != nil {
				return nil, err
			}
		}
		all = append(all, one)
		if named += len(one.IDs); named >= maxIDs {
			break
		}
	}
	return all, nil
}

// eventJSON shows an event with the partner's alias as it is now.
func (a *API) eventJSON(e event.Event) apitype.Event {
	out := apitype.Event{
		Seq: e.Seq, Type: string(e.Type), Time: time.UnixMilli(e.Time).UTC(), ID: e.ID,
		Org: e.Partner, Kind: e.Kind, State: e.State, Reason: e.Reason, Text: e.Text, By: e.By,
	}
	if p, err := a.Book.ByOrg(e.Partner); err == nil && p.State != partner.Removed {
		out.Partner = p.Alias
	}
	return out
}
