// Package stateproof checks what an account's storage held at one block of an
// Ethereum chain, down to that block's hash and to nothing else: a raw header,
// and the Merkle-Patricia proofs of EIP-1186 for the account and for one slot.
//
// It never asks a chain, and believes nothing that it has not hashed itself:
// neither a node's name nor a field that stands beside the bytes that were
// hashed. Whether a hash is that of a block is for the caller to know.
package stateproof

import (
	"bytes"
	"errors"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/ethereum/go-ethereum/trie"

	"dxd/record"
)

// Bounds of what is read. A branch node has at most 532 bytes, and a path 64
// steps; a header has some 600 bytes, and more where it lists validators.
const (
	MaxHeader = 16 << 10
	MaxNode   = 1 << 10
	MaxNodes  = 64
)

// Header is what a block's header says, after its hash was computed.
type Header struct {
	Hash  record.Hash // Keccak-256 of the raw header
	State record.Hash // root of the state trie
	Block int64
	Time  int64 // s since 1970
}

// The header's fields by their place (Yellow Paper, section 4.3). Later rules
// only add some at the end, which are hashed and not read.
const (
	fieldState  = 3
	fieldNumber = 8
	fieldTime   = 11
	fieldsLeast = 15
)

// sizes are those of the header's fields in bytes; 0: any.
var sizes = [fieldsLeast]int{32, 32, 20, 32, 32, 32, 256, 0, 0, 0, 0, 0, 0, 32, 8}

// ParseHeader hashes a raw header (RLP) and reads it.
func ParseHeader(raw []byte) (Header, error) {
	if len(raw) > MaxHeader {
		return Header{}, record.Errorf(record.Invalid, "a header of %d bytes", len(raw))
	}
	list, rest, err := rlp.SplitList(raw)
	if err != nil || len(rest) > 0 {
		return Header{}, record.Errorf(record.Invalid, "a header that is not one list in RLP")
	}
	h := Header{Hash: record.Hash(crypto.Keccak256Hash(raw))}
	var n int
	for ; len(list) > 0; n++ {
		var field []byte
		if field, list, err = rlp.SplitString(list); err != nil {
			return Header{}, record.Errorf(record.Invalid, "field %d of a header is not in RLP", n)
		}
		if err := h.read(n, field); err != nil {
			return Header{}, err
		}
	}
	if n < fieldsLeast {
		return Header{}, record.Errorf(record.Invalid, "a header of %d fields", n)
	}
	return h, nil
}

// read takes field n of the header.
func (h *Header) read(n int, field []byte) (err error) {
	if n < fieldsLeast && sizes[n] != 0 && len(field) != sizes[n] {
		return record.Errorf(record.Invalid, "field %d of a header has %d bytes, not %d", n, len(field), sizes[n])
	}
	switch n {
	case fieldState:
		h.State = record.Hash(field)
	case fieldNumber:
		h.Block, err = integer(field)
	case fieldTime:
		h.Time, err = integer(field)
	}
	return err
}

// integer reads a big-endian one that a record can hold.
func integer(b []byte) (n int64, err error) {
	if len(b) > 7 || len(b) > 0 && b[0] == 0 || len(b) == 7 && b[0] >= 1<<5 {
		return 0, record.Errorf(record.Invalid, "a header holds an impossible number")
	}
	for _, x := range b {
		n = n<<8 | int64(x)
	}
	return n, nil
}

// Account is what a state trie says of an account.
type Account struct {
	Storage record.Hash // root of its storage trie
	Code    record.Hash // Keccak-256 of its code
}

// AccountAt follows the proof of an account from a state's root. NotFound: the
// proof shows that there is no such account.
func AccountAt(state record.Hash, address record.Account, nodes [][]byte) (Account, error) {
	value, err := follow(state, address[:], nodes)
	if err != nil {
		return Account{}, err
	}
	var a types.StateAccount
	if err := rlp.DecodeBytes(value, &a); err != nil {
		return Account{}, record.Errorf(record.Invalid, "the state holds no account at %s", address)
	}
	if len(a.CodeHash) != len(record.Hash{}) {
		return Account{}, record.Errorf(record.Invalid, "the account %s has a code hash of %d bytes", address, len(a.CodeHash))
	}
	return Account{Storage: record.Hash(a.Root), Code: record.Hash(a.CodeHash)}, nil
}

