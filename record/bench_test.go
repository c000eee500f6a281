package record_test

import (
	"testing"

	"dxd/record"
)

// BenchmarkOpenManifest reads and verifies one record, as for each transfer.
func BenchmarkOpenManifest(b *testing.B) {
	data, card := manifestOf(b).Bytes(), cardOf("a")
	b.ReportAllocs()
	for b.Loop() {
		e, err := record.ParseEnvelope(data)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := record.OpenManifest(e, card); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParsePayload is the part of it that is not the signature.
func BenchmarkParsePayload(b *testing.B) {
	_, payload := parts(manifestOf(b).Envelope)
	b.ReportAllocs()
	for b.Loop() {
		var m record.Manifest
		if err := record.Unmarshal([]byte(payload), &m); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMarshalPayload is what the comparison with the one form adds.
func BenchmarkMarshalPayload(b *testing.B) {
	body := manifestOf(b).Body
	b.ReportAllocs()
	for b.Loop() {
		if _, err := record.Marshal(body); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTreeRoot is the root over the items of a full bundle.
func BenchmarkTreeRoot(b *testing.B) {
	leaves := make([]record.Hash, record.MaxItems)
	for i := range leaves {
		leaves[i] = record.LeafHash([]byte{byte(i), byte(i >> 8)})
	}
	b.ReportAllocs()
	for b.Loop() {
		record.TreeRoot(leaves)
	}
}
