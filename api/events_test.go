package api_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"dxd/api/apitype"
	"dxd/blobstore"
	"dxd/client"
	"dxd/event"
	"dxd/record"
)

// happen appends n events in one update.
func (h *house) happen(n int) {
	h.t.Helper()
	check(h.t, h.store.Update(h.t.Context(), func(tx blobstore.Tx) error {
		for range n {
			e := event.Event{Type: event.TransferFailed, Time: time.Now().UnixMilli(), ID: record.TransferID{6: 0x70, 8: 0x80}, Reason: "expired"}
			if err := event.Append(tx, e); err != nil {
				return err
			}
		}
		return nil
	}))
}

// follow yields events in a goroutine of its own until the test ends; each
// number comes out of the channel, and the error last.
func (h *house) follow(c *client.Client, f client.EventFilter) (<-chan int64, <-chan error) {
	ctx, cancel := context.WithCancel(context.Background())
	numbers, ended := make(chan int64, 10_000), make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		for e, err := range c.Follow(ctx, f, nil) {
			if err != nil {
				ended <- err
				return
			}
			numbers <- e.Seq
		}
	})
	h.t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return numbers, ended
}

// comes waits for exactly these numbers.
func comes(t *testing.T, numbers <-chan int64, from, to int64) {
	t.Helper()
	late := time.After(time.Minute)
	for want := from; want <= to; want++ {
		select {
		case got := <-numbers:
			if got != want {
				t.Fatalf("event %d came, not %d", got, want)
			}
		case <-late:
			t.Fatalf("event %d did not come", want)
		}
	}
}

func at(n int64) *int64 { return &n }

func TestEventsComeInPages(t *testing.T) {
	h := newHouse(t)
	h.pair("bob")
	h.happen(3)
	c := h.client()
	all, err := c.Events(t.Context(), client.EventFilter{})
	check(t, err)
	if len(all) != 3 || all[0].Seq != 1 || all[2].Type != "transfer.failed" || all[2].Reason != "expired" || time.Since(all[2].Time) > time.Minute {
		t.Errorf("the events are %+v", all)
	}
	all, err = c.Events(t.Context(), client.EventFilter{After: at(1), Limit: 1})
	if check(t, err); len(all) != 1 || all[0].Seq != 2 {
		t.Errorf("behind the first: %+v", all)
	}
	_, err = c.Events(t.Context(), client.EventFilter{After: at(4)})
	if record.KindOf(err) != record.Invalid || record.Hint(err) == "" {
		t.Errorf("behind one that never was: %v", err)
	}
}

func TestAStreamGoesOnWhereItsClientWas(t *testing.T) {
	h := newHouse(t)
	h.happen(2)
	for name, begin := range map[string]struct {
		query string
		id    string
		want  string
	}{
		"from the oldest":                 {"", "", "1"},
		"behind a number":                 {"?after=1", "", "2"},
		"behind the last id":              {"", "1", "2"},
		"the last id beats the parameter": {"?after=0", "1", "2"},
	} {
		header := http.Header{"Accept": {"application/json;q=0.1, text/event-stream"}}
		if begin.id != "" {
			header.Set("Last-Event-ID", begin.id)
		}
		resp := h.ask("GET", "/v1/events"+begin.query, readToken, header)
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != apitype.EventStreamType {
			t.Errorf("%s: %s, %s", name, resp.Status, resp.Header.Get("Content-Type"))
			continue
		}
		lines := bufio.NewReader(resp.Body)
		for _, want := range []string{":\n", "\n", "id: " + begin.want + "\n", `data: {"seq":` + begin.want + `,"type":"transfer.failed",`} {
			line, err := lines.ReadString('\n')
			if check(t, err); !strings.HasPrefix(line, want) {
				t.Errorf("%s: %q, not %q", name, line, want)
			}
		}
		resp.Body.Close()
	}
	for _, id := range []string{"x", "-1", "1e3", "3", "99999999999999999999"} {
		resp := h.ask("GET", "/v1/events", readToken, http.Header{"Accept": {apitype.EventStreamType}, "Last-Event-ID": {id}})
		if p := problem(t, resp); p.Kind != "invalid" {
			t.Errorf("Last-Event-ID %s is %s", id, p.Kind)
		}
	}
}

func TestAnIdleStreamBeats(t *testing.T) {
	h := newHouse(t)
	resp := h.ask("GET", "/v1/events", readToken, http.Header{"Accept": {apitype.EventStreamType}})
	defer resp.Body.Close()
	beats := make([]byte, 30)
	if _, err := io.ReadFull(resp.Body, beats); err != nil || strings.Trim(string(beats), ":\n") != "" {
		t.Errorf("%q, %v", beats, err)
	}
}

func TestASubscriptionGoesOnBehindItsAcknowledgement(t *testing.T) {
	h := newHouse(t)
	c := h.client()
	h.happen(4)
	_, ended := h.follow(c, client.EventFilter{Subscription: "app"})
	if err := <-ended; record.KindOf(err) != record.NotFound {
		t.Fatalf("without a subscription: %v", err)
	}
	s, err := c.Subscribe(t.Context(), "app", at(1))
	if check(t, err); s.Acked != 1 || s.Behind != 3 || s.Since == nil {
		t.Errorf("the subscription is %+v", s)
	}
	check(t, c.Acknowledge(t.Context(), "app", 2))
	numbers, _ := h.follow(c, client.EventFilter{Subscription: "app"})
	comes(t, numbers, 3, 4)
	h.happen(2)
	comes(t, numbers, 5, 6)
	check(t, c.Acknowledge(t.Context(), "app", 6))
	if err := c.Acknowledge(t.Context(), "app", 7); record.KindOf(err) != record.Invalid {
		t.Errorf("acknowledging what has not happened: %v", err)
	}
	page, err := c.Events(t.Context(), client.EventFilter{Subscription: "app"})
	if check(t, err); len(page) != 0 {
		t.Errorf("acknowledged events come again: %+v", page)
	}
	replayed, _ := h.follow(c, client.EventFilter{Subscription: "app", After: at(3)})
	comes(t, replayed, 4, 6)
	all, err := c.Subscriptions(t.Context())
	if check(t, err); len(all) != 1 || all[0].Name != "app" || all[0].Acked != 6 || all[0].Behind != 0 || all[0].Since != nil {
		t.Errorf("the subscriptions are %+v", all)
	}
}

