package hashanchor_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"dxd/hashanchor"
	"dxd/record"
)

func TestWhatTheFileDoesNotHoldIsNotSaidToHold(t *testing.T) {
	s := tell(t, "hello")
	s.evidence.Receipts, s.evidence.Proofs = nil, nil
	said := map[string]string{}
	for _, c := range s.verify(t, s.file(t)).Checks {
		said[c.Name] = c.Detail
	}
	if said[hashanchor.CheckReceipts] != "the file holds no receipt" || said[hashanchor.CheckProofs] != "the file holds no proof of an anchor" {
		t.Errorf("the checks say %q", said)
	}
}

func TestATransferThatIsAnchoredVerifies(t *testing.T) {
	s := tell(t, "hello")
	r := verify(t, s.doc(), s.file(t), hashanchor.Options{
		Chain: s.chain, ChainID: chainID, Contract: contract,
		Sender: s.alpha.id(t).Fingerprint(), Recipient: s.beta.id(t).Fingerprint(),
	})
	if r.ExitCode() != 0 {
		t.Fatalf("%+v", r.Checks)
	}
	if r.Receipt != "accepted" || r.AnchoredBy != "sender" || r.ReceiptAnchoredBy != "recipient" || r.ChainID != chainID || r.Block != 50 {
		t.Errorf("the report says %+v", r)
	}
	if r.AnchoredAt.Unix() != s.chain.block(50).Time || r.NotBefore.Unix() != s.chain.block(beaconBlock).Time {
		t.Errorf("between %v and %v", r.NotBefore, r.AnchoredAt)
	}
	if !r.Sender.Confirmed || !r.Recipient.Confirmed || r.Sender.Name != "Alpha" || r.Recipient.Name != "Beta" {
		t.Errorf("between %+v and %+v", r.Sender, r.Recipient)
	}
}

// verdict is a change to the story and what must come of it.
type verdict struct {
	name  string
	tale  func(t *testing.T, s *story, o *hashanchor.Options)
	exit  int
	check string // the first that does not hold
}

