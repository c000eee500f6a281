package record

import (
	"math/bits"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

// LeafHash is the hash of a leaf of a Merkle tree: SHA-256 over a zero byte
// and the data (RFC 9162, section 2.1.1).
func LeafHash(data []byte) Hash { return Hash(rfc6962.DefaultHasher.HashLeaf(data)) }

// TreeRoot is the root over these leaf hashes (RFC 9162, section 2.1.1).
func TreeRoot(leaves []Hash) Hash {
	if len(leaves) == 0 {
		return Hash(rfc6962.DefaultHasher.EmptyRoot())
	}
	r := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	for i := range leaves {
		if err := r.Append(leaves[i][:], nil); err != nil {
			panic(err) // only a range that does not begin at 0 fails
		}
	}
	root, err := r.GetRootHash(nil)
	if err != nil {
		panic(err)
	}
	return Hash(root)
}

// TreePath is the inclusion path of the leaf at index among these leaf hashes
// (RFC 9162, section 2.1.3.1). The index is one of theirs.
func TreePath(index int, leaves []Hash) []Hash {
	if len(leaves) < 2 {
		return nil
	}
	left := 1 << (bits.Len(uint(len(leaves)-1)) - 1) // the largest power of two below their number
	if index < left {
		return append(TreePath(index, leaves[:left]), TreeRoot(leaves[left:]))
	}
	return append(TreePath(index-left, leaves[left:]), TreeRoot(leaves[:left]))
}

// MaxPath is the longest inclusion path of a tree: 2^32 leaves are more than
// any batch holds.
const MaxPath = 32

// RootFromPath recomputes the root of a tree of size leaves from the leaf at
// index and its inclusion path (RFC 9162, section 2.1.3.2). A path of a length
// that does not fit is an error.
func RootFromPath(index, size int64, leaf Hash, path []Hash) (Hash, error) {
	if size < 1 || index < 0 || index >= size || len(path) > MaxPath {
		return Hash{}, Errorf(Invalid, "no leaf %d in a tree of %d with a path of %d", index, size, len(path))
	}
	steps := make([][]byte, len(path))
	for i := range path {
		steps[i] = path[i][:]
	}
	root, err := proof.RootFromInclusionProof(rfc6962.DefaultHasher, uint64(index), uint64(size), leaf[:], steps)
	if err != nil {
		return Hash{}, Errorf(Invalid, "the path does not fit a tree of %d leaves: %w", size, err)
	}
	return Hash(root), nil
}
