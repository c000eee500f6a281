package api_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dxd/api"
	"dxd/api/apitype"
	"dxd/blobstore"
	"dxd/blobstore/badger"
	"dxd/client"
	"dxd/crypto"
	"dxd/event"
	"dxd/exchange"
	"dxd/hashanchor/queue"
	"dxd/partner"
	"dxd/record"
)

// house is a daemon without a network: real store, keys and exchange, whose
// partners never answer, behind the API on a Unix socket and on TCP.
type house struct {
	t     *testing.T
	dir   string
	store *badger.Store
	x     *exchange.Exchange
	api   *api.API
	unix  string         // unix:PATH
	tcp   string         // host:port
	web   http.Transport // to it alone: ports of other tests' houses come back
	log   *syncBuffer
	stop  func() // ends both servers, as the daemon does

	events *event.Log
	breaks atomic.Bool // a backup breaks off
	linked atomic.Bool // all nodes are connected
}

// The tokens of a house.
const (
	sendToken  = "token-that-sends"
	readToken  = "token-that-reads"
	adminToken = "token-of-the-admin"
)

func scopesOf(token string) []api.Scope {
	return map[string][]api.Scope{sendToken: {api.Send}, readToken: {api.Read}, adminToken: {api.Admin}}[token]
}

// bounds are those of a house that a test is about, and short then. The others
// are as in the daemon, where a machine that is slow keeps them.
type bounds struct {
	patience, linger, headers time.Duration
}

func newHouse(t *testing.T) *house {
	t.Helper()
	return newHouseOf(t, bounds{})
}

func newHouseOf(t *testing.T, b bounds) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir(), log: &syncBuffer{}}
	log := slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	keys, err := crypto.Generate()
	check(t, err)
	h.store, err = badger.Open(h.dir, keys.Sealer(), badger.Options{})
	check(t, err)
	t.Cleanup(func() { check(t, h.store.Close()) })
	check(t, h.store.Update(t.Context(), func(tx blobstore.Tx) error {
		if _, err := partner.Init(tx, keys, "Our House", time.Now()); err != nil {
			return err
		}
		return exchange.Init(tx, record.Epoch{1})
	}))
	book, err := partner.Open(t.Context(), partner.Config{
		Journal: h.store, Keys: keys, Now: time.Now, IsPrivate: func(string) bool { return false },
	})
	check(t, err)
	addrs := func() []string { return []string{"/ip4/192.0.2.1/tcp/4001"} }
	h.x = exchange.Open(exchange.Config{
		Journal: h.store, Files: h.store, Keys: keys, Book: book, Network: silence{}, Addrs: addrs,
		Beacon: func() record.Beacon { return record.Beacon{} }, Now: time.Now, Log: log,
	})
	q := queue.Open(queue.Config{Journal: h.store, Log: log})
	h.events = &event.Log{Journal: h.store, Now: time.Now}
	h.api, err = api.New(api.Config{
		Exchange: h.x, Book: book, Events: h.events, Version: apitype.Version{Version: "1.2.3", Commit: "abc", Go: "go1"},
		Node: keys.Node, Account: keys.Account, Addresses: addrs,
		Connected: func(record.NodeID) bool { return h.linked.Load() },
		Anchoring: q.Status, Prove: q.Prove, Backup: h.backup, Deploy: deploy, Rotate: rotate, RotateStorage: rotation, StorageRotation: rotation, Doctor: doctor, Authorize: scopesOf, Log: log,
		Heartbeat: 50 * time.Millisecond, Patience: b.patience, Linger: b.linger,
	})
	check(t, err)
	h.serve(log, b)
	return h
}

// backup writes what a test expects, or breaks off.
func (h *house) backup(context.Context) (func(io.Writer) error, error) {
	return func(w io.Writer) error {
		if _, err := io.WriteString(w, "a backup"); err != nil || !h.breaks.Load() {
			return err
		}
		return record.Errorf(record.Internal, "the disk is gone")
	}, nil
}

// silence is a network in which nobody answers.
type silence struct{}

func (silence) Open(context.Context, record.NodeID, []string, string) (exchange.Stream, error) {
	return nil, record.Errorf(record.Unavailable, "nobody answers")
}

func deploy(_ context.Context, rpc string) (apitype.Deployed, error) {
	if rpc == "" {
		return apitype.Deployed{}, record.WithHint(record.Errorf(record.Invalid, "no chain is configured"), "give its endpoint")
	}
	return apitype.Deployed{ChainID: 31337, Tx: record.Hash{1}}, nil
}

