package crypto_test

import (
	"bytes"
	"crypto/cipher"
	"io"
	"testing"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"dxd/crypto"
	"dxd/record"
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

// The benchmarks below are of what each transfer takes, however small it is.

// BenchmarkSmallBody seals and opens a document of 100 KiB.
func BenchmarkSmallBody(b *testing.B) {
	plain := document(100 << 10)
	b.SetBytes(int64(len(plain)))
	b.ReportAllocs()
	for b.Loop() {
		key, body := sealed(b, plain)
		r, err := crypto.OpenBody(key, bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkHeader wraps a file key for a recipient, as for each payload that is
// offered, and finds it again.
func BenchmarkHeader(b *testing.B) {
	k := generate(b)
	key, _ := sealed(b, []byte("x"))
	header, err := crypto.SealHeader(key, k.Recipient())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("seal", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := crypto.SealHeader(key, k.Recipient()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := k.OpenHeader(header); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkSealer seals, opens and finds a row of the journal.
func BenchmarkSealer(b *testing.B) {
	s := generate(b).Sealer()
	row, ad := document(300), document(24)
	closed := s.Seal(row, ad)
	b.Run("seal", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Seal(row, ad)
		}
	})
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.Open(closed, ad); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("index", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Index("bench", ad)
		}
	})
}

// BenchmarkSign signs the record of a transfer's recipient.
func BenchmarkSign(b *testing.B) {
	k, other := generate(b), generate(b)
	card := signCard(b, k)
	r := record.Receipt{
		Header: record.Header{Card: card.ID(), Created: 1}, Sender: other.Org(), Manifest: record.RecordID{1},
		Entries: []record.Entry{{Status: record.StatusReceived}},
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.SignReceipt(r); err != nil {
			b.Fatal(err)
		}
	}
}
