package queue_test

import (
	"testing"

	"dxd/crypto"
	"dxd/record"
)

// BenchmarkAdd puts 1,024 records into the queue with one update, as many as a
// full bundle has messages.
func BenchmarkAdd(b *testing.B) {
	keys, err := crypto.Generate()
	must(b, err)
	w := &world{t: b, dir: b.TempDir(), keys: keys, chain: newChain(b)}
	w.open()
	defer w.close()
	b.ReportAllocs()
	for n := 0; b.Loop(); n += record.MaxItems {
		w.add(n, record.MaxItems)
	}
}
