package evm

import (
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"

	"dxd/record"
)

func TestWhatNodesMean(t *testing.T) {
	for text, want := range map[string]verdict{
		"already known":                                known,
		"Known transaction":                            known,
		"AlreadyKnown, hash: 0x1":                      known,
		"transaction already imported":                 known,
		"unknown transaction type":                     unclear,
		"nonce too low: next nonce 4, tx nonce 3":      nonceTaken,
		"OldNonce, Current nonce: 4":                   nonceTaken,
		"replacement transaction underpriced":          nonceTaken,
		"could not replace existing tx":                nonceTaken,
		"transaction underpriced":                      priceLow,
		"max fee per gas less than block base fee":     priceLow,
		"Gas price below configured minimum gas price": priceLow,
		"insufficient funds for gas * price + value":   noCoin,
		"Upfront cost exceeds account balance":         noCoin,
		"nonce too high":                               unclear,
		"txpool is full":                               unclear,
	} {
		err := record.Errorf(record.Unavailable, "http://host: %w", nodeError{text})
		if got := verdictOf(err); got != want {
			t.Errorf("%q means %d, not %d", text, got, want)
		}
	}
}

func TestAmountsArePrintedExactly(t *testing.T) {
	for wei, want := range map[int64]string{0: "0", 1: "0.000000000000000001", 1e18: "1", 15e17: "1.5", 1e16: "0.01"} {
		if got := ether(big.NewInt(wei)); got != want {
			t.Errorf("%d wei are %s ether", wei, got)
		}
	}
	if got := gwei(big.NewInt(200e9)); got != "200" {
		t.Errorf("200 gwei are %s", got)
	}
}

func TestTheFactoryIsWhatItsTransactionMakes(t *testing.T) {
	var tx types.Transaction
	if err := tx.UnmarshalBinary(mustHex(factoryTransaction)); err != nil {
		t.Fatal(err)
	}
	from, err := types.Sender(types.HomesteadSigner{}, &tx)
	if err != nil || record.Account(from).String() != factoryDeployer {
		t.Errorf("it is sent by %s, %v", from, err)
	}
	if made := crypto.CreateAddress(from, 0); made != common.Address(factory()) {
		t.Errorf("it makes %s", made)
	}
	if tx.Cost().Cmp(big.NewInt(factoryCost)) != 0 {
		t.Errorf("it costs %v", tx.Cost())
	}
}
