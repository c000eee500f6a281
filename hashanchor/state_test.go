package hashanchor_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"github.com/ethereum/go-ethereum/crypto"

	"dxd/hashanchor"
	"dxd/hashanchor/evm"
	"dxd/internal/devchain"
	"dxd/record"
)

// Account and SignTransaction let an organisation of the fixture anchor on a
// real chain.
func (o *org) Account() record.Account { return o.address() }

func (o *org) SignTransaction(unsigned []byte) (sig [65]byte, err error) {
	compact := ecdsa.SignCompact(o.account, crypto.Keccak256(unsigned), false) // v ‖ r ‖ s
	copy(sig[:], compact[1:])
	sig[64] = compact[0] - 27
	return sig, nil
}

// renewed makes the story anew under cards that end a year from now.
func (s *story) renewed(t testing.TB) {
	renew(t, time.Now().AddDate(1, 0, 0), s.alpha, s.beta)
	s.sign(t)
}

// renew makes cards that end at this time.
func renew(t testing.TB, ends time.Time, orgs ...*org) {
	for _, o := range orgs {
		o.card = o.makeCard(t, 1, record.RecordID{}, ends.UnixMilli())
	}
}

// sign makes the records of the story under the cards that there are.
func (s *story) sign(t testing.TB) {
	s.manifest = s.signManifest(t, record.LaneDoc, s.opening)
	s.received = s.signReceipt(t, s.beta.card, record.RecordID{}, record.Entry{Status: record.StatusReceived})
	s.accepted = s.signReceipt(t, s.beta.card, s.received.ID(), record.Entry{Status: record.StatusAccepted})
	s.evidence.Cards = []record.Envelope{s.alpha.card.Envelope, s.beta.card.Envelope}
	s.evidence.Record = s.manifest.Envelope
	s.evidence.Receipts = []record.Envelope{s.received.Envelope, s.accepted.Envelope}
}

// realChain is a dev chain on which stories are anchored.
type realChain struct {
	*devchain.Chain
	t testing.TB
}

func newRealChain(t testing.TB, orgs ...*org) realChain {
	cfg := devchain.Config{}
	for _, o := range orgs {
		cfg.Fund = append(cfg.Fund, o.address())
	}
	dev, err := devchain.Start(cfg)
	must(t, err)
	t.Cleanup(func() { must(t, dev.Close()) })
	c := realChain{dev, t}
	_, err = c.of(orgs[0]).Deploy(t.Context())
	must(t, err)
	dev.Pause()
	return c
}

// of is an organisation's account on the chain.
func (c realChain) of(o *org) *evm.Chain {
	chain, err := evm.New(evm.Config{URLs: []string{c.URL()}, Finality: 2, Signer: o})
	must(c.t, err)
	return chain
}

// anchor anchors the root of a batch of one record and says where it stands.
func (c realChain) anchor(o *org, p *hashanchor.Proof) {
	chain := c.of(o)
	head, err := chain.Head(c.t.Context())
	must(c.t, err)
	tx, err := chain.Prepare(c.t.Context(), p.Anchor.Root, head.Nonce, hashanchor.Transaction{})
	must(c.t, err)
	must(c.t, chain.Send(c.t.Context(), tx))
	must(c.t, c.Mine(3))
	p.Anchor.Contract, p.Anchor.Account = evm.ContractAddress(), o.address()
	found, err := chain.Lookup(c.t.Context(), p.Anchor)
	must(c.t, err)
	if found.Standing != hashanchor.Final {
		c.t.Fatalf("the root is %+v", found)
	}
	p.Anchor.Block, p.Anchor.Time = found.Block, found.Time
}

// prove gives the evidence the state proofs of these anchors at the last final
// block.
func (c realChain) prove(e *hashanchor.Evidence, of *org, anchors ...hashanchor.Anchor) {
	state, err := c.of(of).StateProof(c.t.Context(), anchors)
	must(c.t, err)
	s := hashanchor.StateProof{Header: state.Header, Account: state.Account}
	for i, a := range anchors {
		at := slices.IndexFunc(e.Proofs, func(p hashanchor.Proof) bool { return p.Anchor == a })
		s.Slots = append(s.Slots, hashanchor.Slot{Record: e.Proofs[at].Record, Nodes: state.Slots[i]})
	}
	e.StateProof = append(e.StateProof, s)
}

