package crypto_test

import (
	"bytes"
	"crypto/cipher"
	"io"
	"testing"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"dxd/crypto"
)

const benchSize = 16 << 20

// bare seals the same bytes in chunks of the same size with nothing around,
// and tells how long that takes: what sealing costs at the least.
func bare(b *testing.B, plain []byte, pass func(aead cipher.AEAD, buf, chunk []byte)) time.Duration {
	b.Helper()
	aead, err := chacha20poly1305.New(make([]byte, 32))
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 0, chunk+16)
	best := time.Hour
	for range 5 {
		start := time.Now()
		for rest := plain; len(rest) > 0; rest = rest[min(chunk, len(rest)):] {
			pass(aead, buf, rest[:min(chunk, len(rest))])
		}
		best = min(best, time.Since(start))
	}
	return best
}

// BenchmarkSealBody reports MB/s, and as x/bare the time in multiples of the
// bare cipher's over the same bytes.
func BenchmarkSealBody(b *testing.B) {
	plain := document(benchSize)
	nonce := make([]byte, 12)
	least := bare(b, plain, func(aead cipher.AEAD, buf, chunk []byte) { aead.Seal(buf, nonce, chunk, nil) })
	b.SetBytes(benchSize)
	b.ReportAllocs()
	for b.Loop() {
		w, err := crypto.SealBody(io.Discard)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.Write(plain); err != nil {
			b.Fatal(err)
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(least), "x/bare")
}

// BenchmarkOpenBody is the same for opening.
func BenchmarkOpenBody(b *testing.B) {
	plain := document(benchSize)
	var body bytes.Buffer
	w, err := crypto.SealBody(&body)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := w.Write(plain); err != nil {
		b.Fatal(err)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	nonce := make([]byte, 12)
	least := bare(b, plain, func(aead cipher.AEAD, buf, chunk []byte) { aead.Seal(buf, nonce, chunk, nil) })
	b.SetBytes(benchSize)
	b.ReportAllocs()
	for b.Loop() {
		r, err := crypto.OpenBody(w.Key(), bytes.NewReader(body.Bytes()))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(least), "x/bare")
}
