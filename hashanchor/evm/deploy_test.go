package evm_test

import (
	"context"
	"strings"
	"testing"

	"dxd/hashanchor/evm"
	"dxd/internal/devchain"
	"dxd/record"
)

func TestDeployPutsTheContractAtItsAddressOnce(t *testing.T) {
	for name, chain := range map[string]devchain.Config{
		"with the factory":            {ChainID: 4711},
		"where the factory is set up": {ChainID: 4711, NoFactory: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := bareWorld(t, chain, evm.Config{})
			d, err := w.Deploy(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if d.Contract != evm.ContractAddress() || d.ChainID != 4711 || d.Account != w.signer.Account() || d.Tx.IsZero() {
				t.Errorf("deployed %+v", d)
			}
			again, err := w.Deploy(t.Context())
			if err != nil || !again.Tx.IsZero() || again.Contract != d.Contract {
				t.Errorf("deployed again: %+v, %v", again, err)
			}
			w.head(t) // which checks the contract's code
		})
	}
}

func TestAnAccountWithoutCoinIsToldTheAmount(t *testing.T) {
	for _, lacking := range []bool{false, true} {
		w := bareWorld(t, devchain.Config{NoFactory: lacking}, evm.Config{})
		poor := newSigner(t)
		c := newChain(t, evm.Config{URLs: []string{w.dev.URL()}, Signer: poor})
		_, err := c.Deploy(t.Context())
		wantKind(t, err, record.Unavailable, poor.Account().String(), "holds 0 ", "needs up to 0.0")
		if !strings.Contains(record.Hint(err), "send at least 0.0") {
			t.Errorf("the hint is %q", record.Hint(err))
		}
	}
}

func TestANodeThatRefusesTheFactoryCostsNothing(t *testing.T) {
	w := bareWorld(t, devchain.Config{NoFactory: true}, evm.Config{})
	url := between(t, w.dev.URL(), answering("eth_sendRawTransaction", nodeError("only replay-protected (EIP-155) transactions allowed over RPC")))
	before, err := w.Balance(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.at(t, evm.Config{URLs: []string{url}}).Deploy(t.Context())
	wantKind(t, err, record.Unavailable, "replay-protected")
	if !strings.Contains(record.Hint(err), "genesis") {
		t.Errorf("the hint is %q", record.Hint(err))
	}
	if after, err := w.Balance(t.Context()); err != nil || after.Cmp(before) != 0 {
		t.Errorf("the balance went from %v to %v, %v", before, after, err)
	}
}

func TestOtherCodeAtTheAddressIsRefused(t *testing.T) {
	w := newWorld(t, evm.Config{})
	c := w.at(t, evm.Config{URLs: []string{between(t, w.dev.URL(), answering("eth_getCode", "0x6000"))}})
	_, err := c.Deploy(t.Context())
	wantKind(t, err, record.Invalid, evm.ContractAddress().String())
	_, err = c.Head(t.Context())
	wantKind(t, err, record.Invalid)
	_, err = c.Lookup(t.Context(), w.anchor(record.Hash{1}))
	wantKind(t, err, record.Invalid)
}

func TestBeforeDeploymentTheChainIsUnavailableAndRootsAreMissing(t *testing.T) {
	w := bareWorld(t, devchain.Config{}, evm.Config{})
	_, err := w.Head(t.Context())
	wantKind(t, err, record.Unavailable)
	if found := w.lookup(t, record.Hash{1}); found.Standing != "missing" || found.Head == 0 {
		t.Errorf("found %+v", found)
	}
}

func TestDeployStopsWaitingWithItsContext(t *testing.T) {
	w := bareWorld(t, devchain.Config{}, evm.Config{})
	w.dev.Pause()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	waiting := between(t, w.dev.URL(), func(r request) any {
		if r.Method == "eth_getTransactionReceipt" {
			cancel()
		}
		return nil
	})
	_, err := w.at(t, evm.Config{URLs: []string{waiting}}).Deploy(ctx)
	wantKind(t, err, record.Timeout)
	w.dev.Resume()
	w.mine(t, 1)
	if d, err := w.Deploy(t.Context()); err != nil || !d.Tx.IsZero() {
		t.Errorf("run again: %+v, %v", d, err)
	}
}
