package evm_test

import (
	"context"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/ethclient/gethclient"
	"github.com/ethereum/go-ethereum/rlp"

	"dxd/hashanchor"
	"dxd/hashanchor/evm"
	"dxd/internal/devchain"
	"dxd/record"
)

// slotAndWord are where the genuine contract would keep an anchor's entry, and
// the entry, by docs/spec/anchor-contract.md.
func slotAndWord(a hashanchor.Anchor) (slot, word [32]byte) {
	inner := crypto.Keccak256(make([]byte, 12), a.Account[:], make([]byte, 32))
	copy(slot[:], crypto.Keccak256(a.Root[:], inner))
	big.NewInt(a.ChainID).FillBytes(word[8:16])
	big.NewInt(a.Block).FillBytes(word[16:24])
	big.NewInt(a.Time).FillBytes(word[24:32])
	return slot, word
}

// bornWith deploys the genuine runtime code with a constructor that writes an
// anchor of the past into its storage first, and returns the address.
func (w world) bornWith(t *testing.T, a hashanchor.Anchor) record.Account {
	t.Helper()
	code, err := hexutil.Decode(artifact(t).RuntimeCode)
	if err != nil {
		t.Fatal(err)
	}
	slot, word := slotAndWord(a)
	size := []byte{byte(len(code) >> 8), byte(len(code))}
	const constructor = 33 + 33 + 1 + 3 + 3 + 2 + 1 + 3 + 2 + 1
	init := slices.Concat(
		[]byte{0x7f}, word[:], []byte{0x7f}, slot[:], []byte{0x55}, // PUSH32 word, PUSH32 slot, SSTORE
		[]byte{0x61}, size, []byte{0x61, 0, constructor, 0x60, 0, 0x39}, // PUSH2 size, PUSH2 offset, PUSH1 0, CODECOPY
		[]byte{0x61}, size, []byte{0x60, 0, 0xf3}, // PUSH2 size, PUSH1 0, RETURN
		code)
	client, err := ethclient.DialContext(t.Context(), w.dev.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	key, err := crypto.HexToECDSA(strings.TrimPrefix(devchain.Key, "0x"))
	if err != nil {
		t.Fatal(err)
	}
	from := crypto.PubkeyToAddress(key.PublicKey)
	nonce, err := client.PendingNonceAt(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	tx, err := types.SignNewTx(key, types.NewLondonSigner(big.NewInt(devchain.DefaultChainID)), &types.DynamicFeeTx{
		ChainID: big.NewInt(devchain.DefaultChainID), Nonce: nonce, Gas: 1_000_000,
		GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(100e9), Data: init,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.SendTransaction(context.Background(), tx); err != nil {
		t.Fatal(err)
	}
	w.mine(t, 3)
	address := crypto.CreateAddress(from, nonce)
	there, err := client.CodeAt(t.Context(), address, nil)
	if err != nil || string(there) != string(code) {
		t.Fatalf("the forged contract does not have the genuine code: %x, %v", there, err)
	}
	return record.Account(address)
}

// proofOf is a state proof that is genuine in itself, of any contract's slot.
func (w world) proofOf(t *testing.T, contract record.Account, slot [32]byte) (header []byte, account, nodes [][]byte) {
	t.Helper()
	client, err := ethclient.DialContext(t.Context(), w.dev.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	h, err := client.HeaderByNumber(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if header, err = rlp.EncodeToBytes(h); err != nil {
		t.Fatal(err)
	}
	p, err := gethclient.New(client.Client()).GetProof(t.Context(), common.Address(contract), []string{hexutil.Encode(slot[:])}, h.Number)
	if err != nil {
		t.Fatal(err)
	}
	decode := func(all []string) (out [][]byte) {
		for _, s := range all {
			out = append(out, hexutil.MustDecode(s))
		}
		return out
	}
	return header, decode(p.AccountProof), decode(p.StorageProof[0].Proof)
}

func TestAContractThatWasBornWithAPastIsRefused(t *testing.T) {
	w := newWorld(t, evm.Config{})
	w.mine(t, 3)
	past := w.anchor(record.Hash{9})
	past.Block, past.Time = 1, 1_600_000_000
	forged := past
	forged.Contract = w.bornWith(t, past)
	slot, _ := slotAndWord(past)
	header, account, nodes := w.proofOf(t, forged.Contract, slot)

	_, err := w.Lookup(t.Context(), forged)
	wantKind(t, err, record.Invalid, "not the address of HashAnchor")
	_, err = evm.CheckState(forged, header, account, nodes)
	wantKind(t, err, record.Invalid, "not the address of HashAnchor")
	// Passed off as the genuine one, its account's path leads elsewhere.
	_, err = evm.CheckState(past, header, account, nodes)
	wantKind(t, err, record.Invalid)
	if found := w.lookup(t, past.Root); found.Standing != hashanchor.Missing {
		t.Errorf("the genuine contract says %+v", found)
	}
	genuine := w.anchored(t, record.Hash{8})
	slot, _ = slotAndWord(genuine)
	header, account, nodes = w.proofOf(t, genuine.Contract, slot)
	if _, err := evm.CheckState(genuine, header, account, nodes); err != nil {
		t.Errorf("the genuine contract's proof, made the same way: %v", err)
	}
}

func TestEvidenceFromAChainOfAnotherIdIsRefused(t *testing.T) {
	// Its genesis is the same: the id stands in no header.
	other := bareWorld(t, devchain.Config{ChainID: 4711}, evm.Config{})
	if _, err := other.Deploy(t.Context()); err != nil {
		t.Fatal(err)
	}
	other.dev.Pause()
	w := newWorld(t, evm.Config{})
	if a, b := w.genesis(t), other.genesis(t); a != b {
		t.Fatalf("the blocks 0 are %s and %s", a, b)
	}
	root := record.Hash{5}
	tx, err := other.Prepare(t.Context(), root, other.head(t).Nonce, hashanchor.Transaction{})
	if err != nil {
		t.Fatal(err)
	}
	other.send(t, tx)
	other.mine(t, 3)
	a := other.anchor(root)
	a.ChainID = 4711
	found, err := other.Lookup(t.Context(), a)
	if err != nil || found.Standing != hashanchor.Final {
		t.Fatalf("%+v, %v", found, err)
	}
	a.Block, a.Time = found.Block, found.Time
	s := other.stateProof(t, a)
	if _, err := evm.CheckState(a, s.Header, s.Account, s.Slots[0]); err != nil {
		t.Fatal(err)
	}
	claimed := a
	claimed.ChainID = devchain.DefaultChainID
	_, err = evm.CheckState(claimed, s.Header, s.Account, s.Slots[0])
	wantKind(t, err, record.Invalid, "the anchor says chain 1337")
	_, err = other.Lookup(t.Context(), claimed)
	wantKind(t, err, record.Invalid, "on chain 1337")
	_, err = w.Lookup(t.Context(), a)
	wantKind(t, err, record.Invalid, "on chain 4711")
	if found, err := w.Lookup(t.Context(), claimed); err != nil || found.Standing != hashanchor.Missing {
		t.Errorf("%+v, %v", found, err)
	}
}

func (w world) genesis(t *testing.T) record.Hash {
	t.Helper()
	b, err := w.Block(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return b.Hash
}
