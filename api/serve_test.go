package api_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"dxd/api"
	"dxd/api/apitype"
	"dxd/client"
	"dxd/record"
)

// socketDir is a directory whose path is short enough for a socket.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dxd-api")
	check(t, err)
	t.Cleanup(func() { check(t, os.RemoveAll(dir)) })
	return dir
}

func TestTheSocketIsPrivate(t *testing.T) {
	path := filepath.Join(socketDir(t), "made", "api.sock")
	l, err := api.Listen("unix:" + path)
	check(t, err)
	defer l.Close()
	for file, want := range map[string]fs.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", file, info.Mode(), err)
		}
	}
}

func TestASocketInADirectoryThatOthersEnterIsPrivateAllTheSame(t *testing.T) {
	dir := socketDir(t)
	check(t, os.Chmod(dir, 0o755))
	path := filepath.Join(dir, "api.sock")
	l, err := api.Listen("unix:" + path)
	check(t, err)
	if info, err := os.Stat(path); err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	conn, err := net.Dial("unix", path)
	check(t, err)
	check(t, conn.Close())
	check(t, l.Close())
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestSocketsThatAreRefused(t *testing.T) {
	for name, v := range map[string]struct {
		prepare func(path string) error
		kind    record.Kind
	}{
		"where another daemon answers": {func(path string) error {
			l, err := net.Listen("unix", path)
			t.Cleanup(func() { l.Close() })
			return err
		}, record.Conflict},
		"where a file is":                         {func(path string) error { return os.WriteFile(path, []byte("mine"), 0o600) }, record.Conflict},
		"in a directory that others can write to": {func(path string) error { return os.Chmod(filepath.Dir(path), 0o775) }, record.Invalid},
	} {
		path := filepath.Join(socketDir(t), "api.sock")
		check(t, v.prepare(path))
		if _, err := api.Listen("unix:" + path); record.KindOf(err) != v.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := api.Listen("unix:/" + strings.Repeat("long/", 30) + "api.sock"); record.KindOf(err) != record.Invalid || record.Hint(err) == "" {
		t.Errorf("with too long a path: %v", err)
	}
}

func TestAPortInUseIsSaidToBe(t *testing.T) {
	l, err := api.Listen("127.0.0.1:0")
	check(t, err)
	defer l.Close()
	if _, err := api.Listen(l.Addr().String()); record.KindOf(err) != record.Unavailable || !strings.Contains(record.Hint(err), "another program") {
		t.Errorf("got %v (%s)", err, record.Hint(err))
	}
}

func TestAStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(socketDir(t), "api.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	check(t, err)
	dead.SetUnlinkOnClose(false) // as after kill -9
	check(t, dead.Close())
	l, err := api.Listen("unix:" + path)
	check(t, err)
	check(t, l.Close())
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket stays after a proper end: %v", err)
	}
}

func TestStoppingEndsWaitsAtOnceAndLetsUploadsEnd(t *testing.T) {
	h := newHouse(t)
	h.pair("bob")
	id := h.sent("x", "", []byte("x"))
	c := h.client()
	seen := make(chan struct{}, 100)
	waited, uploaded := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := c.Wait(t.Context(), id, "delivered", func(apitype.Transfer) { seen <- struct{}{} })
		waited <- err
	}()
	<-seen
	r, w := io.Pipe()
	go func() {
		_, err := c.Send(t.Context(), client.Submission{To: []string{"bob"}, Name: "y"}, r, -1)
		uploaded <- err
	}()
	_, err := w.Write(pattern(200_000)) // taken: the request is under way
	check(t, err)
	stopped := make(chan struct{})
	go func() { h.stop(); close(stopped) }()
	if err := <-waited; record.KindOf(err) != record.Unavailable && record.KindOf(err) != record.Unreachable {
		t.Errorf("the wait ended with %v", err)
	}
	check(t, w.Close())
	if err := <-uploaded; err != nil {
		t.Errorf("the upload failed: %v", err)
	}
	<-stopped
	if _, err := c.Self(t.Context()); record.KindOf(err) != record.Unreachable || !strings.Contains(record.Hint(err), "dxd run") {
		t.Errorf("after the end: %v", err)
	}
}

func TestWhatDoesNotDrainIsCutOff(t *testing.T) {
	began, ended := make(chan struct{}), make(chan struct{})
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done() // a body that never ends
		close(ended)
	})
	l, err := api.Listen("127.0.0.1:0")
	check(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	s := api.Server{Handler: handler, Log: slog.New(slog.DiscardHandler), Drain: 50 * time.Millisecond}
	go func() { served <- s.Serve(ctx, l) }()
	go func() {
		<-began
		cancel()
	}()
	if resp, err := http.Get("http://" + l.Addr().String()); err == nil {
		resp.Body.Close()
		t.Error("there was an answer")
	}
	check(t, <-served)
	select {
	case <-ended:
	default:
		t.Error("Serve returned before its handler")
	}
}

func TestAPanicEndsOneRequestOnly(t *testing.T) {
	log := &syncBuffer{}
	l, err := api.Listen("127.0.0.1:0")
	check(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	s := api.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("oh") }), Log: slog.New(slog.NewTextHandler(log, nil))}
	go func() { served <- s.Serve(ctx, l) }()
	for range 2 {
		if resp, err := http.Get("http://" + l.Addr().String()); err == nil {
			resp.Body.Close()
			t.Error("there was an answer")
		}
	}
	cancel()
	check(t, <-served)
	if n := strings.Count(log.String(), "a request panicked"); n < 2 {
		t.Errorf("logged %d times", n)
	}
}

func TestMemoryDoesNotGrowWithTheDocument(t *testing.T) {
	h := newHouse(t)
	h.pair("bob")
	c := h.client()
	const size = 64 << 20
	peak := watchHeap(t)
	out, err := c.Send(t.Context(), client.Submission{To: []string{"bob"}, Name: "large"}, &countingReader{left: size}, size)
	check(t, err)
	content, err := c.Content(t.Context(), out.Transfers[0].ID)
	check(t, err)
	n, err := io.Copy(io.Discard, content)
	check(t, err)
	check(t, content.Close())
	if grown := peak(); n != size || grown > 32<<20 {
		t.Errorf("%d bytes came, and the heap grew by %d MiB", n, grown>>20)
	}
}

// watchHeap samples what is live on the heap until the function that it
// returns is called, which gives the growth.
func watchHeap(t *testing.T) func() uint64 {
	live := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := live()
	stop, done := make(chan struct{}), make(chan uint64)
	go func() {
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		most := before
		for {
			select {
			case <-ticker.C:
				most = max(most, live())
			case <-stop:
				done <- most - before
				return
			}
		}
	}()
	return func() uint64 {
		close(stop)
		grown := <-done
		t.Logf("the live heap grew by %d KiB at most", grown>>10)
		return grown
	}
}