// proven is a story with a state proof of both its anchors, and the block to
// which that leads.
func proven(t testing.TB) (*story, realChain, record.Beacon) {
	s := tell(t, "hello")
	s.renewed(t)
	c := newRealChain(t, s.alpha, s.beta)
	s.evidence.Proofs = []hashanchor.Proof{
		s.chain.anchor(t, s.alpha.address(), 50, s.manifest.Envelope),
		s.chain.anchor(t, s.beta.address(), 51, s.received.Envelope),
	}
	c.anchor(s.alpha, &s.evidence.Proofs[0])
	c.anchor(s.beta, &s.evidence.Proofs[1])
	c.prove(&s.evidence, s.alpha, s.evidence.Anchors()...)
	head, err := c.of(s.alpha).Head(t.Context())
	must(t, err)
	return s, c, head.Final
}

func stateOptions(blocks ...record.Hash) hashanchor.Options {
	return hashanchor.Options{Contract: evm.ContractAddress(), CheckState: evm.CheckState, Blocks: blocks}
}

func TestEvidenceWithAStateProofVerifiesWithNoNetworkAtAll(t *testing.T) {
	s, c, block := proven(t)
	file := s.file(t)
	r := verify(t, s.doc(), file, stateOptions(block.Hash))
	if r.ExitCode() != 0 || r.AnchoredAt == nil || len(r.StateBlocks) != 1 || r.StateBlocks[0] != block {
		t.Fatalf("%+v", r)
	}
	i := slices.IndexFunc(r.Checks, func(c hashanchor.Check) bool { return c.Name == hashanchor.CheckNotBefore })
	if r.NotBefore != nil || i < 0 || !strings.Contains(r.Checks[i].Detail, "nothing is known about the earliest time") {
		t.Errorf("nobody says why there is no earliest time: %v, %+v", r.NotBefore, r.Checks)
	}
	if r := verify(t, s.doc(), file, stateOptions(record.Hash{1}, block.Hash)); r.ExitCode() != 0 {
		t.Errorf("among several blocks: %+v", broken(r))
	}
	if r := verify(t, s.doc(), file, stateOptions(record.Hash{1})); r.ExitCode() != 3 || broken(r).Name != "state-block" {
		t.Errorf("another block's hash: %+v", broken(r))
	}
	if r := verify(t, s.doc(), file, stateOptions()); r.ExitCode() != 4 || !strings.Contains(broken(r).Detail, block.Hash.String()) {
		t.Errorf("nobody knows the block: %+v", broken(r))
	}
	if r := verify(t, s.doc(), file, hashanchor.Options{Blocks: []record.Hash{block.Hash}}); r.ExitCode() != 3 || broken(r).Name != "state-proof" {
		t.Errorf("nothing can check a state proof: %+v", broken(r))
	}
	o := stateOptions()
	o.Chain = c.of(s.alpha)
	if r := verify(t, s.doc(), file, o); r.ExitCode() != 0 {
		t.Errorf("the chain is asked, too: %+v", broken(r))
	}
	plain := s.evidence
	plain.StateProof = nil
	data, err := plain.Bytes()
	must(t, err)
	if r := verify(t, s.doc(), data, stateOptions(block.Hash)); r.ExitCode() != 4 || broken(r).Name != "anchor" {
		t.Errorf("without a state proof: %+v", broken(r))
	}
	t.Logf("%d bytes, %d of them the state proof", len(file), len(file)-len(data))
	if len(data) > 32<<10 || len(file) > 64<<10 {
		t.Errorf("%d bytes without, %d with the state proof", len(data), len(file))
	}
}

