package evm_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	ethcrypto "github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"

	"dxd/hashanchor"
	"dxd/hashanchor/evm"
	"dxd/internal/devchain"
	"dxd/record"
)

func TestARootBecomesIncludedAndFinal(t *testing.T) {
	w := newWorld(t, evm.Config{})
	root := record.Hash{1}
	if found := w.lookup(t, root); found.Standing != hashanchor.Missing {
		t.Fatalf("before: %+v", found)
	}
	tx := w.prepare(t, root)
	w.send(t, tx)
	w.send(t, tx) // the node has it already
	w.mine(t, 1)
	included := w.lookup(t, root)
	b, err := w.Block(t.Context(), w.dev.Head())
	if err != nil {
		t.Fatal(err)
	}
	want := hashanchor.Found{Standing: hashanchor.Included, Block: b.Block, Time: b.Time, BlockHash: b.Hash, Head: b.Block}
	if included != want {
		t.Errorf("included: %+v, want %+v", included, want)
	}
	w.mine(t, 1)
	if found := w.lookup(t, root); found.Standing != hashanchor.Included {
		t.Errorf("one block later: %+v", found)
	}
	w.mine(t, 1)
	want.Standing, want.Head = hashanchor.Final, b.Block+2
	if found := w.lookup(t, root); found != want {
		t.Errorf("two blocks later: %+v", found)
	}
	if h := w.head(t); h.Final != b || h.Block != b.Block+2 || h.Nonce != tx.Nonce+1 {
		t.Errorf("the head is %+v", h)
	}
}

func TestARepeatChangesNothing(t *testing.T) {
	w := newWorld(t, evm.Config{})
	root := record.Hash{2}
	w.included(t, root)
	before := w.lookup(t, root)
	w.included(t, root)
	after := w.lookup(t, root)
	if before.Head = after.Head; after != before {
		t.Errorf("from %+v to %+v", before, after)
	}
}

func TestAccountsDoNotTakeEachOthersRoots(t *testing.T) {
	w := newWorld(t, evm.Config{})
	root := record.Hash{3}
	w.included(t, root)
	other := w.anchor(root)
	other.Account = record.Account{1}
	if found, err := w.Lookup(t.Context(), other); err != nil || found.Standing != hashanchor.Missing {
		t.Errorf("another account's root: %+v, %v", found, err)
	}
}