func TestASecondConsumerTakesTheSubscriptionOver(t *testing.T) {
	h := newHouse(t)
	c := h.client()
	_, err := c.Subscribe(t.Context(), "app", nil)
	check(t, err)
	first, firstEnd := h.follow(c, client.EventFilter{Subscription: "app"})
	h.happen(1)
	comes(t, first, 1, 1)
	second, secondEnd := h.follow(c, client.EventFilter{Subscription: "app"})
	if err := <-firstEnd; record.KindOf(err) != record.Conflict || record.Hint(err) == "" {
		t.Errorf("the first ended with %v", err)
	}
	h.happen(1)
	comes(t, second, 1, 2)
	_, err = c.Unsubscribe(t.Context(), "app")
	check(t, err)
	if err := <-secondEnd; record.KindOf(err) != record.NotFound {
		t.Errorf("the second ended with %v", err)
	}
}

func TestOnlyAnAdminMakesAndRemovesSubscriptions(t *testing.T) {
	h := newHouse(t)
	_, err := h.client().Subscribe(t.Context(), "app", nil)
	check(t, err)
	h.happen(1)
	reader := h.dial(h.tcp, readToken)
	if _, err := reader.Subscribe(t.Context(), "mine", nil); record.KindOf(err) != record.Refused {
		t.Errorf("a reader subscribes: %v", err)
	}
	if _, err := reader.Unsubscribe(t.Context(), "app"); record.KindOf(err) != record.Refused {
		t.Errorf("a reader unsubscribes: %v", err)
	}
	numbers, _ := h.follow(reader, client.EventFilter{Subscription: "app"})
	comes(t, numbers, 1, 1)
	check(t, reader.Acknowledge(t.Context(), "app", 1))
	for _, name := range []string{"a b", "-a", strings.Repeat("a", 64)} {
		if _, err := h.client().Subscribe(t.Context(), name, nil); record.KindOf(err) != record.Invalid {
			t.Errorf("the name %q: %v", name, err)
		}
	}
}

func TestAClientThatDoesNotReadIsInNobodysWay(t *testing.T) {
	h := newHouseOf(t, bounds{patience: 300 * time.Millisecond})
	conn, err := net.Dial("unix", strings.TrimPrefix(h.unix, "unix:")) // whose buffers are small
	check(t, err)
	defer conn.Close()
	fmt.Fprintf(conn, "GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
	numbers, _ := h.follow(h.client(), client.EventFilter{})
	for range 20 {
		h.happen(1000)
	}
	comes(t, numbers, 1, 20_000)
	for late := time.Now().Add(time.Minute); !strings.Contains(h.log.String(), "a stream of events broke off"); {
		if time.Now().After(late) {
			t.Fatal("the client that does not read is not dropped")
		}
		<-time.After(10 * time.Millisecond)
	}
	// What was in buffers comes, and then the end.
	check(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
	n, err := io.Copy(io.Discard, conn)
	if err != nil || n > 20_000*100 {
		t.Errorf("%d bytes came, %v", n, err)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	h := newHouse(t)
	var open []*http.Response
	for {
		resp := h.ask("GET", "/v1/events", readToken, http.Header{"Accept": {apitype.EventStreamType}})
		if resp.StatusCode != 200 {
			if p := problem(t, resp); p.Kind != "quota" || len(open) != 64 {
				t.Errorf("after %d streams: %+v", len(open), p)
			}
			break
		}
		open = append(open, resp)
	}
	for _, resp := range open {
		resp.Body.Close()
	}
}

func TestAStreamEndsWithTheDaemon(t *testing.T) {
	h := newHouse(t)
	resp := h.ask("GET", "/v1/events", readToken, http.Header{"Accept": {apitype.EventStreamType}})
	defer resp.Body.Close()
	h.stop()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Error(err)
	}
	if strings.Contains(h.log.String(), "some requests did not end in time") {
		t.Error("it ended because the daemon would not wait for it any longer")
	}
}

// cutter forwards connections to the house, and cuts each after some bytes.
func (h *house) cutter(after int64) (address string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(h.t, err)
	h.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", h.tcp)
			if err != nil {
				in.Close()
				return
			}
			go io.Copy(out, in)
			go func() {
				io.CopyN(in, out, after)
				in.Close()
				out.Close()
			}()
		}
	}()
	return l.Addr().String()
}

func TestAClientComesBackAndMissesNothing(t *testing.T) {
	h := newHouse(t)
	h.happen(100)
	c := h.dial(h.cutter(3000), readToken)
	var got []int64
	lost := 0
	for e, err := range c.Follow(t.Context(), client.EventFilter{}, func(error) { lost++ }) {
		check(t, err)
		if got = append(got, e.Seq); len(got) == 100 {
			break
		}
	}
	for i, seq := range got {
		if seq != int64(i+1) {
			t.Fatalf("event %d came as number %d", seq, i+1)
		}
	}
	if lost < 3 {
		t.Errorf("the connection was lost %d times only", lost)
	}
}