func TestEachAnchorMayHaveAStateProofAtABlockOfItsOwn(t *testing.T) {
	s, c, second := proven(t)
	a := s.evidence.Anchors()
	s.evidence.StateProof = nil
	c.prove(&s.evidence, s.alpha, a[0])
	must(t, c.Mine(1))
	c.prove(&s.evidence, s.alpha, a[1])
	head, err := c.of(s.alpha).Head(t.Context())
	must(t, err)
	file := s.file(t)
	if r := verify(t, s.doc(), file, stateOptions(second.Hash, head.Final.Hash)); r.ExitCode() != 0 || len(r.StateBlocks) != 2 {
		t.Errorf("both blocks are known: %+v", r.Checks)
	}
	if r := verify(t, s.doc(), file, stateOptions(second.Hash)); r.ExitCode() != 3 {
		t.Errorf("one of the blocks is not known: exit code %d", r.ExitCode())
	}
	s.evidence.StateProof = s.evidence.StateProof[:1]
	if r := verify(t, s.doc(), s.file(t), stateOptions(second.Hash)); r.ExitCode() != 4 || broken(r).Name != "receipt-anchor" {
		t.Errorf("the receipt's anchor has none: %+v", broken(r))
	}
}

func TestAStateProofHasOneForm(t *testing.T) {
	s, c, block := proven(t)
	genuine, a := s.evidence, s.evidence.Anchors()
	both := genuine.StateProof[0]
	half := func(i int) hashanchor.StateProof {
		return hashanchor.StateProof{Header: both.Header, Account: both.Account, Slots: both.Slots[i : i+1]}
	}
	must(t, c.Mine(1))
	c.prove(&s.evidence, s.alpha, a[0])
	later := s.evidence.StateProof[1]
	head, err := c.of(s.alpha).Head(t.Context())
	must(t, err)
	for name, states := range map[string][]hashanchor.StateProof{
		"slots in another order":        {{Header: both.Header, Account: both.Account, Slots: []hashanchor.Slot{both.Slots[1], both.Slots[0]}}},
		"a slot twice":                  {{Header: both.Header, Account: both.Account, Slots: []hashanchor.Slot{both.Slots[0], both.Slots[0]}}},
		"two proofs of one anchor":      {both, later},
		"state proofs in another order": {half(1), later},
		"one of no proof of the file":   {{Header: both.Header, Account: both.Account, Slots: []hashanchor.Slot{{Record: s.alpha.card.ID(), Nodes: both.Slots[0].Nodes}}}},
		"the slots of each other": {{Header: both.Header, Account: both.Account, Slots: []hashanchor.Slot{
			{Record: both.Slots[0].Record, Nodes: both.Slots[1].Nodes}, {Record: both.Slots[1].Record, Nodes: both.Slots[0].Nodes}}}},
		"the header of another block": {{Header: later.Header, Account: both.Account, Slots: both.Slots}},
	} {
		e := genuine
		e.StateProof = states
		data, err := e.Bytes()
		must(t, err)
		if r := verify(t, s.doc(), data, stateOptions(block.Hash, head.Final.Hash)); r.ExitCode() != 3 || broken(r).Name != "state-proof" {
			t.Errorf("%s: %+v", name, broken(r))
		}
	}
}

// TestNoChangeOfEvidenceWithAStateProofVerifies changes each leaf of the file's
// JSON, and flips each byte of all that stands in it in base64 or hexadecimal.
// The latter once: what a chain is asked besides has nothing to do with bytes.
func TestNoChangeOfEvidenceWithAStateProofVerifies(t *testing.T) {
	s, c, block := proven(t)
	file, other := s.file(t), stateOptions()
	other.Chain = c.of(s.alpha)
	for name, o := range map[string]hashanchor.Options{"by a block's hash": stateOptions(block.Hash), "by the chain": other} {
		t.Run(name, func(t *testing.T) {
			tried, broke := 0, map[string]int{}
			try := func(what string, data []byte) {
				tried++
				r := verify(t, s.doc(), data, o)
				if r.ExitCode() == 0 && !less[what] && !(o.Chain != nil && lessProven[what]) {
					t.Errorf("%s verifies", what)
				}
				broke[broken(r).Name]++
			}
			mutate(t, file, try)
			if o.Chain == nil {
				s.checkFlips(t, file, mutateBytes(t, file, try))
			}
			t.Logf("%d changes broke %v", tried, broke)
			if broke["state-proof"] == 0 {
				t.Error("no change broke the state proof alone")
			}
		})
	}
}