func TestAnchoringCostsLittleGas(t *testing.T) {
	w := newWorld(t, evm.Config{})
	// A root is 32 bytes, whatever the batch. None of these is zero, and such
	// bytes cost the most.
	root := record.Hash(bytes.Repeat([]byte{0xff}, 32))
	client, err := ethclient.DialContext(t.Context(), w.dev.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, c := range []struct {
		name  string
		limit uint64
	}{{"first", 60_000}, {"repeat", 30_000}} {
		tx := w.included(t, root)
		r, err := client.TransactionReceipt(t.Context(), common.Hash(tx.Hash))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s anchor: %d gas", c.name, r.GasUsed)
		if r.Status != 1 || r.GasUsed >= c.limit {
			t.Errorf("%s anchor: status %d, %d gas, not below %d", c.name, r.Status, r.GasUsed, c.limit)
		}
	}
}

func TestAReplacementTakesTheNonce(t *testing.T) {
	w := newWorld(t, evm.Config{})
	root := record.Hash{5}
	old := w.prepare(t, root)
	w.send(t, old)
	dearer, err := w.Prepare(t.Context(), root, old.Nonce, old)
	if err != nil {
		t.Fatal(err)
	}
	if dearer.Nonce != old.Nonce || dearer.Fee < old.Fee+old.Fee/8 || dearer.Tip <= old.Tip || dearer.Hash == old.Hash {
		t.Errorf("from %+v to %+v", old, dearer)
	}
	w.send(t, dearer)
	w.mine(t, 1)
	if found := w.lookup(t, root); found.Standing != hashanchor.Included {
		t.Errorf("found %+v", found)
	}
	wantKind(t, w.Send(t.Context(), old), record.Conflict)
}

func TestANonceThatIsTakenIsAConflict(t *testing.T) {
	w := newWorld(t, evm.Config{})
	tx := w.prepare(t, record.Hash{6})
	rival, err := w.Prepare(t.Context(), record.Hash{7}, tx.Nonce, hashanchor.Transaction{})
	if err != nil {
		t.Fatal(err)
	}
	w.send(t, tx)
	wantKind(t, w.Send(t.Context(), rival), record.Conflict) // it waits
	w.mine(t, 1)
	wantKind(t, w.Send(t.Context(), rival), record.Conflict) // it is in a block
	wantKind(t, w.Send(t.Context(), tx), record.Conflict)    // even its own
}

func TestTheCeilingHolds(t *testing.T) {
	w := newWorld(t, evm.Config{})
	low := w.at(t, evm.Config{URLs: []string{w.dev.URL()}, MaxFee: 3})
	_, err := low.Prepare(t.Context(), record.Hash{8}, 0, hashanchor.Transaction{})
	wantKind(t, err, record.Quota, "gwei", "0.000000003")
	old := w.prepare(t, record.Hash{8})
	_, err = w.at(t, evm.Config{URLs: []string{w.dev.URL()}, MaxFee: old.Fee}).Prepare(t.Context(), record.Hash{8}, 0, old)
	wantKind(t, err, record.Quota)
	capped, err := w.at(t, evm.Config{URLs: []string{w.dev.URL()}, MaxFee: old.Fee - 1}).Prepare(t.Context(), record.Hash{8}, 0, hashanchor.Transaction{})
	if err != nil || capped.Fee != old.Fee-1 {
		t.Errorf("below the ceiling: %+v, %v", capped, err)
	}
}

func TestAnAccountWithoutCoinMayBePaidLater(t *testing.T) {
	w := newWorld(t, evm.Config{})
	poor := newSigner(t)
	c := newChain(t, evm.Config{URLs: []string{w.dev.URL()}, Signer: poor})
	tx, err := c.Prepare(t.Context(), record.Hash{9}, 0, hashanchor.Transaction{})
	if err != nil {
		t.Fatal(err)
	}
	err = c.Send(t.Context(), tx)
	wantKind(t, err, record.Unavailable, poor.Account().String(), "holds 0 ", "needs up to 0.0000")
	var short *hashanchor.ShortError
	if !errors.As(err, &short) || short.Needs.Sign() <= 0 || !strings.Contains(record.Hint(err), "send at least 0.0000") {
		t.Errorf("the error is %#v, with the hint %q", err, record.Hint(err))
	}
	if balance, err := c.Balance(t.Context()); err != nil || balance.Cmp(new(big.Int)) != 0 {
		t.Errorf("balance %v, %v", balance, err)
	}
}

func TestAReorgTakesARootBack(t *testing.T) {
	w := newWorld(t, evm.Config{})
	root := record.Hash{10}
	tx := w.included(t, root)
	before := w.lookup(t, root)
	if err := w.dev.Reorg(1, true); err != nil {
		t.Fatal(err)
	}
	if found := w.lookup(t, root); found.Standing != hashanchor.Missing {
		t.Fatalf("after the reorg: %+v", found)
	}
	if h := w.head(t); h.Nonce != tx.Nonce {
		t.Fatalf("after the reorg the nonce is %d", h.Nonce)
	}
	w.send(t, tx) // the same bytes
	w.mine(t, 1)
	after := w.lookup(t, root)
	if after.Standing != hashanchor.Included || after.Block <= before.Block || after.BlockHash == before.BlockHash {
		t.Errorf("anchored again: %+v, before %+v", after, before)
	}
}

func TestAReorgMovesARoot(t *testing.T) {
	w := newWorld(t, evm.Config{})
	root := record.Hash{11}
	w.mine(t, 2)
	w.included(t, root)
	before := w.lookup(t, root)
	if err := w.dev.Reorg(3, false); err != nil {
		t.Fatal(err)
	}
	after := w.lookup(t, root)
	if after.Standing != hashanchor.Final || after.Block != before.Block-2 {
		t.Errorf("moved from %+v to %+v", before, after)
	}
}

func TestFinalityFollowsTheTagWhereTheChainHasOne(t *testing.T) {
	w := newWorld(t, evm.Config{})
	tagged := newChain(t, evm.Config{URLs: []string{w.dev.URL()}})
	tx := w.prepare(t, record.Hash{12})
	w.send(t, tx)
	w.mine(t, int(31-w.dev.Head()))
	found, err := tagged.Lookup(t.Context(), w.anchor(record.Hash{12}))
	if err != nil || found.Standing != hashanchor.Included {
		t.Errorf("at block 31: %+v, %v", found, err)
	}
	w.mine(t, 1)
	found, err = tagged.Lookup(t.Context(), w.anchor(record.Hash{12}))
	if err != nil || found.Standing != hashanchor.Final {
		t.Errorf("at block 32: %+v, %v", found, err)
	}
}

func TestTheEntryStandsInTheSlotOfTheSpec(t *testing.T) {
	w := newWorld(t, evm.Config{})
	root := record.Hash{13}
	w.included(t, root)
	found, account := w.lookup(t, root), w.signer.Account()
	slot := ethcrypto.Keccak256Hash(root[:], ethcrypto.Keccak256(common.LeftPadBytes(account[:], 32), make([]byte, 32)))
	client, err := ethclient.DialContext(t.Context(), w.dev.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	word, err := client.StorageAt(t.Context(), common.Address(evm.ContractAddress()), slot, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%032x%016x%016x", devchain.DefaultChainID, found.Block, found.Time)
	if got := fmt.Sprintf("%x", word); got != want {
		t.Errorf("the slot holds %s, not %s", got, want)
	}
}
