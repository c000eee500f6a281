package evm_test

import (
	"math/big"
	"testing"
	"time"

	"dxd/hashanchor/evm"
	"dxd/record"
)

func TestWhatAnOldAccountHoldsGoesToTheNewOne(t *testing.T) {
	w := newWorld(t, evm.Config{})
	before, known := w.balance(t), w.head(t).Final
	heir := newSigner(t)
	w.sweep(t, heir.Account())
	left := w.balance(t)
	got, err := newChain(t, evm.Config{URLs: []string{w.dev.URL()}, Signer: heir}).Balance(t.Context())
	must(t, err)
	if left.Sign() < 0 || left.Cmp(got) >= 0 || before.Cmp(got) <= 0 || got.Sign() == 0 {
		t.Errorf("of %s, %s came and %s is left", before, got, left)
	}
	if rest, err := w.Sweep(t.Context(), heir.Account(), known, time.Time{}); err != nil || rest != evm.Fresh {
		t.Errorf("before the block is final it gave %v, %v", rest, err)
	}
	w.mine(t, 2)
	for name, c := range map[string]struct {
		known record.Beacon
		since time.Time
		want  evm.Rest
	}{
		"once the block is final":                {known, time.Time{}, evm.Gone},
		"once the newest final block is known":   {w.head(t).Final, time.Time{}, evm.Gone},
		"while no final block is known":          {record.Beacon{}, time.Time{}, evm.Fresh},
		"while none is known of this chain":      {record.Beacon{ChainID: 5, Hash: record.Hash{1}}, time.Time{}, evm.Fresh},
		"before a final block is as new as that": {known, time.Now().Add(time.Hour), evm.Fresh},
	} {
		if rest, err := w.Sweep(t.Context(), heir.Account(), c.known, c.since); err != nil || rest != c.want {
			t.Errorf("%s it gave %v, %v", name, rest, err)
		}
	}
	c := w.at(t, evm.Config{URLs: []string{w.dev.URL(), closedPort(t)}})
	rest, err := c.Sweep(t.Context(), heir.Account(), known, time.Time{})
	wantKept(t, rest, err, record.Unavailable)
}

func TestOneHonestEndpointIsEnoughToKeepAKey(t *testing.T) {
	w := newWorld(t, evm.Config{})
	head := w.head(t)
	genesis, err := w.Block(t.Context(), 0)
	must(t, err)
	for name, c := range map[string]struct {
		lie   func(request) any
		known record.Beacon
		kind  record.Kind
		says  string
	}{
		"one that hides what is held":     {answering("eth_getBalance", "0x0"), head.Final, record.Conflict, "held 0 of the chain's coin then"},
		"one that is behind":              {w.stuck(t, genesis.Time), head.Final, record.Unavailable, " is behind: its last final block is 0"},
		"one that makes an old block new": {w.stuck(t, time.Now().Unix()), genesis, record.Conflict, "the endpoints disagree"},
	} {
		t.Run(name, func(t *testing.T) {
			liar := between(t, w.dev.URL(), c.lie)
			rest, err := w.at(t, evm.Config{URLs: []string{liar, w.dev.URL()}}).Sweep(t.Context(), newSigner(t).Account(), c.known, time.Now().Add(-time.Hour))
			wantKept(t, rest, err, c.kind, liar, c.says)
		})
	}
}

// An honest node that has not come to the block in which the account was paid
// says that there is nothing.
func TestAnEndpointThatIsBehindTakesNoKey(t *testing.T) {
	w := newWorld(t, evm.Config{})
	genesis, err := w.Block(t.Context(), 0)
	must(t, err)
	heir, head := newSigner(t).Account(), w.head(t)
	behind := between(t, w.dev.URL(), w.stuck(t, genesis.Time))
	c := w.at(t, evm.Config{URLs: []string{behind}})
	rest, err := c.Sweep(t.Context(), heir, head.Final, time.Time{})
	wantKept(t, rest, err, record.Unavailable, behind, " is behind")
	// After a restart, all that is known may be older than it.
	if rest, err := c.Sweep(t.Context(), heir, genesis, time.Now().Add(-time.Hour)); err != nil || rest != evm.Fresh {
		t.Errorf("with a final block that is too old it gave %v, %v", rest, err)
	}
}

func TestAHighPriceMakesNothingOfNoCoin(t *testing.T) {
	w := newWorld(t, evm.Config{})
	for name, held := range map[string]struct {
		wei  *big.Int
		want evm.Rest
	}{
		"what 31 transfers cost": {big.NewInt(186e15), evm.Kept},
		"more than dust":         {big.NewInt(1e15 + 1), evm.Kept},
		"dust":                   {big.NewInt(1e15), evm.Gone},
	} {
		dear := between(t, w.dev.URL(), func(r request) any {
			switch {
			case r.Method == "eth_getBalance":
				return "0x" + held.wei.Text(16)
			case r.Method == "eth_getBlockByNumber" && string(r.Params[0]) == `"latest"`:
				return mutated(t, w.dev.URL(), r, func(b map[string]any) { b["baseFeePerGas"] = quantity(150e9) })
			}
			return nil
		})
		c := w.at(t, evm.Config{URLs: []string{dear}})
		if rest, err := c.Sweep(t.Context(), newSigner(t).Account(), w.head(t).Final, time.Time{}); err != nil || rest != held.want {
			t.Errorf("with %s it gave %v, %v", name, rest, err)
		}
	}
}

// stuck has an endpoint answer as one for which the genesis block, of that
// time, is final, and whose newest block is two above it. Nobody has been paid
// anything by then.
func (w world) stuck(t *testing.T, genesis int64) func(request) any {
	return func(r request) any {
		if r.Method == "eth_getBalance" {
			return "0x0"
		}
		if r.Method != "eth_getBlockByNumber" {
			return nil
		}
		switch string(r.Params[0]) {
		case `"latest"`:
			r.Params[0] = []byte(`"0x2"`)
			return mutated(t, w.dev.URL(), r, func(map[string]any) {})
		case `"0x0"`:
			return mutated(t, w.dev.URL(), r, func(b map[string]any) { b["timestamp"] = quantity(genesis) })
		}
		return nil
	}
}

// sweep sends what w's account holds, in a block that is not final yet.
func (w world) sweep(t *testing.T, to record.Account) {
	t.Helper()
	w.dev.Resume()
	rest, err := w.Sweep(t.Context(), to, record.Beacon{}, time.Time{})
	w.dev.Pause()
	if err != nil || rest != evm.Moved {
		t.Fatalf("it gave %v, %v", rest, err)
	}
}

func (w world) balance(t *testing.T) *big.Int {
	t.Helper()
	wei, err := w.Balance(t.Context())
	must(t, err)
	return wei
}

func wantKept(t *testing.T, rest evm.Rest, err error, kind record.Kind, parts ...string) {
	t.Helper()
	if rest != evm.Kept {
		t.Errorf("it gave %v", rest)
	}
	wantKind(t, err, kind, parts...)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
