package p2p

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"testing"
	"time"
)

// BenchmarkStream sends bytes over one stream, and over plain crypto/tls in the
// same run. The metric "of-tls" is the stream's speed as a share of TLS's.
func BenchmarkStream(b *testing.B) {
	const size = 256 << 20
	bare := tlsSpeed(b, size)
	for _, tt := range transportsUnderTest {
		b.Run(tt.name, func(b *testing.B) {
			from, to := newHost(b, newDoor()), newHost(b, newDoor(), tt.listen)
			to.Handle(testProtocol, func(_ context.Context, c *Conn) { drain(c) })
			b.SetBytes(size)
			for b.Loop() {
				c, err := from.Open(testContext(b), to.Node(), to.Addrs(), testProtocol)
				if err != nil {
					b.Fatal(err)
				}
				pour(b, c, size)
			}
			speed := float64(size) * float64(b.N) / b.Elapsed().Seconds()
			b.ReportMetric(speed/bare, "of-tls")
			b.ReportMetric(bare/1e6, "tls-MB/s")
		})
	}
}

// BenchmarkSmallStream opens a stream over a connection that is up, sends 4 KiB
// and waits for the answer, as for each bundle of messages.
func BenchmarkSmallStream(b *testing.B) {
	for _, tt := range transportsUnderTest {
		b.Run(tt.name, func(b *testing.B) {
			from, to := newHost(b, newDoor()), newHost(b, newDoor(), tt.listen)
			to.Handle(testProtocol, func(_ context.Context, c *Conn) { drain(c) })
			b.ReportAllocs()
			for b.Loop() {
				c, err := from.Open(testContext(b), to.Node(), to.Addrs(), testProtocol)
				if err != nil {
					b.Fatal(err)
				}
				pour(b, c, 4<<10)
			}
		})
	}
}

// halfCloser is a connection whose sending half can be closed.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// drain reads to the end and says so with one byte.
func drain(c halfCloser) {
	if _, err := io.Copy(io.Discard, struct{ io.Reader }{c}); err == nil {
		_, _ = c.Write([]byte{1}) // the sender notices if it does not come
	}
	_ = c.Close()
}

// pour sends size bytes and waits until they have arrived.
func pour(b *testing.B, c halfCloser, size int) {
	b.Helper()
	buf := make([]byte, min(size, 1<<20))
	for sent := 0; sent < size; sent += len(buf) {
		if _, err := c.Write(buf); err != nil {
			b.Fatal(err)
		}
	}
	if err := c.CloseWrite(); err != nil {
		b.Fatal(err)
	}
	if _, err := io.ReadFull(c, buf[:1]); err != nil {
		b.Fatal(err)
	}
	_ = c.Close()
}

// tlsSpeed is what the machine does without libp2p, in bytes a second.
func tlsSpeed(b *testing.B, size int) float64 {
	b.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{selfSigned(b)}, MinVersion: tls.VersionTLS13})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if c, err := l.Accept(); err == nil {
			drain(c.(*tls.Conn))
		}
	}()
	c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13})
	if err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	pour(b, c, size)
	spent := time.Since(start)
	<-done
	return float64(size) / spent.Seconds()
}

func selfSigned(b *testing.B) tls.Certificate {
	b.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		b.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
