package stateproof_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/ethereum/go-ethereum/crypto"

	"dxd/hashanchor/evm/stateproof"
	"dxd/record"
)

// sample is the state proof of the specification's evidence.
func sample(t testing.TB) (header []byte, account [][]byte, slot [][]byte) {
	t.Helper()
	data, err := os.ReadFile("../../../docs/spec/testdata/evidence-state-proof.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		States []struct {
			Header  []byte   `json:"header"`
			Account [][]byte `json:"account"`
			Slots   []struct {
				Nodes [][]byte `json:"nodes"`
			} `json:"slots"`
		} `json:"state_proof"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	s := file.States[0]
	return s.Header, s.Account, s.Slots[0].Nodes
}

var contract = must(record.ParseAccount("0x7bd1cd0a9e005bee56e9f9d2ac5ce5318678b00c"))

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestAbsenceIsToldFromPresence(t *testing.T) {
	raw, nodes, slot := sample(t)
	h, err := stateproof.ParseHeader(raw)
	if err != nil {
		t.Fatal(err)
	}
	a, err := stateproof.AccountAt(h.State, contract, nodes)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		follow func() error
		want   record.Kind
	}{
		// The root alone shows where another account would have to be.
		"another account": {func() error {
			other := contract
			for {
				other[0]++
				path := stateproof.Pick(h.State, other[:], nodes)
				if _, err := stateproof.AccountAt(h.State, other, path); record.KindOf(err) != record.Invalid {
					return err
				}
			}
		}, record.NotFound},
		"another slot": {func() error {
			for i := byte(0); ; i++ {
				key := record.Hash{i}
				path := stateproof.Pick(a.Storage, key[:], slot)
				if _, err := stateproof.WordAt(a.Storage, key, path); record.KindOf(err) != record.Invalid {
					return err
				}
			}
		}, record.NotFound},
		"an empty storage": {func() error {
			_, err := stateproof.WordAt(record.Hash(crypto.Keccak256([]byte{0x80})), record.Hash{}, nil)
			return err
		}, record.NotFound},
		"no nodes": {func() error { _, err := stateproof.AccountAt(h.State, contract, nil); return err }, record.Invalid},
	} {
		if err := c.follow(); record.KindOf(err) != c.want || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzHeader holds that a header is read as a whole or not at all, under its
// own hash.
func FuzzHeader(f *testing.F) {
	raw, _, _ := sample(f)
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		h, err := stateproof.ParseHeader(raw)
		if err != nil {
			if h != (stateproof.Header{}) {
				t.Fatal("something is returned on an error")
			}
			return
		}
		if h.Hash != record.Hash(crypto.Keccak256(raw)) || h.Block < 0 || h.Time < 0 {
			t.Fatalf("%+v", h)
		}
	})
}

// FuzzNodes follows nodes of which the first is always the one asked for, so
// that what reads them is reached.
func FuzzNodes(f *testing.F) {
	_, account, slot := sample(f)
	pad := func(nodes [][]byte) [3][]byte { return [3][]byte(append(nodes, nil, nil, nil)[:3]) }
	for _, nodes := range [][3][]byte{pad(account), pad(slot)} {
		f.Add(nodes[0], nodes[1], nodes[2])
	}
	f.Fuzz(func(t *testing.T, first, second, third []byte) {
		root := record.Hash(crypto.Keccak256(first))
		nodes := [][]byte{first, second, third}
		for n := range nodes {
			if a, err := stateproof.AccountAt(root, contract, nodes[:n+1]); err != nil && a != (stateproof.Account{}) {
				t.Fatal("something is returned on an error")
			}
			if w, err := stateproof.WordAt(root, record.Hash{}, nodes[:n+1]); err != nil && w != [32]byte{} {
				t.Fatal("something is returned on an error")
			}
		}
		stateproof.Pick(root, contract[:], nodes)
	})
}