func rotate(_ context.Context, r apitype.RotateKey) (apitype.Rotated, error) {
	return apitype.Rotated{Role: r.Role, Key: "a new one", Serial: 2, WaitsFor: []string{"bob"}}, nil
}

func rotation(context.Context) (apitype.StorageRotation, error) {
	return apitype.StorageRotation{UnderWay: true, Done: 3, Of: 5}, nil
}

func doctor(_ context.Context, partner string) ([]apitype.Check, error) {
	if partner == "broken" {
		return nil, errors.New("couldn't read /var/secret")
	}
	return []apitype.Check{{Name: "clock", OK: true, Detail: "asked about " + partner}}, nil
}

// serve runs exchange and servers until the test ends.
func (h *house) serve(log *slog.Logger, b bounds) {
	t := h.t
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	h.stop = func() {
		cancel()
		wg.Wait()
	}
	t.Cleanup(h.stop)
	socket, err := os.MkdirTemp("", "dxd-api")
	check(t, err)
	t.Cleanup(func() { check(t, os.RemoveAll(socket)) })
	h.unix = "unix:" + filepath.Join(socket, "api.sock")
	local, err := api.Listen(h.unix)
	check(t, err)
	remote, err := api.Listen("127.0.0.1:0")
	check(t, err)
	h.tcp = remote.Addr().String()
	h.t.Cleanup(h.web.CloseIdleConnections)
	serve := func(l net.Listener, s api.Server) {
		wg.Go(func() { expect(t, s.Serve(ctx, l)) })
	}
	serve(local, api.Server{Handler: h.api.Local(), Log: log})
	serve(remote, api.Server{Handler: h.api.Remote("dxd.example"), Log: log, HeaderTimeout: b.headers})
	wg.Go(func() { expect(t, h.x.Run(ctx)) })
}

// client calls over the Unix socket.
func (h *house) client() *client.Client { return h.dial(h.unix, "") }

func (h *house) dial(address, token string) *client.Client {
	h.t.Helper()
	c, err := client.New(client.Config{API: address, Token: token})
	check(h.t, err)
	h.t.Cleanup(c.Close)
	return c
}

// neighbour makes the card file of another organisation.
func neighbour(t *testing.T, name string) ([]byte, record.OrgID) {
	t.Helper()
	keys, err := crypto.Generate()
	check(t, err)
	now := time.Now()
	card, err := keys.SignCard(record.Card{
		Header: record.Header{Created: now.UnixMilli()}, Name: name, Serial: 1, Expires: now.Add(time.Hour).UnixMilli(),
	})
	check(t, err)
	file, err := record.OpenedCardFile{Card: card}.File().Bytes()
	check(t, err)
	return file, keys.Org()
}

// pair adds a partner under the alias.
func (h *house) pair(alias string) {
	h.t.Helper()
	file, _ := neighbour(h.t, "Neighbour "+alias)
	_, err := h.client().AddPartner(h.t.Context(), alias, file, "")
	check(h.t, err)
}

// sent submits a document and returns the transfer.
func (h *house) sent(name, mediaType string, document []byte) record.TransferID {
	h.t.Helper()
	out, err := h.client().Send(h.t.Context(), client.Submission{To: []string{"bob"}, Name: name, Type: mediaType},
		bytes.NewReader(document), int64(len(document)))
	check(h.t, err)
	return out.Transfers[0].ID
}

// files counts the payload files, partial ones included.
func (h *house) files() int {
	h.t.Helper()
	n := 0
	for _, err := range h.store.List() {
		check(h.t, err)
		n++
	}
	return n
}

// damage flips one bit of the only payload, counted from its end if at is
// negative.
func (h *house) damage(at int) {
	h.t.Helper()
	paths, err := filepath.Glob(filepath.Join(h.dir, "payloads", "*"))
	check(h.t, err)
	if len(paths) != 1 {
		h.t.Fatalf("%d payloads, not one", len(paths))
	}
	raw, err := os.ReadFile(paths[0])
	check(h.t, err)
	if at < 0 {
		at += len(raw)
	}
	raw[at] ^= 1
	check(h.t, os.WriteFile(paths[0], raw, 0o600))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// expect is check for other goroutines than the test's.
func expect(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// syncBuffer is a log that a test can read while it is written.
type syncBuffer struct {
	mu sync.Mutex // guards b
	b  strings.Builder
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// pattern is n bytes that are not all the same.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 / 3)
	}
	return b
}

func readAll(t *testing.T, r io.Reader) []byte {
	t.Helper()
	b, err := io.ReadAll(r)
	check(t, err)
	return b
}
