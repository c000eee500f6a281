package exchange_test

import (
	"bytes"
	"context"
	"io"
	"sync"
	"testing"
	"time"

	"dxd/exchange"
	"dxd/p2p"
)

const benchSize = 64 << 20

// mbps is a rate in MB/s, one of 10^6 bytes.
func mbps(n int64, d time.Duration) float64 { return float64(n) / 1e6 / d.Seconds() }

// BenchmarkIngest seals, digests and makes durable a document: Submit until
// it is queued.
func BenchmarkIngest(b *testing.B) {
	from, to := newNode(b, "anna"), newNode(b, "bert")
	pair(b, from, to)
	to.halt()
	doc := randomDocument(benchSize)
	b.SetBytes(benchSize)
	b.ReportAllocs()
	for b.Loop() {
		from.send("bert", doc)
	}
}

// BenchmarkTransfer delivers a document, from queued to delivered: verified,
// synced and the receipt back. "bare" is one libp2p stream of the same bytes
// between the same hosts in the same run, and "x-bare" the ratio of the rates.
func BenchmarkTransfer(b *testing.B) {
	from, to := newNode(b, "anna"), newNode(b, "bert")
	pair(b, from, to)
	to.host.Handle("/bench/sink/1", func(_ context.Context, c *p2p.Conn) {
		io.Copy(io.Discard, c)
		c.Write([]byte{1})
		c.Close()
	})
	doc := randomDocument(benchSize)
	var ours, bare time.Duration
	n := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		bare += bareStream(b, from, to, doc)
		to.host.Drop(from.keys.Node()) // nothing moves before we say so
		release := make(chan struct{})
		from.wrap = func(s exchange.Stream) exchange.Stream {
			<-release
			return s
		}
		sent := from.send("bert", doc)
		begun := time.Now()
		close(release)
		from.delivered(sent.ID)
		ours += time.Since(begun)
		n += benchSize
	}
	b.ReportMetric(mbps(n, ours), "MB/s")
	b.ReportMetric(mbps(n, bare), "bare-MB/s")
	b.ReportMetric(bare.Seconds()/ours.Seconds(), "x-bare")
}

// bareStream times the bytes over one stream, the other side's word that it
// has read them included.
func bareStream(b *testing.B, from, to *node, doc []byte) time.Duration {
	b.Helper()
	c, err := from.host.Open(b.Context(), to.keys.Node(), to.host.Addrs(), "/bench/sink/1")
	check(b, err)
	defer c.Close()
	begun := time.Now()
	for r := bytes.NewReader(doc); r.Len() > 0; {
		_, err := io.CopyN(struct{ io.Writer }{c}, r, min(int64(r.Len()), 256<<10))
		check(b, err)
	}
	check(b, c.CloseWrite())
	_, err = io.ReadFull(c, make([]byte, 1))
	check(b, err)
	return time.Since(begun)
}

// BenchmarkMessages delivers messages of 1 KiB that several callers submit at
// once, from the first submission until the last is delivered.
func BenchmarkMessages(b *testing.B) {
	from, to := newNode(b, "anna"), newNode(b, "bert")
	pair(b, from, to)
	from.delivered(from.message("bert", nil).ID)
	b.ReportAllocs()
	n := 0
	begun := time.Now()
	for b.Loop() {
		n += flood(from)
	}
	b.ReportMetric(float64(n)/time.Since(begun).Seconds(), "messages/s")
}

// flood delivers messages of 1 KiB to bert, that 64 callers submit at once.
func flood(from *node) int {
	const callers, each = 64, 100
	body := randomDocument(1 << 10)
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			var last exchange.View
			for range each {
				last = from.message("bert", body)
			}
			from.delivered(last.ID)
		})
	}
	wg.Wait()
	return callers * each
}

// BenchmarkList reads a page of the newest 100 of 6,400 messages.
func BenchmarkList(b *testing.B) {
	from, to := newNode(b, "anna"), newNode(b, "bert")
	pair(b, from, to)
	flood(from)
	for side, n := range map[string]*node{"sent": from, "received": to} {
		b.Run(side, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				page, err := n.List(b.Context(), exchange.Filter{})
				check(b, err)
				if len(page) != 100 {
					b.Fatalf("%d on a page", len(page))
				}
			}
		})
	}
}

// BenchmarkDocuments delivers documents of 100 KiB that several callers submit
// at once, from the first submission until the last is delivered.
func BenchmarkDocuments(b *testing.B) {
	from, to := newNode(b, "anna"), newNode(b, "bert")
	pair(b, from, to)
	const callers, each = 64, 5
	doc := randomDocument(100 << 10)
	b.ReportAllocs()
	n := 0
	begun := time.Now()
	for b.Loop() {
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				for range each {
					from.delivered(from.send("bert", doc).ID)
				}
			})
		}
		wg.Wait()
		n += callers * each
	}
	b.ReportMetric(float64(n)/time.Since(begun).Seconds(), "documents/s")
}

// BenchmarkMessage delivers one message after the other over an idle lane.
func BenchmarkMessage(b *testing.B) {
	from, to := newNode(b, "anna"), newNode(b, "bert")
	pair(b, from, to)
	from.delivered(from.message("bert", nil).ID)
	body := randomDocument(1 << 10)
	b.ReportAllocs()
	for b.Loop() {
		from.delivered(from.message("bert", body).ID)
	}
}

// BenchmarkEvidence makes the evidence of one message among 1,000.
func BenchmarkEvidence(b *testing.B) {
	from, to := newNode(b, "anna"), newNode(b, "bert")
	pair(b, from, to)
	to.halt()
	var last exchange.View
	for range 1000 {
		last = from.message("bert", nil)
	}
	to.start()
	from.delivered(last.ID)
	for b.Loop() {
		_, err := from.Evidence(b.Context(), last.ID)
		check(b, err)
	}
}
