package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dxd/record"
)

// The daemons here are made up, to misbehave in ways that the real one does
// not. What the client does with the real one is tested in package api.

func against(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	c, err := New(Config{API: srv.URL, Token: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestAddressesOfAnAPI(t *testing.T) {
	for api, want := range map[string]string{
		"unix:/run/dxd/api.sock": "/run/dxd/api.sock http://localhost",
		"http://127.0.0.1:8480":  " http://127.0.0.1:8480",
		"http://127.0.0.1:8480/": " http://127.0.0.1:8480",
		"https://dxd.example":    " https://dxd.example",
		"localhost:8480":         " http://localhost:8480",
		"[::1]:8480":             " http://[::1]:8480",
		"":                       "",
		"unix:":                  "",
		"ftp://127.0.0.1":        "",
		"http://":                "",
		"http://h/v1":            "",
		"http://h?x=y":           "",
		"http://user:pw@h":       "",
		"http://h\n":             "",
	} {
		socket, base, err := parse(api)
		if err != nil {
			if want != "" || record.KindOf(err) != record.Invalid || record.Hint(err) == "" {
				t.Errorf("%q: %v", api, err)
			}
		} else if got := socket + " " + base; got != want {
			t.Errorf("%q is %q, not %q", api, got, want)
		}
	}
}

func TestErrorsKeepTheirKindAndHint(t *testing.T) {
	for name, v := range map[string]struct {
		status     int
		body       string
		kind       record.Kind
		text, hint string
	}{
		"a problem":            {409, `{"kind":"conflict","detail":"the alias is taken","hint":"take another"}`, record.Conflict, "the alias is taken", "take another"},
		"one without a hint":   {422, `{"kind":"damaged","detail":"bits"}`, record.Damaged, "bits", ""},
		"one of a newer kind":  {418, `{"kind":"teapot","detail":"short and stout"}`, record.Internal, "short and stout", ""},
		"one with an escape":   {400, `{"kind":"invalid","detail":"a\u001b[2Jb\nc"}`, record.Invalid, "a\ufffd[2Jb\ufffdc", ""},
		"a proxy's page":       {502, `<html>Bad Gateway</html>`, record.Internal, "an answer that is not of the API: 502 Bad Gateway", "is there something else at this address?"},
		"JSON of another sort": {500, `{"error":"no"}`, record.Internal, "an answer that is not of the API: 500 Internal Server Error", "is there something else at this address?"},
		"a redirect":           {302, ``, record.Internal, "an answer that is not of the API: 302 Found", "is there something else at this address?"},
	} {
		c := against(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://evil.example/")
			w.WriteHeader(v.status)
			fmt.Fprint(w, v.body)
		})
		_, err := c.Self(t.Context())
		if record.KindOf(err) != v.kind || err.Error() != v.text || record.Hint(err) != v.hint {
			t.Errorf("%s: %v: %v (%s)", name, record.KindOf(err), err, record.Hint(err))
		}
	}
}

func TestTheTokenGoesAlong(t *testing.T) {
	c := against(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"version":%q,"something":"newer"}`, r.Header.Get("Authorization"))
	})
	if v, err := c.Version(t.Context()); err != nil || v.Version != "Bearer secret" {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestADaemonThatDoesNotAnswerIsUnreachable(t *testing.T) {
	for name, api := range map[string]string{
		"no socket": "unix:" + t.TempDir() + "/none", "a closed port": "http://127.0.0.1:1",
	} {
		c, err := New(Config{API: api})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Send(t.Context(), Submission{To: []string{"bob"}, Name: "secret-name"}, strings.NewReader("x"), 1)
		if record.KindOf(err) != record.Unreachable || record.Hint(err) == "" || strings.Contains(err.Error(), "secret-name") {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := against(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	c.patience = 50 * time.Millisecond
	if _, err := c.Self(t.Context()); record.KindOf(err) != record.Unreachable {
		t.Errorf("silence: %v", err)
	}
	c = against(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	if _, err := c.Self(t.Context()); record.KindOf(err) != record.Unreachable {
		t.Errorf("a connection that ends: %v", err)
	}
	c = against(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"org":`) })
	if self, err := c.Self(t.Context()); record.KindOf(err) != record.Unreachable || self.Name != "" {
		t.Errorf("JSON that is cut off: %v", err)
	}
}