// WordAt follows the proof of a slot from an account's storage root. NotFound:
// the proof shows that the slot is empty.
func WordAt(storage, slot record.Hash, nodes [][]byte) (word [32]byte, err error) {
	if storage == record.Hash(types.EmptyRootHash) {
		// An empty trie has no node that could prove anything.
		return word, record.Errorf(record.NotFound, "the account's storage is empty")
	}
	value, err := follow(storage, slot[:], nodes)
	if err != nil {
		return word, err
	}
	b, rest, err := rlp.SplitString(value)
	if err != nil || len(rest) > 0 || len(b) == 0 || len(b) > len(word) || b[0] == 0 {
		return word, record.Errorf(record.Invalid, "the slot %s holds no word", slot)
	}
	copy(word[len(word)-len(b):], b)
	return word, nil
}

// follow reads the value of a key. The nodes must be those of the path, from
// the root on, and no others: nothing stands in a proof that is not checked.
func follow(root record.Hash, key []byte, nodes [][]byte) ([]byte, error) {
	if len(nodes) > MaxNodes {
		return nil, record.Errorf(record.Invalid, "a proof of %d nodes", len(nodes))
	}
	p := &path{rest: nodes}
	value, err := trie.VerifyProof(common.Hash(root), crypto.Keccak256(key), p)
	switch {
	case err != nil:
		return nil, record.Errorf(record.Invalid, "the nodes of a proof don't follow from the root %s", root)
	case len(p.rest) > 0:
		return nil, record.Errorf(record.Invalid, "a proof of %d nodes more than its path has", len(p.rest))
	case value == nil: // and no error: the nodes prove the absence
		return nil, record.Errorf(record.NotFound, "the proof shows that there is nothing")
	}
	return value, nil
}

// path hands out the nodes of a proof one after another, each only under its
// own hash.
type path struct{ rest [][]byte }

var errNotNext = errors.New("not the next node of the path")

// Get returns the next node if it has this hash.
func (p *path) Get(hash []byte) ([]byte, error) {
	if len(p.rest) == 0 || len(p.rest[0]) > MaxNode || !bytes.Equal(crypto.Keccak256(p.rest[0]), hash) {
		return nil, errNotNext
	}
	node := p.rest[0]
	p.rest = p.rest[1:]
	return node, nil
}

// Has tells whether Get would return the node.
func (p *path) Has(hash []byte) (bool, error) {
	return len(p.rest) > 0 && bytes.Equal(crypto.Keccak256(p.rest[0]), hash), nil
}

// Pick puts what a node answered into the order of the key's path, and leaves
// out what does not lie on it: some answer with nodes that stand inside others,
// too. Whether the outcome proves anything is for the strict readers to say.
func Pick(root record.Hash, key []byte, answered [][]byte) [][]byte {
	p := picker{nodes: map[common.Hash][]byte{}}
	for _, node := range answered {
		p.nodes[crypto.Keccak256Hash(node)] = node
	}
	_, _ = trie.VerifyProof(common.Hash(root), crypto.Keccak256(key), &p) // a fault shows when the path is followed
	return p.picked
}

// picker remembers which nodes were asked for.
type picker struct {
	nodes  map[common.Hash][]byte
	picked [][]byte
}

func (p *picker) Get(hash []byte) ([]byte, error) {
	node, ok := p.nodes[common.Hash(hash)]
	if !ok || len(p.picked) == MaxNodes {
		return nil, errNotNext
	}
	p.picked = append(p.picked, node)
	return node, nil
}

func (p *picker) Has(hash []byte) (bool, error) {
	_, ok := p.nodes[common.Hash(hash)]
	return ok, nil
}
