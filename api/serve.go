package api

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"dxd/record"
)

// Server serves a handler on listeners. The zero value of each bound means the
// default.
type Server struct {
	Handler       http.Handler
	Log           *slog.Logger
	HeaderTimeout time.Duration // for a request's headers: 10 s
	Connections   int           // at a time; others wait: no bound
	Drain         time.Duration // for requests under way when Serve is told to end: 10 s
}

// Bounds of all listeners. Bodies have none: a document takes as long as it takes.
const (
	defaultHeaderTimeout = 10 * time.Second
	defaultDrain         = 10 * time.Second
	idleTimeout          = 2 * time.Minute
	maxHeader            = 32 << 10
)

// MaxStrangers is the bound of connections on a listener where everybody on the
// machine may knock: each takes a descriptor, which the rest of the daemon needs
// for its files and its partners.
const MaxStrangers = 1000

// Serve answers on the listener until ctx ends, then lets requests under way
// come to their end within the bound, and closes the listener. It returns when
// no handler runs any more.
func (s Server) Serve(ctx context.Context, l net.Listener) error {
	draining, drain := context.WithCancel(context.Background())
	defer drain()
	running, stop := context.WithCancel(context.WithValue(context.Background(), drainKey{}, draining))
	defer stop()
	under := &underWay{}
	srv := &http.Server{
		Handler:           under.watch(s.Handler, s.Log),
		BaseContext:       func(net.Listener) context.Context { return running },
		ConnContext:       func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		ReadHeaderTimeout: orDefault(s.HeaderTimeout, defaultHeaderTimeout),
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}
	if s.Connections > 0 {
		l = &boundedListener{l, make(chan struct{}, s.Connections), running}
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	var failed error
	select {
	case failed = <-served:
		failed = record.Errorf(record.Internal, "couldn't go on serving the API: %w", failed)
		served <- nil
	case <-ctx.Done():
	}
	drain()
	bound, cancel := context.WithTimeout(context.Background(), orDefault(s.Drain, defaultDrain))
	defer cancel()
	if err := srv.Shutdown(bound); errors.Is(err, context.DeadlineExceeded) {
		s.Log.Warn("some requests did not end in time")
	}
	stop()
	srv.Close()
	<-served
	under.wait()
	return failed
}

func orDefault(d, fallback time.Duration) time.Duration {
	if d == 0 {
		return fallback
	}
	return d
}

// boundedListener has so many connections at a time.
type boundedListener struct {
	net.Listener
	open  chan struct{} // holds a token for each
	until context.Context
}

func (b *boundedListener) Accept() (net.Conn, error) {
	select {
	case b.open <- struct{}{}:
	case <-b.until.Done():
		return nil, net.ErrClosed
	}
	c, err := b.Listener.Accept()
	if err != nil {
		<-b.open
		return nil, err
	}
	return &boundedConn{c, sync.OnceFunc(func() { <-b.open })}, nil
}

type boundedConn struct {
	net.Conn
	leave func()
}

func (c *boundedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// CloseWrite has the other side read the answer to its end.
func (c *boundedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

type drainKey struct{}

// connKey is that of the connection in a request's context.
type connKey struct{}

// isDraining tells whether the server is told to end.
func isDraining(ctx context.Context) bool {
	draining, ok := ctx.Value(drainKey{}).(context.Context)
	return ok && draining.Err() != nil
}

// untilDraining gives a context for what only waits: it ends as soon as the
// server is told to end, while uploads and downloads go on for a while.
func untilDraining(ctx context.Context) (context.Context, context.CancelFunc) {
	draining, ok := ctx.Value(drainKey{}).(context.Context)
	if !ok {
		return ctx, func() {}
	}
	merged, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(draining, cancel)
	return merged, func() {
		stop()
		cancel()
	}
}

// underWay counts handlers: http.Server.Close does not wait for them.
type underWay struct {
	mu    sync.Mutex // guards what follows
	n     int
	ended chan struct{} // closed when the last one ends; nil before wait
}

func (u *underWay) watch(h http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.add(1)
		defer u.add(-1)
		defer func() {
			if p := recover(); p != nil {
				if p != http.ErrAbortHandler {
					log.Error("a request panicked", "panic", p, "stack", string(debug.Stack()))
				}
				panic(http.ErrAbortHandler) // ends the connection without logging once more
			}
		}()
		h.ServeHTTP(w, r)
	})
}

func (u *underWay) add(n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.n += n
	if u.n == 0 && u.ended != nil {
		close(u.ended)
		u.ended = nil
	}
}

// wait returns when no handler runs.
func (u *underWay) wait() {
	u.mu.Lock()
	if u.n == 0 {
		u.mu.Unlock()
		return
	}
	ended := make(chan struct{})
	u.ended = ended
	u.mu.Unlock()
	<-ended
}