// checkFlips fails unless so many bytes are at least those of the signed
// records, of the header and of the nodes.
func (s *story) checkFlips(t *testing.T, file []byte, flipped int) {
	p, least := s.evidence.StateProof[0], 0
	for _, part := range slices.Concat([][]byte{p.Header}, p.Account, p.Slots[0].Nodes, p.Slots[1].Nodes) {
		least += len(part)
	}
	for _, e := range slices.Concat(s.evidence.Cards, []record.Envelope{s.evidence.Record}, s.evidence.Receipts) {
		least += len(e.LeafData()) - len("dxd/leaf/v1\nDSSEv1 ") - len(e.Name()) - 40 // payload and first signature
	}
	if t.Logf("%d bytes of a file of %d flipped", flipped, len(file)); flipped < least {
		t.Errorf("%d bytes flipped of %d: what are the others?", flipped, least)
	}
}

// lessProven holds the changes that take state proofs away, which a chain that
// is asked does without.
var lessProven = map[string]bool{" without state_proof": true, ".state_proof[0].slots shorter": true}

func TestRecordsOfTwoValidEvidencesCantBeSwapped(t *testing.T) {
	s, c, block := proven(t)
	other := *s
	other.document = []byte("another document")
	other.opening = opening("another document", 0, record.Document)
	other.renewed(t)
	other.evidence.Opening = other.opening
	other.evidence.Proofs = []hashanchor.Proof{
		s.chain.anchor(t, s.alpha.address(), 50, other.manifest.Envelope),
		s.chain.anchor(t, s.beta.address(), 51, other.received.Envelope),
	}
	c.anchor(s.alpha, &other.evidence.Proofs[0])
	c.anchor(s.beta, &other.evidence.Proofs[1])
	other.evidence.StateProof = nil
	c.prove(&other.evidence, s.alpha, other.evidence.Anchors()...)
	head, err := c.of(s.alpha).Head(t.Context())
	must(t, err)
	o := stateOptions(block.Hash, head.Final.Hash)
	for _, whole := range []*story{s, &other} {
		if r := verify(t, whole.doc(), whole.file(t), o); r.ExitCode() != 0 {
			t.Fatalf("before: %+v", broken(r))
		}
	}
	for name, swap := range map[string]func(e *hashanchor.Evidence, from hashanchor.Evidence){
		"record":   func(e *hashanchor.Evidence, from hashanchor.Evidence) { e.Record = from.Record },
		"receipts": func(e *hashanchor.Evidence, from hashanchor.Evidence) { e.Receipts = from.Receipts },
		"one receipt": func(e *hashanchor.Evidence, from hashanchor.Evidence) {
			e.Receipts = []record.Envelope{e.Receipts[0], from.Receipts[1]}
		},
		"opening": func(e *hashanchor.Evidence, from hashanchor.Evidence) { e.Opening = from.Opening },
		"proofs":  func(e *hashanchor.Evidence, from hashanchor.Evidence) { e.Proofs = from.Proofs },
		"one proof": func(e *hashanchor.Evidence, from hashanchor.Evidence) {
			e.Proofs = []hashanchor.Proof{e.Proofs[0], from.Proofs[1]}
		},
		"state proofs": func(e *hashanchor.Evidence, from hashanchor.Evidence) { e.StateProof = from.StateProof },
		"anchors": func(e *hashanchor.Evidence, from hashanchor.Evidence) {
			e.Proofs = slices.Clone(e.Proofs)
			e.Proofs[0].Anchor = from.Proofs[0].Anchor
		},
		"record and proofs": func(e *hashanchor.Evidence, from hashanchor.Evidence) {
			e.Record, e.Proofs, e.StateProof = from.Record, from.Proofs, from.StateProof
		},
		"all but the opening": func(e *hashanchor.Evidence, from hashanchor.Evidence) {
			mine := e.Opening
			*e = from
			e.Opening = mine
		},
		"all but the record": func(e *hashanchor.Evidence, from hashanchor.Evidence) {
			mine := e.Record
			*e = from
			e.Record = mine
		},
	} {
		for _, pair := range [][2]*story{{s, &other}, {&other, s}} {
			e := pair[0].evidence
			swap(&e, pair[1].evidence)
			data, err := e.Bytes()
			must(t, err)
			for _, doc := range []hashanchor.Document{pair[0].doc(), pair[1].doc()} {
				if r := verify(t, doc, data, o); r.ExitCode() != 3 {
					t.Errorf("%s: exit code %d", name, r.ExitCode())
				}
			}
		}
	}
}

