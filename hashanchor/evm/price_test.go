package evm_test

import (
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"

	"dxd/hashanchor"
	"dxd/hashanchor/evm"
	"dxd/record"
)

// pricing is an endpoint in front of w's that says prices of its own; "" is the
// node's own answer.
func (w world) pricing(t *testing.T, base, tip, gas string) string {
	return between(t, w.dev.URL(), func(r request) any {
		switch {
		case r.Method == "eth_maxPriorityFeePerGas" && tip != "":
			return tip
		case r.Method == "eth_estimateGas" && gas != "":
			return gas
		case r.Method == "eth_getBlockByNumber" && base != "":
			b, err := w.Block(t.Context(), w.dev.Head())
			if err != nil {
				t.Error(err)
			}
			answer := asNode(b, "0x0")
			answer["baseFeePerGas"] = base
			return answer
		}
		return nil
	})
}

// gasOf is the gas limit of a signed transaction.
func gasOf(t *testing.T, tx hashanchor.Transaction) uint64 {
	t.Helper()
	var signed types.Transaction
	if err := signed.UnmarshalBinary(hexutil.MustDecode(tx.Raw)); err != nil {
		t.Fatal(err)
	}
	return signed.Gas()
}

// absurd is a number of 256 bits.
var absurd = "0x" + strings.Repeat("f", 64)

func TestNoAnswerAboutPricesIsBelievedBeyondBounds(t *testing.T) {
	const ceiling = 100_000_000_000
	w := newWorld(t, evm.Config{})
	for name, c := range map[string]struct {
		base, tip, gas string
		kind           record.Kind // of the error while this endpoint is alone; 0: none
	}{
		"an absurd base fee":        {base: absurd, kind: record.Quota},
		"a base fee at the ceiling": {base: quantity(ceiling), kind: record.Quota},
		"a base fee of nothing":     {base: "0x0"},
		"a base fee that is text":   {base: "much", kind: record.Unavailable},
		"a negative base fee":       {base: "-0x1", kind: record.Unavailable},
		"a base fee of 257 bits":    {base: absurd + "0", kind: record.Unavailable},
		"an absurd tip":             {tip: absurd},
		"a tip at the ceiling":      {tip: quantity(ceiling)},
		"a tip that is text":        {tip: "much", kind: record.Unavailable},
		"no tip":                    {tip: "0x0"},
		"absurd gas":                {gas: absurd, kind: record.Unavailable},
		"gas of a whole block":      {gas: "0x1c9c380", kind: record.Unavailable},
		"no gas":                    {gas: "0x0"},
		"both":                      {base: absurd, tip: absurd, kind: record.Quota},
	} {
		t.Run(name, func(t *testing.T) {
			liar := w.pricing(t, c.base, c.tip, c.gas)
			tx, err := w.at(t, evm.Config{URLs: []string{liar}, MaxFee: ceiling}).Prepare(t.Context(), record.Hash{1}, 0, hashanchor.Transaction{})
			if c.kind != record.Internal {
				wantKind(t, err, c.kind)
			} else if err != nil {
				t.Fatal(err)
			} else if gas := gasOf(t, tx); tx.Fee > ceiling || tx.Tip > ceiling/4 || tx.Tip < 0 || gas < 60_000 || gas > 500_000 {
				t.Errorf("alone it makes us pay %+v for %d gas", tx, gas)
			}
			honest := w.prepare(t, record.Hash{1})
			for _, urls := range [][]string{{liar, w.dev.URL()}, {w.dev.URL(), liar}} {
				tx, err := w.at(t, evm.Config{URLs: urls, MaxFee: ceiling}).Prepare(t.Context(), record.Hash{1}, 0, hashanchor.Transaction{})
				if err != nil {
					t.Fatalf("beside a sane one it holds us up: %v", err)
				}
				if tx.Fee > honest.Fee || tx.Tip > honest.Tip {
					t.Errorf("beside a sane one it makes us pay %d and %d, not %d and %d", tx.Fee, tx.Tip, honest.Fee, honest.Tip)
				}
			}
		})
	}
}

func TestAPriceThatWasFarTooLowComesUpSoon(t *testing.T) {
	const ceiling = 100_000_000_000
	w := newWorld(t, evm.Config{})
	honest := w.prepare(t, record.Hash{1})
	c := w.at(t, evm.Config{URLs: []string{w.pricing(t, "0x0", "0x0", ""), w.dev.URL()}, MaxFee: ceiling})
	tx, err := c.Prepare(t.Context(), record.Hash{1}, honest.Nonce, hashanchor.Transaction{})
	if err != nil {
		t.Fatal(err)
	}
	steps := 0
	for ; tx.Fee < honest.Fee || tx.Tip < honest.Tip; steps++ {
		if tx, err = c.Prepare(t.Context(), record.Hash{1}, honest.Nonce, tx); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d replacements from nothing to %d wei and a tip of %d", steps, honest.Fee, honest.Tip)
	if steps > 40 {
		t.Errorf("%d replacements", steps)
	}
	for {
		dearer, err := c.Prepare(t.Context(), record.Hash{1}, honest.Nonce, tx)
		if err != nil {
			wantKind(t, err, record.Quota)
			break
		}
		if dearer.Fee > ceiling || dearer.Tip > dearer.Fee || dearer.Tip < dearer.Fee/8 || dearer.Fee < tx.Fee+tx.Fee/8 || dearer.Tip <= tx.Tip {
			t.Fatalf("from %+v to %+v", tx, dearer)
		}
		tx = dearer
	}
	if tx.Fee < ceiling/9*8 {
		t.Errorf("the ceiling is %d, and replacements end at %d", int64(ceiling), tx.Fee)
	}
}

func TestCostIsWhatAnAccountMustHold(t *testing.T) {
	w := newWorld(t, evm.Config{})
	cost, err := w.Cost(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tx := w.prepare(t, record.Hash{1})
	if want := int64(gasOf(t, tx)) * tx.Fee; cost.Int64() < want || cost.Int64() > want+want/50 {
		t.Errorf("it costs %v, not some %d", cost, want)
	}
}
