package exchange_test

import (
	"encoding/json"
	"slices"
	"testing"

	"dxd/blobstore"
	"dxd/exchange"
	"dxd/hashanchor"
	"dxd/record"
)

// exchanged sends a document, has it accepted, and returns its manifest and both
// receipts, as its sender has them.
func (n *node) exchanged(to *node, doc string) (id record.TransferID, records []record.Envelope) {
	n.t.Helper()
	id = n.delivered(n.send(to.name, []byte(doc)).ID).ID
	to.says(id, exchange.Word{State: exchange.Accepted, Application: "fine"})
	until(n.t, "the word", func() bool {
		manifest, receipts := n.records(id)
		records = append([]record.Envelope{manifest}, receipts...)
		return len(receipts) == 2
	})
	return id, records
}

func TestWhatAPartnerWithoutAChainSignsIsAnchoredByUs(t *testing.T) {
	a, b, c := newNode(t, "anna"), newNode(t, "bert"), newNode(t, "carl")
	b.alone.Store(true)
	pair(t, a, b)
	pair(t, a, c)
	_, out := a.exchanged(b, "to bert")
	_, in := b.exchanged(a, "from bert")
	_, others := a.exchanged(c, "to carl")
	has := func(n *node, e record.Envelope, want bool) {
		t.Helper()
		if got := slices.Contains(n.leaves(), e.ID()); got != want {
			t.Errorf("that %s has a leaf of this %s is %v", n.name, e.Name(), got)
		}
	}
	for _, e := range slices.Concat(out, in) {
		has(a, e, true)
	}
	has(a, others[0], true)
	for _, e := range others[1:] {
		has(a, e, false) // carl anchors them
	}
	for _, e := range append(in[1:], out[0]) {
		has(b, e, false) // which has no chain to anchor them on
	}
	for _, e := range append(out[1:], in[0]) {
		has(b, e, true) // as ever: it may have a chain one day
	}
}

func TestTheProofOfWhatWeSignedComesFromThePartnerThatAnchors(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	b.alone.Store(true)
	pair(t, a, b)
	out, sent := a.exchanged(b, "to bert")
	in, received := b.exchanged(a, "from bert")
	for _, e := range slices.Concat(sent, received) {
		a.proven(e)
		b.isPushed(e.ID())
	}
	for _, id := range []record.TransferID{out, in} {
		file, err := b.Evidence(t.Context(), id)
		check(t, err)
		e, err := hashanchor.ParseEvidence(file)
		check(t, err)
		if len(e.Proofs) != 3 {
			t.Errorf("the evidence has %d proofs", len(e.Proofs))
		}
		for _, p := range e.Proofs {
			if p.Anchor.Account != a.keys.Account() {
				t.Errorf("a proof by %s", p.Anchor.Account)
			}
		}
	}
}

func TestAPartnersProofOfWhatWeSignedIsCheckedOrNotNeeded(t *testing.T) {
	a, b, c := newNode(t, "anna"), newNode(t, "bert"), newNode(t, "carl")
	b.alone.Store(true)
	pair(t, a, b)
	pair(t, c, b)
	_, records := a.exchanged(b, "to bert")
	ours := records[1]
	tell := func(account record.Account, change func(*hashanchor.Proof)) said {
		t.Helper()
		p := proofOf(t, ours, account)
		change(&p)
		raw, err := p.Bytes()
		check(t, err)
		return a.tells(t, b).tell(map[string]any{"proof": json.RawMessage(raw)})
	}
	same := func(*hashanchor.Proof) {}
	for what, got := range map[string]said{
		"by a stranger to this transfer": tell(c.keys.Account(), same),
		"with another root":              tell(a.keys.Account(), func(p *hashanchor.Proof) { p.Anchor.Root[0] ^= 1 }),
	} {
		if got.OK || got.Retry || b.pushed(ours.ID()) {
			t.Errorf("a proof %s: %+v", what, got)
		}
	}
	b.alone.Store(false) // meanwhile it has a chain
	if got := tell(a.keys.Account(), same); !got.OK || b.pushed(ours.ID()) {
		t.Errorf("a proof that is not needed any more: %+v, kept %v", got, b.pushed(ours.ID()))
	}
	b.alone.Store(true)
	if got := tell(a.keys.Account(), same); !got.OK || !b.pushed(ours.ID()) {
		t.Errorf("a proof that holds: %+v, kept %v", got, b.pushed(ours.ID()))
	}
}

func TestAPartnersRecordIsAnchoredByAnAccountBesideIt(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	b.alone.Store(true)
	pair(t, a, b)
	older := a.keys.Account()
	_, out := a.exchanged(b, "to bert")
	a.keys.Become(rotated(t, a.keys))
	a.nextCard()
	_, later := a.exchanged(b, "under the next card")
	for e, want := range map[*record.Envelope][]record.Account{&out[1]: {older}, &later[1]: {a.keys.Account(), older}} {
		check(t, a.store.View(t.Context(), func(tx blobstore.ReadTx) error {
			got, err := a.AccountsOf(tx, e.ID())
			if !slices.Equal(got, want) {
				t.Errorf("the receipt may be anchored by %v, not by %v", got, want)
			}
			return err
		}))
	}
}

func TestAProofOfAnotherChainKeepsNoConfirmedOneOutOfEvidence(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	id, records := a.exchanged(b, "to bert")
	p := proofOf(t, records[0], a.keys.Account())
	p.Anchor.ChainID = 5 // which bert can't ask, and so keeps as it is
	raw, err := p.Bytes()
	check(t, err)
	if got := a.tells(t, b).tell(map[string]any{"proof": json.RawMessage(raw)}); !got.OK {
		t.Fatalf("%+v", got)
	}
	chains := func() (ids []int64) {
		t.Helper()
		file, err := b.Evidence(t.Context(), id)
		check(t, err)
		e, err := hashanchor.ParseEvidence(file)
		check(t, err)
		for _, p := range e.Proofs {
			ids = append(ids, p.Anchor.ChainID)
		}
		return ids
	}
	if got := chains(); !slices.Equal(got, []int64{5}) {
		t.Errorf("before anything is confirmed the proofs are of the chains %v", got)
	}
	b.proven(records[1])
	if got := chains(); !slices.Equal(got, []int64{1337}) {
		t.Errorf("beside a confirmed one the proofs are of the chains %v", got)
	}
}

func TestWhatAPartnerClaimsDoesNotSpoilConfirmedEvidence(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	id, records := a.exchanged(b, "to bert")
	p := proofOf(t, records[1], b.keys.Account())
	p.Anchor.Block = 1 << 40 // to which the chain comes when the evidence has been given out
	raw, err := p.Bytes()
	check(t, err)
	if got := b.tells(t, a).tell(map[string]any{"proof": json.RawMessage(raw)}); !got.OK || !a.pushed(records[1].ID()) {
		t.Fatalf("%+v", got)
	}
	a.proven(records[0])
	check(t, a.store.Update(t.Context(), func(tx blobstore.Tx) error { // as a queue with a chain has it
		return tx.Set("q/t", []byte(`{"leaves":1,"closed":1,"final":1,"chain":true}`))
	}))
	file, err := a.Evidence(t.Context(), id)
	check(t, err)
	e, err := hashanchor.ParseEvidence(file)
	check(t, err)
	if len(e.Proofs) != 1 || e.Proofs[0].Record != records[0].ID() {
		t.Errorf("the evidence has the proofs %+v", e.Proofs)
	}
}