func verdicts(t *testing.T) []verdict {
	other := tell(t, "another document")
	return []verdict{
		{"without receipts it still verifies", func(t *testing.T, s *story, o *hashanchor.Options) {
			s.evidence.Receipts, s.evidence.Proofs = nil, s.evidence.Proofs[:1]
		}, 0, ""},
		{"a receipt without a proof is a receipt", func(t *testing.T, s *story, o *hashanchor.Options) {
			s.evidence.Proofs = s.evidence.Proofs[:1]
		}, 0, ""},
		{"the recipient may have anchored the manifest", func(t *testing.T, s *story, o *hashanchor.Options) {
			s.evidence.Proofs[0] = s.chain.anchor(t, s.beta.address(), 52, s.manifest.Envelope)
		}, 0, ""},
		{"a false beacon spoils nothing but the earliest time", func(t *testing.T, s *story, o *hashanchor.Options) {
			s.chain.head = 30 // the beacon's block 40 is not there
			s.chain.head, s.chain.final = 100, 90
			s.manifest.Body.Beacon.Hash[0]++
			s.resign(t)
		}, 0, ""},
		{"no chain was asked", func(t *testing.T, s *story, o *hashanchor.Options) { o.Chain = nil }, 4, "anchor"},
		{"the manifest has no proof", func(t *testing.T, s *story, o *hashanchor.Options) {
			s.evidence.Proofs = s.evidence.Proofs[1:]
		}, 4, "anchor"},
		{"the anchor is not final", func(t *testing.T, s *story, o *hashanchor.Options) { s.chain.final = 49 }, 4, "anchor"},
		{"the endpoint is behind", func(t *testing.T, s *story, o *hashanchor.Options) { s.chain.head, s.chain.final = 49, 40 }, 4, "anchor"},
		{"a receipt's anchor may become final later", func(t *testing.T, s *story, o *hashanchor.Options) { s.chain.final = 50 }, 0, ""},
		{"another document", func(t *testing.T, s *story, o *hashanchor.Options) { s.document = []byte("jello") }, 3, "document"},
		{"a longer document", func(t *testing.T, s *story, o *hashanchor.Options) { s.document = []byte("hello!") }, 3, "document"},
		{"another sender than the one asked for", func(t *testing.T, s *story, o *hashanchor.Options) {
			o.Sender = s.beta.id(t).Fingerprint()
		}, 3, "sender"},
		{"another recipient than the one asked for", func(t *testing.T, s *story, o *hashanchor.Options) {
			o.Recipient = s.alpha.id(t).Fingerprint()
		}, 3, "recipient"},
		{"another chain than the one asked for", func(t *testing.T, s *story, o *hashanchor.Options) { o.ChainID = 1 }, 3, "chain"},
		{"another contract than the genuine one", func(t *testing.T, s *story, o *hashanchor.Options) { o.Contract = record.Account{1} }, 3, "proofs"},
		{"another chain id in every anchor", func(t *testing.T, s *story, o *hashanchor.Options) {
			s.anchors(func(a *hashanchor.Anchor) { a.ChainID = 5 })
		}, 3, "anchor"},
		{"another chain id in one anchor", func(t *testing.T, s *story, o *hashanchor.Options) { s.evidence.Proofs[1].Anchor.ChainID = 5 }, 3, "proofs"},
		{"another contract in every anchor", func(t *testing.T, s *story, o *hashanchor.Options) {
			s.anchors(func(a *hashanchor.Anchor) { a.Contract = record.Account{1} })
		}, 3, "anchor"},
		{"a stranger's account", func(t *testing.T, s *story, o *hashanchor.Options) {
			s.evidence.Proofs[0] = s.chain.anchor(t, record.Account{7}, 50, s.manifest.Envelope)
		}, 3, "proofs"},
		{"an account that did not anchor", func(t *testing.T, s *story, o *hashanchor.Options) {
			s.evidence.Proofs[0].Anchor.Account = s.beta.address()
		}, 3, "anchor"},
		{"another root", func(t *testing.T, s *story, o *hashanchor.Options) { s.evidence.Proofs[0].Anchor.Root[0]++ }, 3, "proofs"},
		{"an earlier block", func(t *testing.T, s *story, o *hashanchor.Options) { s.evidence.Proofs[0].Anchor.Block-- }, 3, "anchor"},
		{"an earlier time", func(t *testing.T, s *story, o *hashanchor.Options) { s.evidence.Proofs[0].Anchor.Time-- }, 3, "anchor"},
		{"an earlier time of a receipt", func(t *testing.T, s *story, o *hashanchor.Options) { s.evidence.Proofs[1].Anchor.Time-- }, 3, "receipt-anchor"},
		{"the proof of another record", func(t *testing.T, s *story, o *hashanchor.Options) {
			s.evidence.Proofs[0] = other.evidence.Proofs[0]
		}, 3, "proofs"},
		{"the proof of another record under this one's name", func(t *testing.T, s *story, o *hashanchor.Options) {
			s.evidence.Proofs[0] = other.evidence.Proofs[0]
			s.evidence.Proofs[0].Record = s.manifest.ID()
		}, 3, "proofs"},
		{"proofs in another order", func(t *testing.T, s *story, o *hashanchor.Options) { slices.Reverse(s.evidence.Proofs) }, 3, "proofs"},
		{"one proof twice", func(t *testing.T, s *story, o *hashanchor.Options) { s.evidence.Proofs[1] = s.evidence.Proofs[0] }, 3, "proofs"},
		{"the manifest of another evidence", func(t *testing.T, s *story, o *hashanchor.Options) { s.evidence.Record = other.evidence.Record }, 3, "opening"},
		{"the opening of another evidence", func(t *testing.T, s *story, o *hashanchor.Options) { s.evidence.Opening = other.evidence.Opening }, 3, "opening"},
		{"the receipts of another evidence", func(t *testing.T, s *story, o *hashanchor.Options) {
			s.evidence.Receipts = other.evidence.Receipts
		}, 3, "receipts"},
		{"receipts in another order", func(t *testing.T, s *story, o *hashanchor.Options) { slices.Reverse(s.evidence.Receipts) }, 3, "receipts"},
		{"the word without the first receipt", func(t *testing.T, s *story, o *hashanchor.Options) {
			s.evidence.Receipts, s.evidence.Proofs = s.evidence.Receipts[1:], s.evidence.Proofs[:1]
		}, 3, "receipts"},
		{"a card that nothing names", func(t *testing.T, s *story, o *hashanchor.Options) {
			s.evidence.Cards = append(s.evidence.Cards, newOrg(t, "Gamma").card.Envelope)
		}, 3, "receipts"},
		{"a card twice", func(t *testing.T, s *story, o *hashanchor.Options) {
			s.evidence.Cards = append(s.evidence.Cards, s.evidence.Cards[0])
		}, 3, "cards"},
		{"cards in another order", func(t *testing.T, s *story, o *hashanchor.Options) { slices.Reverse(s.evidence.Cards) }, 3, "record"},
		{"no cards", func(t *testing.T, s *story, o *hashanchor.Options) { s.evidence.Cards = nil }, 3, "cards"},
		{"a step too many", func(t *testing.T, s *story, o *hashanchor.Options) { s.evidence.Path = []record.Hash{{1}} }, 3, "opening"},
		{"a card that had ended when its record was anchored", func(t *testing.T, s *story, o *hashanchor.Options) {
			s.alpha.card = s.alpha.makeCard(t, 1, record.RecordID{}, (anchoredAt-1)*1000)
			s.evidence.Cards[0] = s.alpha.card.Envelope
			s.manifest.Body.Card = s.alpha.card.ID()
			s.resign(t)
		}, 3, "validity"},
	}
}

