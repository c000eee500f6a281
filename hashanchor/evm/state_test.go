package evm_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/rlp"

	"dxd/hashanchor"
	"dxd/hashanchor/evm"
	"dxd/record"
)

// anchored is where a root stands that was anchored for good.
func (w world) anchored(t testing.TB, root record.Hash) hashanchor.Anchor {
	t.Helper()
	w.included(t, root)
	w.mine(t, 2)
	a, found := w.anchor(root), w.lookup(t, root)
	if found.Standing != hashanchor.Final {
		t.Fatalf("the root is %+v", found)
	}
	a.Block, a.Time = found.Block, found.Time
	return a
}

func (w world) stateProof(t testing.TB, anchors ...hashanchor.Anchor) hashanchor.State {
	t.Helper()
	s, err := w.StateProof(t.Context(), anchors)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAStateProofLeadsToTheHashOfAFinalBlock(t *testing.T) {
	w := newWorld(t, evm.Config{})
	var anchors []hashanchor.Anchor
	for i := range byte(40) { // so that the trie has branches
		w.included(t, record.Hash{i + 1})
	}
	for i := range byte(3) {
		anchors = append(anchors, w.anchored(t, record.Hash{'a', i}))
	}
	s := w.stateProof(t, anchors...)
	final := w.head(t).Final
	size := len(s.Header)
	for i, a := range anchors {
		block, err := evm.CheckState(a, s.Header, s.Account, s.Slots[i])
		if err != nil || block != final {
			t.Errorf("anchor %d leads to %+v, %v; the final block is %+v", i, block, err, final)
		}
		size += len(bytes.Join(s.Slots[i], nil))
	}
	t.Logf("header, account and 3 slots: %d bytes", size+len(bytes.Join(s.Account, nil)))
	if _, err := evm.CheckState(anchors[0], s.Header, s.Account, s.Slots[1]); record.KindOf(err) != record.Invalid {
		t.Errorf("another anchor's slot: %v", err)
	}
}

func TestARootThatIsNotFinalHasNoSlot(t *testing.T) {
	w := newWorld(t, evm.Config{})
	there := w.anchored(t, record.Hash{1})
	w.included(t, record.Hash{2})
	claimed := there // by a partner, say
	claimed.Time--
	s := w.stateProof(t, there, w.anchor(record.Hash{2}), w.anchor(record.Hash{3}), claimed)
	if len(s.Slots) != 4 || s.Slots[0] == nil || s.Slots[1] != nil || s.Slots[2] != nil || s.Slots[3] != nil {
		t.Errorf("the slots are %v", s.Slots)
	}
}

func TestTheStorageOfAContractWithoutEntriesProvesNothing(t *testing.T) {
	w := newWorld(t, evm.Config{})
	w.mine(t, 3)
	if s := w.stateProof(t, w.anchor(record.Hash{1})); s.Slots[0] != nil {
		t.Errorf("a slot of %d nodes", len(s.Slots[0]))
	}
}

func TestAStateProofOfAnotherAnchorIsRefused(t *testing.T) {
	w := newWorld(t, evm.Config{})
	genuine := w.anchored(t, record.Hash{1})
	s := w.stateProof(t, genuine)
	for name, change := range map[string]func(a *hashanchor.Anchor){
		"chain id":    func(a *hashanchor.Anchor) { a.ChainID++ },
		"contract":    func(a *hashanchor.Anchor) { a.Contract[3]++ },
		"account":     func(a *hashanchor.Anchor) { a.Account[3]++ },
		"root":        func(a *hashanchor.Anchor) { a.Root[3]++ },
		"block":       func(a *hashanchor.Anchor) { a.Block-- },
		"later block": func(a *hashanchor.Anchor) { a.Block++ },
		"time":        func(a *hashanchor.Anchor) { a.Time-- },
	} {
		a := genuine
		change(&a)
		if _, err := evm.CheckState(a, s.Header, s.Account, s.Slots[0]); record.KindOf(err) != record.Invalid {
			t.Errorf("another %s: %v", name, err)
		}
	}
}

func TestNoFlippedByteOfAStateProofLeadsToTheSameBlock(t *testing.T) {
	w := newWorld(t, evm.Config{})
	a := w.anchored(t, record.Hash{1})
	s := w.stateProof(t, a)
	want, err := evm.CheckState(a, s.Header, s.Account, s.Slots[0])
	if err != nil {
		t.Fatal(err)
	}
	parts := slices.Concat([][]byte{s.Header}, s.Account, s.Slots[0])
	tried := 0
	for n, part := range parts {
		for i := range part {
			for _, bit := range []byte{1, 0x80} {
				part[i] ^= bit
				got, err := evm.CheckState(a, s.Header, s.Account, s.Slots[0])
				if err == nil && (n > 0 || got.Hash == want.Hash) {
					t.Fatalf("byte %d of part %d: %+v", i, n, got)
				}
				part[i] ^= bit
				tried++
			}
		}
	}
	if tried < 1000 {
		t.Errorf("only %d changes", tried)
	}
	for name, change := range map[string]func(s *hashanchor.State){
		"a node more":            func(s *hashanchor.State) { s.Account = append(s.Account, s.Account[0]) },
		"a node less":            func(s *hashanchor.State) { s.Account = s.Account[1:] },
		"no nodes":               func(s *hashanchor.State) { s.Slots = [][][]byte{nil} },
		"the account's as slot":  func(s *hashanchor.State) { s.Slots = [][][]byte{s.Account} },
		"a byte behind a header": func(s *hashanchor.State) { s.Header = append(s.Header, 0) },
		"a header cut":           func(s *hashanchor.State) { s.Header = s.Header[:len(s.Header)-1] },
		"a header without end":   func(s *hashanchor.State) { s.Header = make([]byte, 20<<10) },
	} {
		c := hashanchor.State{Header: slices.Clone(s.Header), Account: slices.Clone(s.Account), Slots: slices.Clone(s.Slots)}
		change(&c)
		if got, err := evm.CheckState(a, c.Header, c.Account, c.Slots[0]); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestAHeaderOfAnotherRuleGetsNoStateProof(t *testing.T) {
	w := newWorld(t, evm.Config{})
	a := w.anchored(t, record.Hash{1})
	seals := between(t, w.dev.URL(), func(r request) any {
		if r.Method != "eth_getBlockByHash" {
			return nil
		}
		return mutated(t, w.dev.URL(), r, func(b map[string]any) { b["extraData"] = "0x" + strings.Repeat("00", 97) })
	})
	c := w.at(t, evm.Config{URLs: []string{seals}})
	_, err := c.StateProof(t.Context(), []hashanchor.Anchor{a})
	wantKind(t, err, record.Refused, "another rule")
	_, err = w.at(t, evm.Config{URLs: []string{seals, seals}}).StateProof(t.Context(), []hashanchor.Anchor{a})
	wantKind(t, err, record.Refused, "another rule")
	// One endpoint that says so keeps no other from giving it.
	if _, err := w.at(t, evm.Config{URLs: []string{seals, w.dev.URL()}}).StateProof(t.Context(), []hashanchor.Anchor{a}); err != nil {
		t.Error(err)
	}
}

func TestAnEndpointsLieAboutTheStateIsNoProof(t *testing.T) {
	w := newWorld(t, evm.Config{})
	a := w.anchored(t, record.Hash{1})
	s := w.stateProof(t, a)
	for name, answer := range map[string]any{
		"not supported":  nodeError("the method eth_getProof does not exist"),
		"null":           map[string]any{},
		"no slots":       map[string]any{"accountProof": hexes(s.Account), "storageProof": []any{}},
		"no account":     map[string]any{"accountProof": []string{}, "storageProof": []any{map[string]any{"proof": []string{}}}},
		"nonsense nodes": map[string]any{"accountProof": hexes(s.Account), "storageProof": []any{map[string]any{"proof": []string{"0x00", "0xc0"}}}},
	} {
		c := w.at(t, evm.Config{URLs: []string{between(t, w.dev.URL(), answering("eth_getProof", answer))}})
		if _, err := c.StateProof(t.Context(), []hashanchor.Anchor{a}); record.KindOf(err) != record.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What else a node answers with is left out.
	more := map[string]any{
		"accountProof": append(hexes(s.Account), "0xc0"),
		"storageProof": []any{map[string]any{"proof": append(hexes(s.Slots[0]), "0x1234")}},
	}
	c := w.at(t, evm.Config{URLs: []string{between(t, w.dev.URL(), answering("eth_getProof", more))}})
	got, err := c.StateProof(t.Context(), []hashanchor.Anchor{a})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := evm.CheckState(a, got.Header, got.Account, got.Slots[0]); err != nil {
		t.Error(err)
	}
}

func TestAHeaderWithFieldsOfLaterRulesIsRead(t *testing.T) {
	w := newWorld(t, evm.Config{})
	a := w.anchored(t, record.Hash{1})
	s := w.stateProof(t, a)
	fields, err := rlp.SplitListValues(s.Header)
	if err != nil {
		t.Fatal(err)
	}
	var raw []rlp.RawValue
	for _, f := range fields {
		raw = append(raw, f)
	}
	later, err := rlp.EncodeToBytes(append(raw, rlp.RawValue{0x83, 1, 2, 3}))
	if err != nil {
		t.Fatal(err)
	}
	block, err := evm.CheckState(a, later, s.Account, s.Slots[0])
	if err != nil {
		t.Fatal(err)
	}
	if before, _ := evm.CheckState(a, s.Header, s.Account, s.Slots[0]); block.Hash == before.Hash || block.Block != before.Block {
		t.Errorf("from %+v to %+v", before, block)
	}
}