// sampleBlock is the hash of the block to which the committed sample leads.
const sampleBlock = "0xc40db9401f7bf2d12fc9a1b788b4c1bb5c3355b949c5e08eadf0639437ccf373"

// sample reads that evidence.
func sample(t testing.TB) (data []byte, block record.Hash) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(testdata, "evidence-state-proof.json"))
	must(t, err)
	block, err = record.ParseHash(sampleBlock)
	must(t, err)
	return data, block
}

// TestTheCommittedStateProofHoldsForYears verifies evidence that a dev chain,
// long gone, once proved. -update makes it anew if the file is not there: each
// chain has other blocks.
func TestTheCommittedStateProofHoldsForYears(t *testing.T) {
	path := filepath.Join(testdata, "evidence-state-proof.json")
	if _, err := os.Stat(path); *update && os.IsNotExist(err) {
		s, _, block := proven(t)
		must(t, os.WriteFile(path, s.file(t), 0o644))
		t.Logf("it leads to block %s", block.Hash)
	}
	data, block := sample(t)
	r := verify(t, tell(t, "hello").doc(), data, stateOptions(block))
	if r.ExitCode() != 0 {
		t.Errorf("%+v", broken(r))
	}
	text, err := os.ReadFile("../docs/spec/evidence.md")
	must(t, err)
	if !bytes.Contains(text, []byte(sampleBlock)) {
		t.Error("the specification does not name the block")
	}
}

// TestEvidenceStaysSmallWhateverTheBatch holds the file of one document to its
// bounds where every list is as long as it gets on a busy chain: paths in
// batches of 2^17, three anchors with state proofs at blocks of their own, tries
// with 2^32 accounts and 2^24 roots, a sender in the middle of drawing a new
// recipient key, and a recipient that draws one between one receipt and the
// next: four cards, two of them with two keys.
func TestEvidenceStaysSmallWhateverTheBatch(t *testing.T) {
	s := tell(t, "hello")
	s.evidence.Proofs = append(s.evidence.Proofs, s.chain.anchor(t, s.beta.address(), 52, s.accepted.Envelope))
	s.evidence.Cards = append(s.evidence.Cards, s.beta.next(t, 2, 1).Envelope, s.beta.next(t, 3, 2).Envelope)
	for i := range s.evidence.Proofs {
		s.evidence.Proofs[i].Path = make([]record.Hash, 17)
	}
	plain := len(s.file(t))
	nodes := func(n int) (path [][]byte) {
		for range n {
			path = append(path, make([]byte, 532))
		}
		return append(path, make([]byte, 110))
	}
	for _, p := range s.evidence.Proofs {
		s.evidence.StateProof = append(s.evidence.StateProof, hashanchor.StateProof{
			Header: make([]byte, 672), Account: nodes(8), Slots: []hashanchor.Slot{{Record: p.Record, Nodes: nodes(6)}},
		})
	}
	proven := len(s.file(t))
	const kem = (6*1959 - 4*70) * 4 / 3 // what the cards' post-quantum keys have more than the fixture's
	t.Logf("%d bytes without, %d with state proofs", plain+kem, proven+kem)
	if plain+kem > 32<<10 || proven+kem > 64<<10 {
		t.Errorf("%d bytes without, %d with state proofs", plain+kem, proven+kem)
	}
}
