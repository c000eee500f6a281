package evm

import (
	"context"
	"encoding/binary"

	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rlp"

	"dxd/hashanchor"
	"dxd/hashanchor/evm/stateproof"
	"dxd/record"
)

// slotOf is where the contract keeps the entry of (account, root): the mapping
// in slot 0 (docs/spec/anchor-contract.md).
func slotOf(account record.Account, root record.Hash) record.Hash {
	inner := crypto.Keccak256(make([]byte, 12), account[:], make([]byte, 32))
	return record.Hash(crypto.Keccak256(root[:], inner))
}

// wordOf is the entry as the contract packs it.
func wordOf(a hashanchor.Anchor) (w [32]byte) {
	binary.BigEndian.PutUint64(w[8:], uint64(a.ChainID))
	binary.BigEndian.PutUint64(w[16:], uint64(a.Block))
	binary.BigEndian.PutUint64(w[24:], uint64(a.Time))
	return w
}

// CheckState is that of hashanchor, for the genuine contract. Chain id, block
// and time of the anchor are compared with the entry, in which the contract
// wrote them; the contract's address is computed here, and the code that stands
// at it compared, so that no other contract can have made the entry.
func CheckState(a hashanchor.Anchor, header []byte, account, slot [][]byte) (record.Beacon, error) {
	code := genuine()
	if err := code.check(a.Contract); err != nil {
		return record.Beacon{}, err
	}
	h, err := stateproof.ParseHeader(header)
	if err != nil {
		return record.Beacon{}, err
	}
	there, err := stateproof.AccountAt(h.State, code.address, account)
	if err != nil {
		return record.Beacon{}, record.Errorf(record.Invalid, "the state proof of the contract: %w", err)
	}
	if there.Code != record.Hash(crypto.Keccak256(code.runtime)) {
		return record.Beacon{}, record.Errorf(record.Invalid, "the state proof shows other code at %s than HashAnchor's", code.address)
	}
	word, err := stateproof.WordAt(there.Storage, slotOf(a.Account, a.Root), slot)
	if err != nil {
		return record.Beacon{}, record.Errorf(record.Invalid, "the state proof of the root %s: %w", a.Root, err)
	}
	if word != wordOf(a) {
		return record.Beacon{}, record.Errorf(record.Invalid, "the state proof shows the entry %s for the root %s; the anchor says chain %d, block %d, time %d",
			record.Hash(word), a.Root, a.ChainID, a.Block, a.Time)
	}
	if h.Block < a.Block || h.Time < a.Time {
		return record.Beacon{}, record.Errorf(record.Invalid, "the state proof is of block %d, before the anchor's %d", h.Block, a.Block)
	}
	return record.Beacon{ChainID: a.ChainID, Block: h.Block, Hash: h.Hash, Time: h.Time}, nil
}

// StateProof asks for state proofs of anchors at the last final block, and
// checks each. An anchor that this block does not have, or has with another
// block or time, gets no slot. The error is of kind
//
//   - Unavailable: no endpoint gives state proofs for now, or none ever does.
//   - Refused: the chain hashes its headers by another rule than
//     Ethereum's, so that nobody could check a proof down to a block's hash.
func (c *Chain) StateProof(ctx context.Context, anchors []hashanchor.Anchor) (hashanchor.State, error) {
	return first(ctx, c, func(ctx context.Context, e *endpoint) (hashanchor.State, error) {
		return c.stateProof(ctx, e, anchors)
	})
}

func (c *Chain) stateProof(ctx context.Context, e *endpoint, anchors []hashanchor.Anchor) (hashanchor.State, error) {
	final, err := c.final(ctx, e)
	if err != nil {
		return hashanchor.State{}, err
	}
	if final.Hash.IsZero() {
		return hashanchor.State{}, record.Errorf(record.Unavailable, "no block is final yet, says %s", e.name)
	}
	s := hashanchor.State{}
	if s.Header, err = e.header(ctx, final); err != nil {
		return hashanchor.State{}, err
	}
	h, err := stateproof.ParseHeader(s.Header)
	if err != nil {
		return hashanchor.State{}, err
	}
	answer, err := e.proof(ctx, c.contract.address, anchors, final)
	if err != nil {
		return hashanchor.State{}, err
	}
	s.Account = stateproof.Pick(h.State, c.contract.address[:], raw(answer.Account))
	there, err := stateproof.AccountAt(h.State, c.contract.address, s.Account)
	if err != nil {
		return hashanchor.State{}, record.Errorf(record.Unavailable, "%s gave no proof of the contract: %w", e.name, err)
	}
	for i, a := range anchors {
		slot := slotOf(a.Account, a.Root)
		nodes := stateproof.Pick(there.Storage, slot[:], raw(answer.Slots[i].Proof))
		word, err := stateproof.WordAt(there.Storage, slot, nodes)
		if record.KindOf(err) == record.NotFound || err == nil && word != wordOf(a) {
			s.Slots = append(s.Slots, nil)
			continue
		}
		if err != nil {
			return hashanchor.State{}, record.Errorf(record.Unavailable, "%s gave no proof of a slot: %w", e.name, err)
		}
		if _, err := CheckState(a, s.Header, s.Account, nodes); err != nil {
			return hashanchor.State{}, record.Errorf(record.Unavailable, "%s gave a state proof that does not hold: %w", e.name, err)
		}
		s.Slots = append(s.Slots, nodes)
	}
	return s, nil
}

// header asks for a block's header in the form that is hashed, and takes it
// only if its hash is the one by which the chain calls the block.
func (e *endpoint) header(ctx context.Context, b block) ([]byte, error) {
	var h *types.Header
	if err := e.call(ctx, &h, "eth_getBlockByHash", b.Hash, false); err != nil {
		return nil, err
	}
	if h == nil {
		return nil, record.Errorf(record.Unavailable, "%s forgot block %d", e.name, *b.Number)
	}
	raw, err := rlp.EncodeToBytes(h)
	if err != nil || record.Hash(crypto.Keccak256(raw)) != b.Hash {
		return nil, record.WithHint(
			record.Errorf(record.Refused, "the chain at %s hashes its blocks' headers by another rule than Ethereum's, so there are no state proofs", e.name),
			"QBFT, IBFT and some roll-ups do so; evidence without a state proof is verified with --rpc")
	}
	return raw, nil
}

// proofAnswer is what is read of eth_getProof's answer (EIP-1186): the nodes
// alone. What they say is read from them.
type proofAnswer struct {
	Account []hexutil.Bytes `json:"accountProof"`
	Slots   []struct {
		Proof []hexutil.Bytes `json:"proof"`
	} `json:"storageProof"`
}

func (e *endpoint) proof(ctx context.Context, contract record.Account, anchors []hashanchor.Anchor, at block) (proofAnswer, error) {
	keys := make([]record.Hash, len(anchors))
	for i, a := range anchors {
		keys[i] = slotOf(a.Account, a.Root)
	}
	var answer proofAnswer
	if err := e.call(ctx, &answer, "eth_getProof", contract, keys, atBlock(at)); err != nil {
		return answer, err
	}
	if len(answer.Slots) != len(anchors) {
		return answer, record.Errorf(record.Unavailable, "%s gave %d proofs for %d slots", e.name, len(answer.Slots), len(anchors))
	}
	return answer, nil
}

// raw drops the type that read the hexadecimal.
func raw(nodes []hexutil.Bytes) [][]byte {
	all := make([][]byte, len(nodes))
	for i, n := range nodes {
		all[i] = n
	}
	return all
}