func TestADaemonThatGoesWhileItsCallerHasNothingToSay(t *testing.T) {
	for answer, kind := range map[string]record.Kind{
		"": record.Unreachable,
		"HTTP/1.1 507 Full\r\nContent-Length: 34\r\n\r\n" + `{"kind":"full","detail":"no room"}`: record.Full,
	} {
		c := against(t, func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.ReadFull(r.Body, make([]byte, 5)); err != nil {
				t.Error(err)
			}
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := io.WriteString(conn, answer); err != nil {
				t.Error(err)
			}
			conn.Close() // of which the client has to hear
		})
		silent, w := io.Pipe()
		defer w.Close()
		go w.Write([]byte("hello")) // and nothing more
		_, err := c.Send(t.Context(), Submission{To: []string{"bob"}, Name: "a.txt"}, silent, -1)
		if record.KindOf(err) != kind {
			t.Errorf("after %q the caller is told %v", answer, err)
		}
	}
}

func TestACallerThatGivesUpGetsItsOwnError(t *testing.T) {
	c := against(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Self(ctx); record.KindOf(err) != record.Timeout {
		t.Errorf("an expired deadline: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if _, err := c.Self(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled call: %v", err)
	}
}

func TestContentThatIsNotWhatWasAnnounced(t *testing.T) {
	const digest = "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:" // of "hello"
	for name, v := range map[string]struct {
		digest, length, body string
		kind                 record.Kind
	}{
		"what was announced":         {"md5=:AA==:, " + digest, "5", "hello", record.Internal},
		"another document":           {digest, "5", "jello", record.Damaged},
		"one that is cut short":      {digest, "5", "hell", record.Unreachable},
		"one without a length":       {digest, "", "hello", record.Unreachable},
		"one without a digest":       {"", "5", "hello", record.Unreachable},
		"one with a digest of noise": {"sha-256=:AAAA:", "5", "hello", record.Unreachable},
	} {
		c := against(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Repr-Digest", v.digest)
			w.Header().Set("Content-Disposition", `attachment; filename="../../etc/passwd"`)
			if v.length != "" {
				w.Header().Set("Content-Length", v.length)
			}
			io.WriteString(w, v.body)
			w.(http.Flusher).Flush()
		})
		content, err := c.Content(t.Context(), record.TransferID{})
		if err == nil {
			var b []byte
			b, err = io.ReadAll(content)
			if err == nil && (string(b) != "hello" || v.kind != record.Internal) {
				t.Errorf("%s: %q came", name, b)
			}
			if content.Name != "" {
				t.Errorf("%s: a path as a name: %q", name, content.Name)
			}
			if _, again := content.Read(make([]byte, 1)); again != err && err != nil {
				t.Errorf("%s: then %v, then %v", name, err, again)
			}
			if err := content.Close(); err != nil {
				t.Error(err)
			}
		}
		if err != nil && record.KindOf(err) != v.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestManyCallersKeepTheirConnections(t *testing.T) {
	const callers, rounds = 64, 5
	var connections atomic.Int64
	var here sync.WaitGroup // all callers of a round
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		here.Done()
		here.Wait() // so each has a connection of its own
		fmt.Fprint(w, "[]")
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	c, err := New(Config{API: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for range rounds {
		here.Add(callers)
		var all sync.WaitGroup
		for range callers {
			all.Go(func() {
				if _, err := c.Partners(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	// One may go back to its pool a moment after its caller has gone on.
	if n := connections.Load(); n > 2*callers {
		t.Errorf("%d connections for %d callers who called %d times", n, callers, rounds)
	}
}
