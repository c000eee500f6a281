package hashanchor_test

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

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
	l := leaves(100_000)
	shuffled, places := hashanchor.Shuffle(l, nonce("seed"))
	b := hashanchor.NewBatch(shuffled)
	at := places[99_999]
	p := hashanchor.Proof{Record: record.RecordID{1}, Index: int64(at), Path: b.Path(at), Anchor: anchorOf(b)}
	if err := p.Check(l[99_999]); err != nil {
		t.Error(err)
	}
}

// bareHashes is how long so many hashes of a tree's node take on this machine,
// now: what figures are compared with.
func bareHashes(n int) time.Duration {
	node := make([]byte, 65)
	begun := time.Now()
	for range n {
		sum := sha256.Sum256(node)
		copy(node[1:], sum[:])
	}
	return time.Since(begun)
}

// report tells how many times as long as so many bare hashes one round took.
func report(b *testing.B, hashes int) {
	b.StopTimer()
	const sample = 100_000
	bare := float64(min(bareHashes(sample), bareHashes(sample), bareHashes(sample))) / sample * float64(hashes)
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/bare, "×bare-hashes")
}

// BenchmarkBatchOf100000 pads 100,000 leaves to 131,072, shuffles them and
// builds the tree; bare are the hashes of padding, order and tree.
func BenchmarkBatchOf100000(b *testing.B) {
	l := leaves(100_000)
	b.ReportAllocs()
	for b.Loop() {
		shuffled, places := hashanchor.Shuffle(l, record.Nonce{1})
		hashanchor.NewBatch(shuffled).Path(places[99_999])
	}
	report(b, 31_072+131_072+131_071)
}

// BenchmarkVerify verifies one evidence file, whose document was hashed
// before; bare is one hash.
func BenchmarkVerify(b *testing.B) {
	s := tell(b, "hello")
	benchmarkVerify(b, s.file(b), hashanchor.Options{Chain: s.chain})
}

// BenchmarkVerifyStateProof is the same with a state proof, down to a block's
// hash.
func BenchmarkVerifyStateProof(b *testing.B) {
	data, block := sample(b)
	benchmarkVerify(b, data, stateOptions(block))
}

func benchmarkVerify(b *testing.B, data []byte, o hashanchor.Options) {
	doc := tell(b, "hello").doc()
	b.ReportAllocs()
	for b.Loop() {
		if r, err := hashanchor.Verify(b.Context(), doc, data, o); err != nil || !r.Valid {
			b.Fatal(err)
		}
	}
	report(b, 1)
}

func TestALeafStandsInEachPlaceEquallyOften(t *testing.T) {
	const n, rounds = 8, 20_000
	var seen [n][n]int
	for i := range rounds {
		places := hashanchor.Places(n, nonce(fmt.Sprint(i)))
		if sorted := slices.Sorted(slices.Values(places)); sorted[0] != 0 || len(slices.Compact(sorted)) != n || sorted[n-1] != n-1 {
			t.Fatalf("the places are %v", places)
		}
		for leaf, place := range places {
			seen[leaf][place]++
		}
	}
	// Chi squared with 49 degrees of freedom: more than 100 comes once in 10^4
	// times by chance, and the seeds are always the same.
	square := 0.0
	for _, row := range seen {
		for _, count := range row {
			off := float64(count) - rounds/n
			square += off * off / (rounds / n)
		}
	}
	if t.Logf("chi squared is %.1f", square); square > 100 {
		t.Errorf("places are not equally likely: chi squared is %.1f, %v", square, seen)
	}
}

func TestAShuffledBatchHoldsItsLeavesInTheirPlaces(t *testing.T) {
	l := leaves(5)
	shuffled, places := hashanchor.Shuffle(l, nonce("a"))
	padded := hashanchor.Pad(l, nonce("a"))
	for leaf, place := range places {
		if shuffled[place] != padded[leaf] {
			t.Errorf("leaf %d is not in place %d", leaf, place)
		}
	}
	again, _ := hashanchor.Shuffle(l, nonce("a"))
	other, _ := hashanchor.Shuffle(l, nonce("b"))
	if !slices.Equal(again, shuffled) || slices.Equal(other, shuffled) {
		t.Error("the order does not follow from the seed")
	}
}
