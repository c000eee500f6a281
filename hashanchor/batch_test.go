package hashanchor_test

import (
	"encoding/binary"
	"testing"

	"dxd/hashanchor"
	"dxd/record"
)

func leaves(n int) []record.Hash {
	l := make([]record.Hash, n)
	for i := range l {
		l[i] = record.LeafHash(binary.BigEndian.AppendUint64(nil, uint64(i)))
	}
	return l
}

func anchorOf(b *hashanchor.Batch) hashanchor.Anchor {
	return hashanchor.Anchor{ChainID: 1, Contract: record.Account{1}, Account: record.Account{2}, Root: b.Root(), Block: 3, Time: 4}
}

func TestEachLeafOfEachBatchIsProven(t *testing.T) {
	for n := 1; n <= 65; n++ {
		l := leaves(n)
		padded := hashanchor.Pad(l, nonce("seed"))
		b := hashanchor.NewBatch(padded)
		if b.Root() != record.TreeRoot(padded) { // the library's own
			t.Fatalf("the root of %d leaves", n)
		}
		for i := range padded {
			p := hashanchor.Proof{Record: record.RecordID{1}, Index: int64(i), Path: b.Path(i), Anchor: anchorOf(b)}
			if err := p.Check(padded[i]); err != nil {
				t.Fatalf("leaf %d of %d: %v", i, n, err)
			}
			if p.Index ^= 1; len(p.Path) > 0 && p.Check(padded[i]) == nil {
				t.Fatalf("leaf %d of %d is proven in its neighbour's place", i, n)
			}
		}
	}
}

func TestPaddingFillsUpToAPowerOfTwoAndFollowsFromItsSeed(t *testing.T) {
	for n, want := range map[int]int{1: 1, 2: 2, 3: 4, 5: 8, 4095: 4096, 4096: 4096, 4097: 8192} {
		if got := len(hashanchor.Pad(leaves(n), nonce("a"))); got != want {
			t.Errorf("%d leaves are padded to %d, not to %d", n, got, want)
		}
	}
	a, again, b := hashanchor.Pad(leaves(5), nonce("a")), hashanchor.Pad(leaves(5), nonce("a")), hashanchor.Pad(leaves(5), nonce("b"))
	seen := map[record.Hash]bool{}
	for i := range a {
		if seen[a[i]] || a[i] != again[i] || (a[i] == b[i]) != (i < 5) {
			t.Errorf("leaf %d", i)
		}
		seen[a[i]] = true
	}
}

func TestABrokenProofIsRefused(t *testing.T) {
	l := leaves(8)
	b := hashanchor.NewBatch(l)
	for name, change := range map[string]func(*hashanchor.Proof){
		"another index":       func(p *hashanchor.Proof) { p.Index = 4 },
		"an index beyond":     func(p *hashanchor.Proof) { p.Index = 8 },
		"a negative index":    func(p *hashanchor.Proof) { p.Index = -1 },
		"a step less":         func(p *hashanchor.Proof) { p.Path = p.Path[:2] },
		"a step more":         func(p *hashanchor.Proof) { p.Path = append(p.Path, record.Hash{}) },
		"steps without end":   func(p *hashanchor.Proof) { p.Path = make([]record.Hash, 64) },
		"another step":        func(p *hashanchor.Proof) { p.Path[1][5]++ },
		"another root":        func(p *hashanchor.Proof) { p.Anchor.Root[5]++ },
		"no account":          func(p *hashanchor.Proof) { p.Anchor.Account = record.Account{} },
		"no contract":         func(p *hashanchor.Proof) { p.Anchor.Contract = record.Account{} },
		"no chain":            func(p *hashanchor.Proof) { p.Anchor.ChainID = 0 },
		"a block before all":  func(p *hashanchor.Proof) { p.Anchor.Block = -1 },
		"a time without bits": func(p *hashanchor.Proof) { p.Anchor.Time = 1 << 53 },
		"no record":           func(p *hashanchor.Proof) { p.Record = record.RecordID{} },
	} {
		p := hashanchor.Proof{Record: record.RecordID{1}, Index: 3, Path: b.Path(3), Anchor: anchorOf(b)}
		if err := p.Check(l[3]); err != nil {
			t.Fatal(err)
		}
		change(&p)
		if p.Check(l[3]) == nil {
			t.Errorf("%s: the proof still holds", name)
		}
	}
}

func TestABatchOfHundredThousandLeaves(t *testing.T) {
	l := hashanchor.Pad(leaves(100_000), nonce("seed"))
	b := hashanchor.NewBatch(l)
	p := hashanchor.Proof{Record: record.RecordID{1}, Index: 99_999, Path: b.Path(99_999), Anchor: anchorOf(b)}
	if err := p.Check(l[99_999]); err != nil {
		t.Error(err)
	}
}

func BenchmarkBatchOf100000(b *testing.B) {
	l := leaves(100_000)
	b.ReportAllocs()
	for b.Loop() {
		batch := hashanchor.NewBatch(hashanchor.Pad(l, record.Nonce{1}))
		batch.Path(99_999)
	}
}

func BenchmarkVerify(b *testing.B) {
	s := tell(b, "hello")
	data, doc, o := s.file(b), s.doc(), hashanchor.Options{Chain: s.chain}
	b.ReportAllocs()
	for b.Loop() {
		if r, err := hashanchor.Verify(b.Context(), doc, data, o); err != nil || !r.Valid {
			b.Fatal(err)
		}
	}
}
