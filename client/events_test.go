package client

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dxd/record"
)

// stream answers each request with the next of these, and then with nothing.
func stream(t *testing.T, answers ...string) (c *Client, asked *[]string) {
	asked = &[]string{}
	return against(t, func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.Header.Get("Last-Event-ID"))
		w.Header().Set("Content-Type", "text/event-stream")
		if len(*asked) <= len(answers) {
			io.WriteString(w, answers[len(*asked)-1])
		}
	}), asked
}

func frameOf(seq int64) string {
	return fmt.Sprintf("id: %d\ndata: {\"seq\":%d,\"type\":\"alarm\"}\n\n", seq, seq)
}

func TestFollowAsksForWhatIsBehindTheLastWholeEvent(t *testing.T) {
	cut := frameOf(3)
	c, asked := stream(t, ":\n\n"+frameOf(1)+frameOf(2)+cut[:len(cut)-1], "", frameOf(3)+"event: news\ndata: x\n\n"+frameOf(4))
	var got []int64
	for e, err := range c.Follow(t.Context(), EventFilter{}, nil) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, e.Seq); e.Seq == 4 {
			break
		}
	}
	if fmt.Sprint(got, *asked) != "[1 2 3 4] [ 2 2]" {
		t.Errorf("%v came, after asking for %q", got, *asked)
	}
}

func TestFollowEndsWhereNothingNewCanCome(t *testing.T) {
	const problem = `{"title":"Gone","status":410,"detail":"too old","kind":"gone"}`
	for name, v := range map[string]struct {
		answer string
		kind   record.Kind
	}{
		"a problem":              {frameOf(1) + "event: problem\ndata: " + problem + "\n\n", record.Gone},
		"a problem that is none": {frameOf(1) + "event: problem\ndata: {}\n\n", record.Internal},
		"an event that is none":  {frameOf(1) + "id: 2\ndata: {}\n\n", record.Internal},
		"another number":         {frameOf(1) + "id: 3\ndata: {\"seq\":2}\n\n", record.Internal},
		"no JSON":                {frameOf(1) + "id: 2\ndata: \x00\n\n", record.Internal},
	} {
		c, _ := stream(t, v.answer)
		n, last := 0, error(nil)
		for _, err := range c.Follow(t.Context(), EventFilter{}, nil) {
			if last = err; err == nil {
				n++
			}
		}
		if n != 1 || last == nil || record.KindOf(last) != v.kind {
			t.Errorf("%s: after %d events, %v", name, n, last)
		}
	}
}

func TestFollowTellsThatTheDaemonIsNotThere(t *testing.T) {
	c, err := New(Config{API: "unix:" + t.TempDir() + "/none.sock"})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range c.Follow(t.Context(), EventFilter{}, nil) {
		if record.KindOf(err) != record.Unreachable || record.Hint(err) == "" {
			t.Errorf("the error is %v", err)
		}
	}
}

func TestFollowEndsWithItsContext(t *testing.T) {
	c, _ := stream(t, frameOf(1))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, err := range c.Follow(ctx, EventFilter{}, nil) {
		last = err
		cancel()
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("it ended with %v", last)
	}
}

// silent is a connection's body on which nothing comes any more.
type silent struct{ ctx context.Context }

func (s silent) Read([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, context.Cause(s.ctx)
}
func (silent) Close() error { return nil }

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestASilentConnectionCountsAsDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		c := &Client{base: "http://localhost", patience: time.Minute, http: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			body := io.ReadCloser(silent{r.Context()})
			if asked++; asked == 2 {
				body = io.NopCloser(strings.NewReader(frameOf(1)))
			}
			return &http.Response{StatusCode: 200, Body: body, Request: r}, nil
		})}}
		began := time.Now()
		var lost error
		for _, err := range c.Follow(t.Context(), EventFilter{}, func(err error) { lost = err }) {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		if waited := time.Since(began); waited < maxSilence || waited > maxSilence+longestPause || record.KindOf(lost) != record.Unreachable {
			t.Errorf("it waited for %s: %v", waited, lost)
		}
	})
}

// pieces is a body that comes in pieces as long as its request lasts.
type pieces struct {
	ctx  context.Context
	left []string
}

func (p *pieces) Read(b []byte) (int, error) {
	if err := context.Cause(p.ctx); err != nil || len(p.left) == 0 {
		return 0, cmp.Or(err, io.EOF)
	}
	n := copy(b, p.left[0])
	p.left = p.left[1:]
	return n, nil
}
func (*pieces) Close() error { return nil }

// TestAConsumerMayTakeItsTime has it take longer over an event than the daemon
// may be silent.
func TestAConsumerMayTakeItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Client{base: "http://localhost", patience: time.Minute, http: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			body := &pieces{r.Context(), []string{frameOf(1), frameOf(2), frameOf(3)}}
			return &http.Response{StatusCode: 200, Body: body, Request: r}, nil
		})}}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		lost := func(err error) {
			t.Errorf("the daemon is lost: %v", err)
			cancel()
		}
		for e, err := range c.Follow(ctx, EventFilter{}, lost) {
			if err != nil || e.Seq == 3 {
				break
			}
			time.Sleep(2 * maxSilence)
		}
	})
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte(":\n\nid: 1\ndata: {}\n\n"))
	f.Add([]byte("event:problem\r\ndata\ndata: x\n\n"))
	f.Add([]byte("id: 1\ndata: cut"))
	f.Add([]byte("\n\n\n"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		frames := newFrames(bytes.NewReader(sent), func() {})
		for n := 0; ; n++ {
			one, err := frames.next()
			if err != nil {
				if one.data != nil || one.id != "" || one.event != "" {
					t.Errorf("%+v beside the error %v", one, err)
				}
				return
			}
			if one.data == nil || len(one.data) > maxLine || n > len(sent) {
				t.Errorf("frame %d is %+v", n, one)
			}
		}
	})
}

func TestAnEventWithoutEndIsNotTakenIn(t *testing.T) {
	line := "data: " + strings.Repeat("x", 1000) + "\n"
	frames := newFrames(strings.NewReader(strings.Repeat(line, 2000)), func() {})
	if _, err := frames.next(); record.KindOf(err) != record.Invalid {
		t.Errorf("the error is %v", err)
	}
}

// TestHeartbeatsAreNoPartOfAnEvent has more of them come before an event than an
// event may be large.
func TestHeartbeatsAreNoPartOfAnEvent(t *testing.T) {
	frames := newFrames(strings.NewReader(strings.Repeat(": here\n\n", maxLine)+frameOf(1)), func() {})
	if f, err := frames.next(); err != nil || f.id != "1" {
		t.Errorf("%+v, %v", f, err)
	}
}
