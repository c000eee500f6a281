package hashanchor

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/transparency-dev/merkle/rfc6962"

	"dxd/record"
)

// Batch is a full Merkle tree over leaves that does not change any more. It
// keeps all its levels, twice the leaves, so that each path is only looked up.
type Batch struct {
	levels [][]record.Hash // the leaves first, the root last
}

// padLabel sets padding apart from everything else that is hashed.
const padLabel = "dxd/padding/v1\n"

// Pad adds leaves up to the next power of two. They follow from the seed,
// which must be random and stay secret: then nobody can tell them from records.
func Pad(leaves []record.Hash, seed record.Nonce) []record.Hash {
	padded := slices.Grow(slices.Clone(leaves), len(leaves)) // at most twice as many
	data := seeded(padLabel, seed)
	for n := uint64(len(leaves)); bits.OnesCount64(n) != 1; n++ {
		padded = append(padded, record.LeafHash(binary.BigEndian.AppendUint64(data, n)))
	}
	return padded
}

// seeded is what is hashed with a position behind it, and room for that.
func seeded(label string, seed record.Nonce) []byte {
	data := make([]byte, 0, len(label)+len(seed)+8)
	return append(append(data, label...), seed[:]...)
}

// orderLabel sets the keys of the shuffle apart from everything else that is
// hashed, padding under the same seed included.
const orderLabel = "dxd/order/v1\n"

// Places says where each of n leaves, padding included, stands in the tree of
// its batch: in the order of hashes that nobody can tell without the seed. So
// each order is as likely as any other, and an index says nothing of how many
// records came before.
func Places(n int, seed record.Nonce) []int {
	type ticket struct {
		hash record.Hash
		leaf int
	}
	tickets := make([]ticket, n)
	data := seeded(orderLabel, seed)
	for i := range tickets {
		tickets[i] = ticket{sha256.Sum256(binary.BigEndian.AppendUint64(data, uint64(i))), i}
	}
	slices.SortFunc(tickets, func(a, b ticket) int { return bytes.Compare(a.hash[:], b.hash[:]) })
	places := make([]int, n)
	for place, t := range tickets {
		places[t.leaf] = place
	}
	return places
}

// Shuffle pads leaves and puts them into the order of Places, which it gives,
// too.
func Shuffle(leaves []record.Hash, seed record.Nonce) (shuffled []record.Hash, places []int) {
	padded := Pad(leaves, seed)
	places = Places(len(padded), seed)
	shuffled = make([]record.Hash, len(padded))
	for leaf, place := range places {
		shuffled[place] = padded[leaf]
	}
	return shuffled, places
}

// NewBatch builds the tree over leaf hashes (RFC 9162, section 2.1.1). Their
// number must be a power of two, which is for the caller to see to.
func NewBatch(leaves []record.Hash) *Batch {
	if bits.OnesCount64(uint64(len(leaves))) != 1 {
		panic("hashanchor: the leaves of a batch are not a power of two")
	}
	level := slices.Clone(leaves)
	b := &Batch{levels: [][]record.Hash{level}}
	for len(level) > 1 {
		level = parents(level)
		b.levels = append(b.levels, level)
	}
	return b
}

// parents is the level above. The library's hash of two children allocates
// three times for each, which is most of a large batch's time.
func parents(level []record.Hash) []record.Hash {
	up := make([]record.Hash, len(level)/2)
	node := [1 + 2*sha256.Size]byte{rfc6962.RFC6962NodeHashPrefix}
	for i := range up {
		copy(node[1:], level[2*i][:])
		copy(node[1+sha256.Size:], level[2*i+1][:])
		up[i] = sha256.Sum256(node[:])
	}
	return up
}

// Size is the number of leaves, padding included.
func (b *Batch) Size() int { return len(b.levels[0]) }

// Root is what goes on the chain.
func (b *Batch) Root() record.Hash { return b.levels[len(b.levels)-1][0] }

// Path is the inclusion path of leaf i, from 0 (RFC 9162, section 2.1.3.1).
func (b *Batch) Path(i int) []record.Hash {
	path := make([]record.Hash, 0, len(b.levels)-1)
	for _, level := range b.levels[:len(b.levels)-1] {
		path = append(path, level[i^1])
		i /= 2
	}
	return path
}
