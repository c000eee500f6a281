package exchange

import (
	"crypto/sha256"
	"net"
	"testing"

	"github.com/google/uuid"

	"dxd/crypto"
	"dxd/record"
)

// aMessage is one of 100 bytes that waits for its bundle.
func aMessage() (Transfer, []byte) {
	body := make([]byte, 100)
	return Transfer{
		ID: record.TransferID(uuid.Must(uuid.NewV7())), Direction: Out, Kind: record.Message, MediaType: "text/plain",
		Size: int64(len(body)), Digest: sha256.Sum256(body), Created: 1, Updated: 2, Ordinal: 3,
	}, body
}

// BenchmarkPackBundle packs 1,024 messages for their way, without signature and
// header.
func BenchmarkPackBundle(b *testing.B) {
	m, body := aMessage()
	b.ReportAllocs()
	for b.Loop() {
		p := newBundle(m.Partner)
		for range record.MaxItems {
			if full, err := p.add(m, body); full || err != nil {
				b.Fatal(full, err)
			}
		}
		if err := p.seal(); err != nil {
			b.Fatal(err)
		}
		crypto.SealOpenings(p.key, packOpenings(p.openings...))
	}
}

// BenchmarkUnpackBundle opens them again, and takes them apart.
func BenchmarkUnpackBundle(b *testing.B) {
	m, body := aMessage()
	p := newBundle(m.Partner)
	for i := range record.MaxItems {
		m.ID[15], m.ID[14] = byte(i), byte(i>>8)
		if full, err := p.add(m, body); full || err != nil {
			b.Fatal(full, err)
		}
	}
	if err := p.seal(); err != nil {
		b.Fatal(err)
	}
	openings := packOpenings(p.openings...)
	b.ReportAllocs()
	for b.Loop() {
		plain, err := openInMemory(p.key, p.sealed)
		if err != nil {
			b.Fatal(err)
		}
		list, err := unpackOpenings(openings)
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := split(p.row.ID, list, plain); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRow writes and reads the row of a transfer.
func BenchmarkRow(b *testing.B) {
	m, _ := aMessage()
	b.ReportAllocs()
	for b.Loop() {
		raw, err := record.Marshal(m)
		if err != nil {
			b.Fatal(err)
		}
		var again Transfer
		if err := record.Load(raw, &again); err != nil || again.ID != m.ID {
			b.Fatal(again, err)
		}
	}
}

// BenchmarkFrames sends and takes frames of a body.
func BenchmarkFrames(b *testing.B) {
	here, there := net.Pipe()
	from, to := newLink(inMemory{here}), newLink(inMemory{there})
	b.SetBytes(bodyFrame)
	b.ReportAllocs()
	go func() {
		for {
			from.buffer(bodyFrame)
			if from.flush(frameBody, bodyFrame) != nil {
				return
			}
		}
	}()
	for b.Loop() {
		if kind, content, err := to.next(); err != nil || kind != frameBody || len(content) != bodyFrame {
			b.Fatal(kind, len(content), err)
		}
	}
	if err := there.Close(); err != nil {
		b.Fatal(err)
	}
}
