package exchange_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"dxd/blobstore"
	"dxd/blobstore/badger"
	"dxd/crypto"
	"dxd/exchange"
	"dxd/p2p"
	"dxd/partner"
	"dxd/record"
	"dxd/test/party"
)

// node is an organisation with a real store and a real host on loopback. It
// can be stopped and started again on the same directory.
type node struct {
	*exchange.Exchange
	t     testing.TB
	name  string
	dir   string
	keys  *crypto.Keyring
	store *badger.Store
	book  *partner.Book
	host  *p2p.Host
	stop  func()
	runs  chan error // holds what Run returned

	listen []string
	seam   atomic.Pointer[func(exchange.Point)]
	wrap   func(exchange.Stream) exchange.Stream     // around streams that it opens
	files  func(blobstore.Files) blobstore.Files     // around its payload files, from the next start on
	rows   func(blobstore.Journal) blobstore.Journal // around its journal, likewise
	now    func() time.Time
	hushed atomic.Bool // calls nobody, and so only answers
	alone  atomic.Bool // has no chain
	retain exchange.Retention
	checks exchange.Checking
	quota  partner.Quota
	skewed bool // the test wrote, or damaged, what is counted

	rotten atomic.Pointer[blobstore.Key] // what is written under this does not open; nil: nothing

	retry exchange.Retry // zero: short ones
	tried atomic.Int64   // to deliver: so many streams

	errors atomic.Int64 // in its log

	onRequest string // what to do when a partner asks to erase
}

func newNode(t testing.TB, name string) *node {
	t.Helper()
	keys, err := crypto.Generate()
	check(t, err)
	n := &node{t: t, name: name, dir: t.TempDir(), keys: keys, now: time.Now, listen: []string{fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", party.FreePort(t))}} // that no other test gets while it is down
	n.open()
	check(t, n.store.Update(t.Context(), func(tx blobstore.Tx) error {
		if _, err := partner.Init(tx, keys, name, time.Now()); err != nil {
			return err
		}
		return exchange.Init(tx, record.Epoch{1})
	}))
	n.begin()
	t.Cleanup(func() { n.halt() })
	return n
}

func (n *node) open() {
	n.t.Helper()
	var err error
	n.store, err = badger.Open(filepath.Join(n.dir), rotting{n.keys.Sealer(), &n.rotten}, badger.Options{})
	check(n.t, err)
}

// rotting is a sealer that damages what it seals under one key.
type rotting struct {
	blobstore.Sealer
	key *atomic.Pointer[blobstore.Key]
}

func (r rotting) Seal(plaintext, ad []byte) []byte {
	sealed := r.Sealer.Seal(plaintext, ad)
	if key := r.key.Load(); key != nil && string(*key) == string(ad) {
		sealed[len(sealed)/2] ^= 1
	}
	return sealed
}

// rot damages values of the node's journal, which may run.
func (n *node) rot(keys ...blobstore.Key) {
	n.t.Helper()
	for _, key := range keys {
		n.rotten.Store(&key)
		check(n.t, n.store.Update(n.t.Context(), func(tx blobstore.Tx) error { return tx.Set(key, make([]byte, 56)) }))
		n.rotten.Store(nil)
	}
}

// start opens the node again after halt.
func (n *node) start() {
	n.t.Helper()
	n.open()
	n.begin()
}

// seen has f see each commit point from now on; nil nobody.
func (n *node) seen(f func(exchange.Point)) {
	if f == nil {
		n.seam.Store(nil)
		return
	}
	n.seam.Store(&f)
}

func (n *node) begin() {
	t := n.t
	t.Helper()
	if n.retry == (exchange.Retry{}) {
		n.retry = exchange.Retry{First: 20 * time.Millisecond, Longest: 200 * time.Millisecond}
	}
	log := slog.New(slog.NewTextHandler(testLog{n}, &slog.HandlerOptions{Level: slog.LevelDebug})).With("node", n.name)
	ctx, cancel := context.WithCancel(context.Background())
	var err error
	n.book, err = partner.Open(ctx, partner.Config{
		Journal: n.store, Keys: n.keys, Now: func() time.Time { return n.now() }, IsPrivate: p2p.IsPrivate,
		OnState: func(p partner.Partner) { n.PartnerChanged(p.Org) },
		OnShut:  func(node record.NodeID) { n.host.Drop(node) },
	})
	check(t, err)
	n.host, err = p2p.New(p2p.Config{Identity: n.keys.NodeSigner(), Listen: n.listen, Gate: n.book, Log: log})
	check(t, err)
	n.listen = n.host.Addrs() // the same port after a restart
	files := blobstore.Files(n.store)
	if n.files != nil {
		files = n.files(files)
	}
	rows := blobstore.Journal(n.store)
	if n.rows != nil {
		rows = n.rows(rows)
	}
	n.Exchange = exchange.Open(exchange.Config{
		Journal: rows, Files: files, Keys: n.keys, Book: n.book, Network: opener{n}, Addrs: n.host.Addrs,
		Beacon: func() record.Beacon { return record.Beacon{} }, CheckState: leadsToABlock, Anchors: func() bool { return !n.alone.Load() }, Now: func() time.Time { return n.now() }, Log: log,
		Seam: func(p exchange.Point) {
			if f := n.seam.Load(); f != nil {
				(*f)(p)
			}
		},
		Retain: n.retain, Checking: n.checks, Quota: n.quota, OnRequest: n.onRequest,
		Retry: n.retry,
	})
	n.host.Handle(exchange.ProtocolTransfer, func(ctx context.Context, c *p2p.Conn) { n.ServeTransfer(ctx, c) })
	n.host.Handle(exchange.ProtocolHello, func(ctx context.Context, c *p2p.Conn) { n.ServeHello(ctx, c) })
	n.host.Handle(exchange.ProtocolProof, func(ctx context.Context, c *p2p.Conn) { n.ServeProof(ctx, c) })
	n.host.Watch(func(node record.NodeID, up bool) {
		if up {
			n.Connected(node)
		}
	})
	n.runs = make(chan error, 1)
	go func() { n.runs <- n.Run(ctx) }()
	n.stop = func() {
		cancel()
		check(t, <-n.runs)
		check(t, n.host.Close())
		check(t, n.store.Close())
	}
}

// halt stops the node; stopping it twice does nothing.
func (n *node) halt() {
	if n.stop != nil {
		n.countsRight()
		n.stop()
		n.stop = nil
	}
}

// countsRight fails unless what partners use by the count is what is there:
// each test ends with it, whatever it did.
func (n *node) countsRight() {
	n.t.Helper()
	off, err := n.Miscounted(context.Background())
	if (err != nil || len(off) > 0) && !n.skewed {
		n.t.Errorf("%s counts wrong what partners use: it lacks %+v (%v)", n.name, off, err)
	}
}

type opener struct{ n *node }

func (o opener) Open(ctx context.Context, node record.NodeID, addresses []string, protocol string) (exchange.Stream, error) {
	if o.n.hushed.Load() && protocol == exchange.ProtocolHello {
		return nil, record.Errorf(record.Unavailable, "hushed")
	}
	if protocol == exchange.ProtocolTransfer {
		o.n.tried.Add(1)
	}
	c, err := o.n.host.Open(ctx, node, addresses, protocol)
	if err != nil {
		return nil, err
	}
	if protocol == exchange.ProtocolTransfer && o.n.wrap != nil { // which a test may change before it sends
		return o.n.wrap(c), nil
	}
	return c, nil
}

// pair lets two nodes accept each other's cards.
func pair(t testing.TB, a, b *node) {
	t.Helper()
	for _, p := range []struct{ from, to *node }{{a, b}, {b, a}} {
		file, err := p.from.book.CardFile(p.from.host.Addrs())
		check(t, err)
		_, err = p.to.book.Add(t.Context(), file, p.from.name)
		check(t, err)
	}
}

// send submits a document to the partner and returns the transfer.
func (n *node) send(to string, doc []byte) exchange.View {
	n.t.Helper()
	sent, err := n.Submit(n.t.Context(), exchange.Submission{To: []string{to}, Name: "contract.pdf", Size: int64(len(doc))}, bytes.NewReader(doc))
	check(n.t, err)
	return sent[0]
}

// delivered waits until the transfer is delivered.
func (n *node) delivered(id record.TransferID) exchange.View {
	n.t.Helper()
	v := n.ended(id)
	if v.State != exchange.Delivered {
		n.t.Fatalf("transfer is %s (%s), not delivered", v.State, v.Reason)
	}
	return v
}

// ended waits until the transfer is delivered or has failed.
func (n *node) ended(id record.TransferID) exchange.View {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), waitAtMost)
	defer cancel()
	v, err := n.Wait(ctx, id, exchange.UntilDelivered, nil)
	check(n.t, err)
	return v
}

