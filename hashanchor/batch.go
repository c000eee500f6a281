package hashanchor

import (
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
	padded := slices.Clone(leaves)
	for n := uint64(len(leaves)); bits.OnesCount64(n) != 1; n++ {
		data := append([]byte(padLabel), seed[:]...)
		padded = append(padded, record.LeafHash(binary.BigEndian.AppendUint64(data, n)))
	}
	return padded
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

// parents is the level above.
func parents(level []record.Hash) []record.Hash {
	up := make([]record.Hash, 0, len(level)/2)
	for ; len(level) > 0; level = level[2:] {
		up = append(up, record.Hash(rfc6962.DefaultHasher.HashChildren(level[0][:], level[1][:])))
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
