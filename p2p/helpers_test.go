package p2p

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"dxd/record"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if err := RouteLogs(slog.New(slog.DiscardHandler)); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// door is a gate for tests: everyone is admitted and every address allowed but
// those that were shut.
type door struct {
	mu      sync.Mutex
	nodes   map[record.NodeID]bool
	addrs   map[string]bool
	asked   int
	dialled []string
}

func newDoor() *door {
	return &door{nodes: map[record.NodeID]bool{}, addrs: map[string]bool{}}
}

func (d *door) Admit(node record.NodeID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	return !d.nodes[node]
}

func (d *door) MayDial(_ record.NodeID, addr string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dialled = append(d.dialled, addr)
	return !d.addrs[addr]
}

func (d *door) shut(node record.NodeID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.nodes[node] = true
}

func (d *door) forbid(addr string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.addrs[addr] = true
}

// nobody shuts everyone out.
type nobody struct{}

func (nobody) Admit(record.NodeID) bool           { return false }
func (nobody) MayDial(record.NodeID, string) bool { return false }

const (
	overTCP  = "/ip4/127.0.0.1/tcp/0"
	overQUIC = "/ip4/127.0.0.1/udp/0/quic-v1"
)

func newSigner(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// newHost starts a host that ends with the test.
func newHost(t testing.TB, gate Gate, listen ...string) *Host {
	t.Helper()
	return startHost(t, Config{Identity: newSigner(t), Listen: listen, Gate: gate})
}

func startHost(t testing.TB, cfg Config) *Host {
	t.Helper()
	if cfg.Log == nil && testing.Verbose() {
		cfg.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	h, err := New(cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(func() { mustClose(t, h) })
	return h
}

func mustClose(t testing.TB, h *Host) {
	t.Helper()
	if err := h.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// waitAtMost bounds what a test waits for, which may be 48 MiB under the race
// detector on a machine that is slow.
const waitAtMost = 2 * time.Minute

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), waitAtMost)
	t.Cleanup(cancel)
	return ctx
}

const testProtocol = "/test/echo/1"

// echo sends back what it reads until EOF, then EOF.
func echo(_ context.Context, c *Conn) {
	if _, err := io.Copy(c, c); err != nil {
		// The other side sees a reset and its test says what that means.
		_ = c.Reset()
		return
	}
	_ = c.CloseWrite()
}

func mustOpen(t testing.TB, from, to *Host, protocol string) *Conn {
	t.Helper()
	c, err := from.Open(testContext(t), to.Node(), to.Addrs(), protocol)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// roundTrip sends data, closes the sending half and expects it back.
func roundTrip(t testing.TB, c *Conn, data []byte) {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(waitAtMost)); err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(data)
		if err == nil {
			err = c.CloseWrite()
		}
		sent <- err
	}()
	got, err := io.ReadAll(c)
	if sendErr := <-sent; sendErr != nil {
		t.Fatalf("sending: %v", sendErr)
	}
	if err != nil {
		t.Fatalf("receiving: %v", err)
	}
	if !bytes.Equal(got, data) {
		t.Fatalf("got %d bytes back that differ from the %d sent", len(got), len(data))
	}
}

func wantKind(t testing.TB, err error, kind record.Kind) {
	t.Helper()
	if err == nil || record.KindOf(err) != kind {
		t.Fatalf("got error %v of kind %v, want kind %v", err, record.KindOf(err), kind)
	}
}

func wantText(t testing.TB, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Fatalf("got error %v, want one with %q", err, text)
	}
}