func TestVerdicts(t *testing.T) {
	for _, c := range verdicts(t) {
		t.Run(c.name, func(t *testing.T) {
			s := tell(t, "hello")
			o := hashanchor.Options{Chain: s.chain}
			c.tale(t, s, &o)
			r := verify(t, s.doc(), s.file(t), o)
			if b := broken(r); r.ExitCode() != c.exit || b.Name != c.check {
				t.Errorf("exit code %d at %q (%s), not %d at %q", r.ExitCode(), b.Name, b.Detail, c.exit, c.check)
			}
			if b := broken(r); b.Name != "" && (b.Detail == "" || b.Mend == "" && b.Name != "recipient" && b.Name != "chain") {
				t.Errorf("the check says too little: %+v", b)
			}
		})
	}
}

func (s *story) anchors(change func(*hashanchor.Anchor)) {
	for i := range s.evidence.Proofs {
		change(&s.evidence.Proofs[i].Anchor)
	}
}

// resign signs the manifest anew as it is now, and leaves it without receipts.
func (s *story) resign(t *testing.T) {
	m, err := record.Sign(s.manifest.Body, signer(s.alpha.signing))
	must(t, err)
	s.manifest = m
	s.evidence.Record, s.evidence.Receipts = m.Envelope, nil
	s.evidence.Proofs = []hashanchor.Proof{s.chain.anchor(t, s.alpha.address(), 53, m.Envelope)}
}

func TestAnEndpointThatIsDownIsNoVerdict(t *testing.T) {
	s := tell(t, "hello")
	s.chain.down = errDown
	if _, err := hashanchor.Verify(t.Context(), s.doc(), s.file(t), hashanchor.Options{Chain: s.chain}); !errors.Is(err, errDown) {
		t.Errorf("%v", err)
	}
	// What is false without a chain is false whether one answers or not.
	s.document = []byte("jello")
	if r := s.verify(t, s.file(t)); r.ExitCode() != 3 {
		t.Errorf("exit code %d", r.ExitCode())
	}
}

func TestAReceiptUnderANewerCardBringsItsCard(t *testing.T) {
	s := tell(t, "hello")
	newer := s.beta.makeCard(t, 2, s.beta.card.ID(), cardEnds+1)
	word := s.signReceipt(t, newer, s.received.ID(), record.Entry{Status: record.StatusRefused, Reason: "not ordered"})
	s.evidence.Receipts[1] = word.Envelope
	if r := s.verify(t, s.file(t)); broken(r).Name != "receipts" {
		t.Errorf("without the card: %+v", broken(r))
	}
	s.evidence.Cards = append(s.evidence.Cards, newer.Envelope)
	if r := s.verify(t, s.file(t)); r.ExitCode() != 0 || r.Receipt != "refused" {
		t.Errorf("with the card: %+v", broken(r))
	}
}

func TestOneMessageOfABundleVerifiesWithoutItsNeighbours(t *testing.T) {
	s := tell(t, "hello")
	first, second, third := opening("one", 0, record.Message), opening("hello", 1, record.Message), opening("three", 2, record.Message)
	s.manifest = s.signManifest(t, record.LaneMsg, first, second, third)
	received := s.signReceipt(t, s.beta.card, record.RecordID{}, record.Entry{First: 0, Last: 2, Status: record.StatusReceived})
	before := s.signReceipt(t, s.beta.card, received.ID(), record.Entry{First: 0, Last: 0, Status: record.StatusRefused})
	word := s.signReceipt(t, s.beta.card, before.ID(), record.Entry{First: 1, Last: 1, Status: record.StatusAccepted})
	s.evidence = hashanchor.Evidence{
		Cards: s.evidence.Cards, Record: s.manifest.Envelope, Receipts: []record.Envelope{received.Envelope, word.Envelope},
		Opening: second, Path: []record.Hash{leafOf(t, first), leafOf(t, third)},
		Proofs: []hashanchor.Proof{s.chain.anchor(t, s.alpha.address(), 54, s.manifest.Envelope)},
	}
	if r := s.verify(t, s.file(t)); r.ExitCode() != 0 || r.Receipt != "accepted" {
		t.Errorf("%+v", broken(r))
	}
	s.evidence.Receipts[1] = before.Envelope
	if r := s.verify(t, s.file(t)); broken(r).Name != "receipts" {
		t.Errorf("a receipt about a neighbour: %+v", broken(r))
	}
}

