package evm_test

import (
	"testing"

	"dxd/hashanchor/evm"
)

func TestWhatAnOldAccountHoldsGoesToTheNewOne(t *testing.T) {
	w := newWorld(t, evm.Config{})
	w.dev.Resume()
	heir := newSigner(t)
	other := w.at(t, evm.Config{URLs: []string{w.dev.URL()}})
	before, err := w.Balance(t.Context())
	must(t, err)
	if rest, err := other.Sweep(t.Context(), heir.Account()); err != nil || rest != evm.Moved {
		t.Fatalf("it gave %v, %v", rest, err)
	}
	w.dev.Pause()
	left, err := w.Balance(t.Context())
	must(t, err)
	got, err := newChain(t, evm.Config{URLs: []string{w.dev.URL()}, Signer: heir}).Balance(t.Context())
	must(t, err)
	if left.Sign() < 0 || left.Cmp(got) >= 0 || before.Cmp(got) <= 0 || got.Sign() == 0 {
		t.Errorf("of %s, %s came and %s is left", before, got, left)
	}
	if rest, err := other.Sweep(t.Context(), heir.Account()); err != nil || rest != evm.Fresh {
		t.Errorf("before the block is final it gave %v, %v", rest, err)
	}
	w.dev.Mine(2)
	if rest, err := other.Sweep(t.Context(), heir.Account()); err != nil || rest != evm.Gone {
		t.Errorf("once the block is final it gave %v, %v", rest, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