// document reads a transfer's document.
func (n *node) document(id record.TransferID) []byte {
	n.t.Helper()
	c, err := n.Content(n.t.Context(), id)
	check(n.t, err)
	defer c.Close()
	r, err := c.Verified()
	check(n.t, err)
	b, err := io.ReadAll(r)
	check(n.t, err)
	return b
}

// keepsNoFile fails unless the node's payload files are gone, or go soon: they
// are removed after the journal has said so.
func (n *node) keepsNoFile() {
	n.t.Helper()
	n.keepsFiles(0)
}

// keepsFiles fails unless the node has so many payload files, or has soon.
func (n *node) keepsFiles(want int) {
	n.t.Helper()
	party.Until(n.t, fmt.Sprintf("%d files", want), func() string {
		if left := n.filesLeft(); left != want {
			return fmt.Sprint(left, " are left")
		}
		return ""
	})
}

// filesLeft counts the node's payload files, whole or not.
func (n *node) filesLeft() (left int) {
	n.t.Helper()
	for _, err := range n.store.List() {
		check(n.t, err)
		left++
	}
	return left
}

func randomDocument(size int) []byte {
	b := make([]byte, size)
	rand.Read(b)
	return b
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// testLog writes a node's log to its test, until the test is over.
type testLog struct{ *node }

func (l testLog) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("level=ERROR")) {
		l.errors.Add(1)
	}
	if l.t.Context().Err() == nil {
		l.t.Logf("%s", bytes.TrimRight(p, "\n"))
	}
	return len(p), nil
}

// cutting is a stream that breaks after some bytes were written to it.
type cutting struct {
	exchange.Stream
	left *atomic.Int64
}

func (c cutting) Write(p []byte) (int, error) {
	if c.left.Add(-int64(len(p))) < 0 {
		c.Reset()
		return 0, io.ErrClosedPipe
	}
	return c.Stream.Write(p)
}

// cutEach cuts a stream early.
func cutEach(s exchange.Stream) exchange.Stream {
	left := &atomic.Int64{}
	left.Store(100)
	return cutting{s, left}
}

// isNumbered waits until a message has its number.
func (n *node) isNumbered(id record.TransferID) {
	n.t.Helper()
	party.Until(n.t, "a message with a number", func() string {
		if v, err := n.Get(n.t.Context(), id); err != nil || v.Record.IsZero() {
			return "it has none"
		}
		return ""
	})
}
