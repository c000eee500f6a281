//go:build bench

package bench

import (
	"bytes"
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	tls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"golang.org/x/sys/unix"

	"dxd/test/party"
)

// piece is what a bare loop handles at once. It stays in the processor's cache,
// so that a loop takes nothing but what it is about.
const piece = 256 << 10

// timed says what a piece of work took of the clock, and of the processors: by
// this process, the children that it waited for, and daemons.
func timed(t testing.TB, work func(), daemons ...*party.Org) Cost {
	t.Helper()
	cpu := func() (sum time.Duration) {
		for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
			var u unix.Rusage
			party.Check(t, unix.Getrusage(who, &u))
			sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
		for _, o := range daemons {
			sum += o.ProcessorTime()
		}
		return sum
	}
	before, begun := cpu(), time.Now()
	work()
	return Cost{time.Since(begun), cpu() - before}
}

// pieces calls f until it was given so many bytes.
func pieces(size int64, f func(p []byte)) {
	buf := make([]byte, piece)
	for left := size; left > 0; left -= piece {
		f(buf[:min(left, piece)])
	}
}

// stages measures bare loops over as many bytes as the document has.
type stages struct {
	t    testing.TB
	s    *suite
	file string // the document
	size int64

	sealed    []byte // some of it, sealed
	identity  *age.X25519Identity
	tcp, quic wire
	costs     map[string]Cost // of this run
}

// wire is a stream between two ordinary hosts of libp2p.
type wire struct{ from, to host.Host }

const sink = "/dxd/bench/sink/1"

func newStages(t testing.TB, s *suite, file string, size int64) *stages {
	t.Helper()
	identity, err := age.GenerateX25519Identity()
	party.Check(t, err)
	g := &stages{t: t, s: s, file: file, size: size, identity: identity, costs: map[string]Cost{}}
	var sealed bytes.Buffer
	g.sealTo(&sealed, min(size, 64<<20))
	g.sealed = sealed.Bytes()
	g.tcp, g.quic = newWire(t, "/ip4/127.0.0.1/tcp/0"), newWire(t, "/ip4/127.0.0.1/udp/0/quic-v1")
	return g
}

// next forgets the costs of the run before.
func (g *stages) next() { g.costs = map[string]Cost{} }

// cost measures a stage, once in each run.
func (g *stages) cost(name string) Cost {
	if c, ok := g.costs[name]; ok {
		return c
	}
	c := timed(g.t, map[string]func(){
		"read": g.read, "sha-256": g.hash, "seal": g.seal, "open": g.open, "write and fsync": g.write,
		"stream over TCP": g.tcp.pour(g.t, g.size), "stream over QUIC": g.quic.pour(g.t, g.size),
	}[name])
	g.costs[name] = c
	g.s.measured("bare: " + name).add(c)
	return c
}

// floor is that of a job with these stages, in this run.
func (g *stages) floor(names ...string) time.Duration {
	var all []Cost
	for _, name := range names {
		all = append(all, g.cost(name))
	}
	return floor(cores(), all...)
}

func (g *stages) read() {
	f, err := os.Open(g.file)
	party.Check(g.t, err)
	defer f.Close()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, make([]byte, piece))
	party.Check(g.t, err)
	if n != g.size {
		g.t.Fatalf("the document has %d bytes", n)
	}
}

func (g *stages) hash() {
	h := sha256.New()
	pieces(g.size, func(p []byte) { h.Write(p) })
	h.Sum(nil)
}

func (g *stages) seal() { g.sealTo(io.Discard, g.size) }

// sealTo is age as it is, whose body is what a payload is.
func (g *stages) sealTo(w io.Writer, size int64) {
	sealer, err := age.Encrypt(w, g.identity.Recipient())
	party.Check(g.t, err)
	pieces(size, func(p []byte) {
		_, err := sealer.Write(p)
		party.Check(g.t, err)
	})
	party.Check(g.t, sealer.Close())
}

func (g *stages) open() {
	for left := g.size; left > 0; {
		plain, err := age.Decrypt(bytes.NewReader(g.sealed), g.identity)
		party.Check(g.t, err)
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.LimitReader(plain, left), make([]byte, piece))
		party.Check(g.t, err)
		left -= n
	}
}

func (g *stages) write() {
	name := filepath.Join(filepath.Dir(g.file), "bare")
	f, err := os.Create(name)
	party.Check(g.t, err)
	pieces(g.size, func(p []byte) {
		_, err := f.Write(p)
		party.Check(g.t, err)
	})
	party.Check(g.t, f.Sync())
	party.Check(g.t, f.Close())
	party.Check(g.t, os.Remove(name))
}

func newWire(t testing.TB, listen string) wire {
	t.Helper()
	w := wire{newHost(t, libp2p.NoListenAddrs), newHost(t, libp2p.ListenAddrStrings(listen))}
	w.to.SetStreamHandler(sink, func(c network.Stream) {
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{c}, make([]byte, piece)); err == nil {
			_, _ = c.Write([]byte{1}) // the sender notices if it does not come
		}
		_ = c.Close() // it has all been read
	})
	party.Check(t, w.from.Connect(t.Context(), peer.AddrInfo{ID: w.to.ID(), Addrs: w.to.Addrs()}))
	w.pour(t, 1)()
	return w
}

func newHost(t testing.TB, opts ...libp2p.Option) host.Host {
	t.Helper()
	h, err := libp2p.New(append(opts, libp2p.Security(tls.ID, tls.New), libp2p.DisableMetrics(), libp2p.DisableRelay())...)
	party.Check(t, err)
	t.Cleanup(func() { party.Check(t, h.Close()) })
	return h
}

// pour sends bytes over one stream, until the other side says that it has them.
func (w wire) pour(t testing.TB, size int64) func() {
	return func() {
		c, err := w.from.NewStream(t.Context(), w.to.ID(), sink)
		party.Check(t, err)
		defer c.Close()
		pieces(size, func(p []byte) {
			_, err := c.Write(p)
			party.Check(t, err)
		})
		party.Check(t, c.CloseWrite())
		_, err = io.ReadFull(c, make([]byte, 1))
		party.Check(t, err)
	}
}

// fsyncs are the times that lone fsyncs of 4 KiB take.
func fsyncs(t testing.TB, dir string, n int) (all []time.Duration) {
	t.Helper()
	f, err := os.CreateTemp(dir, "lone-")
	party.Check(t, err)
	defer os.Remove(f.Name())
	defer f.Close()
	block := make([]byte, 4096)
	for range n {
		begun := time.Now()
		_, err := f.Write(block)
		party.Check(t, err)
		party.Check(t, f.Sync())
		all = append(all, time.Since(begun))
	}
	return all
}
