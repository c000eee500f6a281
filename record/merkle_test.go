package record_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"

	"dxd/record"
)

// merkleVector is one tree of the golden file: the inputs that every
// implementation of Certificate Transparency is tried with.
type merkleVector struct {
	Size int         `json:"size"`
	Root record.Hash `json:"root"`
}

func TestRootsAreThoseOfRFC6962(t *testing.T) {
	var leaves []record.Hash
	var vectors []merkleVector
	for n, want := range testonly.RootHashes() {
		if n > 0 {
			leaves = append(leaves, record.LeafHash(testonly.LeafInputs()[n-1]))
		}
		root := record.TreeRoot(leaves)
		if root != record.Hash(want) {
			t.Errorf("the root of %d leaves is %s, not %x", n, root, want)
		}
		vectors = append(vectors, merkleVector{n, root})
	}
	b, err := json.MarshalIndent(vectors, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "merkle.json", append(b, '\n'))
}

// pathTo is an inclusion path out of another implementation's tree.
func pathTo(t *testing.T, index, size int) (leaf record.Hash, path []record.Hash, root record.Hash) {
	t.Helper()
	tree := testonly.New(rfc6962.DefaultHasher)
	for i := range size {
		tree.AppendData([]byte{byte(i), byte(i >> 8)})
	}
	steps, err := tree.InclusionProof(uint64(index), uint64(size))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		path = append(path, record.Hash(s))
	}
	return record.Hash(tree.LeafHash(uint64(index))), path, record.Hash(tree.Hash())
}

func TestPathsAreThoseOfAnotherImplementation(t *testing.T) {
	for size := 1; size <= 33; size++ {
		var leaves []record.Hash
		for index := range size {
			leaves = append(leaves, record.LeafHash([]byte{byte(index), byte(index >> 8)}))
		}
		for index := range size {
			if _, want, _ := pathTo(t, index, size); !slices.Equal(record.TreePath(index, leaves), want) {
				t.Errorf("the path of leaf %d of %d is another", index, size)
			}
		}
	}
}

func TestPathLeadsToTheRoot(t *testing.T) {
	for size := 1; size <= 33; size++ {
		for index := range size {
			leaf, path, want := pathTo(t, index, size)
			if root, err := record.RootFromPath(int64(index), int64(size), leaf, path); err != nil || root != want {
				t.Errorf("leaf %d of %d leads to %s, %v", index, size, root, err)
			}
		}
	}
}

func TestChangedPathLeadsElsewhere(t *testing.T) {
	leaf, path, want := pathTo(t, 5, 11)
	for name, c := range map[string]struct {
		index, size int64
		leaf        record.Hash
		path        []record.Hash
	}{
		"the index of a neighbour": {4, 11, leaf, path},
		"an index outside":         {11, 11, leaf, path},
		"an index below 0":         {-1, 11, leaf, path},
		"a size that is too small": {5, 7, leaf, path},
		"a size of 0":              {0, 0, leaf, nil},
		"a size below 0":           {5, -1, leaf, path},
		"a size of 2^62":           {5, 1 << 62, leaf, path},
		"another leaf":             {5, 11, record.Hash{1}, path},
		"a step changed":           {5, 11, leaf, append([]record.Hash{{1}}, path[1:]...)},
		"a step missing":           {5, 11, leaf, path[1:]},
		"a step too many":          {5, 11, leaf, append(slices.Clone(path), record.Hash{})},
		"two steps swapped":        {5, 11, leaf, append([]record.Hash{path[1], path[0]}, path[2:]...)},
		"no path":                  {5, 11, leaf, nil},
		"more steps than any has":  {5, 1 << 40, leaf, make([]record.Hash, record.MaxPath+1)},
	} {
		if root, err := record.RootFromPath(c.index, c.size, c.leaf, c.path); err == nil && root == want {
			t.Errorf("%s: it leads to the root all the same", name)
		} else if err != nil && (record.KindOf(err) != record.Invalid || !root.IsZero()) {
			t.Errorf("%s: %s, %v", name, root, err)
		}
	}
}

func TestNodeCantBeTakenForALeaf(t *testing.T) {
	a, b := record.LeafHash([]byte("a")), record.LeafHash([]byte("b"))
	if record.TreeRoot([]record.Hash{a, b}) == record.LeafHash(append(a[:], b[:]...)) {
		t.Error("it can")
	}
}