// notarise makes evidence of the story's document as a notarisation.
func (s *story) notarise(t testing.TB) {
	o := opening(string(s.document), 0, record.Notarized)
	n, err := record.Sign(record.Notarization{
		Header: record.NewHeader[record.Notarization](s.alpha.id(t), s.alpha.card.ID(), signedAt, nonce("notarisation")),
		Root:   leafOf(t, o),
	}, signer(s.alpha.signing))
	must(t, err)
	s.evidence = hashanchor.Evidence{
		Cards: s.evidence.Cards[:1], Record: n.Envelope, Opening: o,
		Proofs: []hashanchor.Proof{s.chain.anchor(t, s.alpha.address(), 55, n.Envelope)},
	}
}

func TestANotarisationVerifies(t *testing.T) {
	s := tell(t, "hello")
	receipts, cards := s.evidence.Receipts, s.evidence.Cards
	s.notarise(t)
	if r := s.verify(t, s.file(t)); r.ExitCode() != 0 || r.Recipient != nil || r.Receipt != "none" || r.NotBefore != nil {
		t.Errorf("%+v", r)
	}
	if r := verify(t, s.doc(), s.file(t), hashanchor.Options{Chain: s.chain, Recipient: s.beta.id(t).Fingerprint()}); broken(r).Name != "recipient" {
		t.Errorf("with a recipient asked for: %+v", broken(r))
	}
	s.evidence.Receipts = receipts[:1]
	if r := s.verify(t, s.file(t)); broken(r).Name != "receipts" {
		t.Errorf("with a receipt: %+v", broken(r))
	}
	s.evidence.Receipts, s.evidence.Cards = nil, cards
	if r := s.verify(t, s.file(t)); broken(r).Name != "record" {
		t.Errorf("with a second card: %+v", broken(r))
	}
}

func TestABlockThatTheEndpointHasNotComeToDatesNoReceipt(t *testing.T) {
	s := tell(t, "hello")
	b := hashanchor.NewBatch([]record.Hash{s.received.Leaf(), {1}}) // which nobody anchored
	p := hashanchor.Proof{Record: s.received.ID(), Path: b.Path(0), Anchor: s.evidence.Proofs[1].Anchor}
	p.Anchor.Root, p.Anchor.Block = b.Root(), s.chain.head+1
	s.evidence.Proofs = []hashanchor.Proof{s.evidence.Proofs[0], p}
	r := s.verify(t, s.file(t))
	i := slices.IndexFunc(r.Checks, func(c hashanchor.Check) bool { return c.Name == hashanchor.CheckReceived })
	if r.ExitCode() != 0 || i < 0 || r.ReceiptAnchoredBy != "" || strings.Contains(r.Checks[i].Detail, "was anchored") || !strings.Contains(r.Checks[i].Detail, "nothing is known") {
		t.Errorf("%+v", r.Checks)
	}
}

// Whoever holds a receipt that was signed too late can put a proof beside it which
// nobody can look up yet.
func TestAnAnchorThatNobodyKnowsMakesNoReceiptOlder(t *testing.T) {
	s := tell(t, "hello")
	s.beta.card = s.beta.makeCard(t, 1, record.RecordID{}, signedAt+500) // half a second before it signs
	s.evidence.Cards[1] = s.beta.card.Envelope
	s.manifest.Body.RecipientCard = s.beta.card.ID()
	s.resign(t)
	s.received = s.signReceipt(t, s.beta.card, record.RecordID{}, record.Entry{Status: record.StatusReceived})
	s.evidence.Receipts = []record.Envelope{s.received.Envelope}
	if r := s.verify(t, s.file(t)); r.ExitCode() != 3 || broken(r).Name != hashanchor.CheckValidity {
		t.Fatalf("without a proof of it: %+v", r.Checks)
	}
	b := hashanchor.NewBatch([]record.Hash{s.received.Leaf(), {1}})
	p := hashanchor.Proof{Record: s.received.ID(), Path: b.Path(0), Anchor: s.evidence.Proofs[0].Anchor}
	p.Anchor.Root, p.Anchor.Block, p.Anchor.Time = b.Root(), s.chain.head+1, signedAt/1000
	s.evidence.Proofs = append(s.evidence.Proofs, p)
	if r := s.verify(t, s.file(t)); r.ExitCode() != 4 || broken(r).Name != hashanchor.CheckReceived || broken(r).Mend == "" {
		t.Errorf("with one that nobody can look up: exit code %d, %+v", r.ExitCode(), r.Checks)
	}
}
