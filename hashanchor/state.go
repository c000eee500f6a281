package hashanchor

import (
	"context"
	"fmt"
	"slices"

	"dxd/record"
)

// StateProof shows with no chain at hand what one block's state held: the
// block's header, and the proofs of EIP-1186 for the contract's account and for
// the slots of anchors. Only the hash of the block is left to be known from
// elsewhere. The nodes stand in the order of their path, the root first.
type StateProof struct {
	Header  []byte   `json:"header"` // RLP, as it is hashed
	Account [][]byte `json:"account"`
	Slots   []Slot   `json:"slots"`
}

// Slot is the path to the slot of one anchor.
type Slot struct {
	Record record.RecordID `json:"record"` // whose proof is the first to name this anchor
	Nodes  [][]byte        `json:"nodes"`
}

// State is what a chain answers when it is asked for state proofs of several
// anchors at one final block.
type State struct {
	Header  []byte     `json:"header"`
	Account [][]byte   `json:"account"`
	Slots   [][][]byte `json:"slots"` // one for each anchor, in the order in which they were asked for; empty if the block does not have it
}

// CheckState follows the nodes of a state proof from an anchor's entry to the
// hash of the block whose header this is. It is pure; Invalid: they don't lead
// there, or the entry is another.
type CheckState func(a Anchor, header []byte, account, slot [][]byte) (record.Beacon, error)

// Bounds of a state proof in bytes and nodes: a branch has at most 532 bytes,
// a path 64 steps, and a header some 600 bytes unless it lists validators.
const (
	maxHeader = 16 << 10
	maxNode   = 1 << 10
	maxNodes  = 64
)

// check looks at the form alone.
func (s StateProof) check() error {
	if len(s.Header) == 0 || len(s.Header) > maxHeader {
		return record.Errorf(record.Invalid, "a state proof with a header of %d bytes", len(s.Header))
	}
	if len(s.Slots) == 0 || len(s.Slots) > 1+maxReceipts {
		return record.Errorf(record.Invalid, "a state proof of %d slots", len(s.Slots))
	}
	paths := [][][]byte{s.Account}
	for _, slot := range s.Slots {
		paths = append(paths, slot.Nodes)
	}
	for _, nodes := range paths {
		if len(nodes) == 0 || len(nodes) > maxNodes {
			return record.Errorf(record.Invalid, "a state proof with a path of %d nodes", len(nodes))
		}
		if slices.ContainsFunc(nodes, func(n []byte) bool { return len(n) == 0 || len(n) > maxNode }) {
			return record.Errorf(record.Invalid, "a state proof with a node that is empty or has more than %d bytes", maxNode)
		}
	}
	return nil
}

// Anchors are those that the evidence's proofs name, each once, in their order.
func (e *Evidence) Anchors() (all []Anchor) {
	for _, p := range e.Proofs {
		if !slices.Contains(all, p.Anchor) {
			all = append(all, p.Anchor)
		}
	}
	return all
}

// checkStates follows every state proof of the file, from the entries that its
// proofs name to the hashes of blocks. To which blocks that is compared later.
func (v *verifier) checkStates() {
	if len(v.e.StateProof) == 0 {
		return
	}
	detail := ""
	err := v.openStates()
	for _, b := range v.blocks {
		detail += fmt.Sprintf(" and of block %d at %s, whose hash is %s", b.Block, utc(b.Time*1000), b.Hash)
	}
	if err == nil {
		detail = "the file's own proof shows what the contract held in the state" + detail[len(" and"):]
	}
	v.StateBlocks = v.blocks
	v.add(CheckStateProof, detail, hint(err, mendFile))
}

func (v *verifier) openStates() error {
	if v.o.CheckState == nil {
		return record.WithHint(record.Errorf(record.Invalid, "nothing here can check the file's state proof"), "verify it with `dxd verify`")
	}
	v.states = map[Anchor]record.Beacon{}
	first := -1
	for _, s := range v.e.StateProof {
		at := -1
		for i, slot := range s.Slots {
			p, place := v.slotPlace(slot)
			if p == nil || place <= at || i == 0 && place <= first {
				return record.Errorf(record.Invalid, "the state proof's slots are not those of the file's anchors, each once and in their order")
			}
			if at = place; i == 0 {
				first = place
			}
			if _, twice := v.states[p.Anchor]; twice {
				return record.Errorf(record.Invalid, "two state proofs of the root %s", p.Anchor.Root)
			}
			block, err := v.o.CheckState(p.Anchor, s.Header, s.Account, slot.Nodes)
			if err != nil {
				return err
			}
			v.states[p.Anchor] = block
			if i == 0 {
				v.blocks = append(v.blocks, block)
			}
		}
	}
	return nil
}

// slotPlace finds the proof that a slot is about, and its place among them:
// the first with its anchor. nil if there is none.
func (v *verifier) slotPlace(s Slot) (*Proof, int) {
	i := slices.IndexFunc(v.e.Proofs, func(p Proof) bool { return p.Record == s.Record })
	if i < 0 || i != slices.IndexFunc(v.e.Proofs, func(p Proof) bool { return p.Anchor == v.e.Proofs[i].Anchor }) {
		return nil, 0
	}
	return &v.e.Proofs[i], i
}

const (
	mendNoState = "whoever took the evidence can take it again: dxd evidence ID --state-proof; or ask a chain: --rpc URL"
	mendBlock   = "compare the block's number: --block-hash takes the hash of that very block; ask another source for it"
)

// checkStateBlocks compares the blocks to which the state proofs lead with the
// hashes that the verifier knows, or with the chain's.
func (v *verifier) checkStateBlocks(ctx context.Context) error {
	detail := ""
	for _, b := range v.blocks {
		if len(v.o.Blocks) > 0 {
			if !slices.Contains(v.o.Blocks, b.Hash) {
				v.add(CheckStateBlock, "", record.WithHint(record.Errorf(record.Invalid,
					"the state proof leads to block %d with the hash %s, which is none of those given", b.Block, b.Hash), mendBlock))
				return nil
			}
			detail += fmt.Sprintf("; block %d has the hash that was given", b.Block)
			continue
		}
		there, err := v.o.Chain.Block(ctx, b.Block)
		switch {
		case record.KindOf(err) == record.NotFound:
			v.addUndecided(CheckStateBlock, fmt.Sprintf("the state proof leads to block %d, to which the chain's endpoint has not come", b.Block), mendNotFinal)
			return nil
		case err != nil:
			return err
		case there != b:
			v.add(CheckStateBlock, "", record.WithHint(record.Errorf(record.Invalid,
				"the state proof leads to block %d with the hash %s; on the chain it has %s", b.Block, b.Hash, there.Hash), mendAnchor))
			return nil
		}
		detail += fmt.Sprintf("; block %d has this hash on the chain", b.Block)
	}
	if detail != "" {
		v.add(CheckStateBlock, detail[2:], nil)
	}
	return nil
}

// lookupState answers for a chain, out of the file's state proofs, which lead
// to blocks that the verifier knows.
func (v *verifier) lookupState(a Anchor) Found {
	block, ok := v.states[a]
	if !ok {
		return Found{}
	}
	return Found{Standing: Final, Block: a.Block, Time: a.Time, Head: block.Block}
}
