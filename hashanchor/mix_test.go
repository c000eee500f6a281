package hashanchor_test

import (
	"bytes"
	"math/bits"
	"slices"
	"testing"
	"time"

	"dxd/hashanchor"
	"dxd/record"
)

// evidenceParts are what two evidence files can exchange.
var evidenceParts = []struct {
	name string
	take func(e *hashanchor.Evidence, from hashanchor.Evidence)
}{
	{"cards", func(e *hashanchor.Evidence, from hashanchor.Evidence) { e.Cards = from.Cards }},
	{"record", func(e *hashanchor.Evidence, from hashanchor.Evidence) { e.Record = from.Record }},
	{"first receipt", func(e *hashanchor.Evidence, from hashanchor.Evidence) { e.Receipts[0] = from.Receipts[0] }},
	{"second receipt", func(e *hashanchor.Evidence, from hashanchor.Evidence) { e.Receipts[1] = from.Receipts[1] }},
	{"opening", func(e *hashanchor.Evidence, from hashanchor.Evidence) { e.Opening = from.Opening }},
	{"path", func(e *hashanchor.Evidence, from hashanchor.Evidence) { e.Path = from.Path }},
	{"record's proof", func(e *hashanchor.Evidence, from hashanchor.Evidence) { e.Proofs[0] = from.Proofs[0] }},
	{"receipt's proof", func(e *hashanchor.Evidence, from hashanchor.Evidence) { e.Proofs[1] = from.Proofs[1] }},
	{"state proof", func(e *hashanchor.Evidence, from hashanchor.Evidence) { e.StateProof = from.StateProof }},
}

// mixed is a's evidence with those parts of b's whose bits are set.
func mixed(t *testing.T, a, b *story, set uint) (file []byte, what string) {
	e := a.evidence
	e.Receipts, e.Proofs = slices.Clone(e.Receipts), slices.Clone(e.Proofs)
	for i, p := range evidenceParts {
		if set>>i&1 == 1 {
			p.take(&e, b.evidence)
			what += ", " + p.name
		}
	}
	file, err := e.Bytes()
	must(t, err)
	return file, what
}

// transfer is the story of a document between two organisations, signed under
// the cards that they have, with its anchors on the chain.
func (c realChain) transfer(alpha, beta *org, text, label string) *story {
	s := &story{alpha: alpha, beta: beta, document: []byte(text), opening: opening(text, 0, record.Document), chain: newChain()}
	s.opening.Salt, s.evidence.Path = nonce(label), []record.Hash{}
	s.sign(c.t)
	s.evidence.Opening = s.opening
	c.anchorBoth(s)
	return s
}

// bundle are the stories of two messages of one bundle, the first refused and
// the second accepted.
func (c realChain) bundle(alpha, beta *org) (first, second *story) {
	texts := []string{"hello", "hello, too"}
	openings := []record.Opening{opening(texts[0], 0, record.Message), opening(texts[1], 1, record.Message)}
	s := story{alpha: alpha, beta: beta, document: []byte("bundle"), chain: newChain()}
	s.manifest = s.signManifest(c.t, record.LaneMsg, openings...)
	s.received = s.signReceipt(c.t, beta.card, record.RecordID{}, record.Entry{Last: 1, Status: record.StatusReceived})
	words := []record.Signed[record.Receipt]{s.signReceipt(c.t, beta.card, s.received.ID(), record.Entry{Status: record.StatusRefused})}
	words = append(words, s.signReceipt(c.t, beta.card, words[0].ID(), record.Entry{First: 1, Last: 1, Status: record.StatusAccepted}))
	s.evidence.Cards, s.evidence.Record = []record.Envelope{alpha.card.Envelope, beta.card.Envelope}, s.manifest.Envelope
	c.anchorBoth(&s)
	both := []*story{new(story), new(story)}
	for i, one := range both {
		*one = s
		one.document, one.evidence.Opening = []byte(texts[i]), openings[i]
		one.evidence.Path = []record.Hash{leafOf(c.t, openings[1-i])}
		one.evidence.Receipts = []record.Envelope{s.received.Envelope, words[i].Envelope}
	}
	return both[0], both[1]
}

// anchorBoth anchors the manifest and the first receipt.
func (c realChain) anchorBoth(s *story) {
	s.evidence.Proofs = []hashanchor.Proof{
		s.chain.anchor(c.t, s.alpha.address(), 50, s.manifest.Envelope),
		s.chain.anchor(c.t, s.beta.address(), 51, s.received.Envelope),
	}
	c.anchor(s.alpha, &s.evidence.Proofs[0])
	c.anchor(s.beta, &s.evidence.Proofs[1])
}

// TestNoMixOfTwoValidEvidencesVerifies puts files together from the parts of
// two that verify, with state proofs at one block: one or two parts of the one,
// and all others of the other.
func TestNoMixOfTwoValidEvidencesVerifies(t *testing.T) {
	alpha, beta, gamma, delta := newOrg(t, "Alpha"), newOrg(t, "Beta"), newOrg(t, "Gamma"), newOrg(t, "Delta")
	renew(t, time.Now().AddDate(1, 0, 0), alpha, beta, gamma, delta)
	c := newRealChain(t, alpha, beta, gamma, delta)
	first := c.transfer(alpha, beta, "hello", "the first time")
	refused, accepted := c.bundle(alpha, beta)
	pairs := map[string][2]*story{
		"another document":                 {first, c.transfer(alpha, beta, "another document", "another")},
		"the same document once more":      {first, c.transfer(alpha, beta, "hello", "the second time")},
		"the same document between others": {first, c.transfer(gamma, delta, "hello", "between others")},
		"two messages of one bundle":       {refused, accepted},
	}
	head, err := c.of(alpha).Head(t.Context())
	must(t, err)
	o := stateOptions(head.Final.Hash)
	for _, pair := range pairs {
		for _, s := range pair {
			s.evidence.StateProof = nil
			c.prove(&s.evidence, alpha, s.evidence.Anchors()...)
			if r := verify(t, s.doc(), s.file(t), o); r.ExitCode() != 0 {
				t.Fatalf("before: %+v", broken(r))
			}
		}
	}
	for name, pair := range pairs {
		t.Run(name, func(t *testing.T) { noMixVerifies(t, pair[0], pair[1], o) })
	}
}

func noMixVerifies(t *testing.T, a, b *story, o hashanchor.Options) {
	whole := [][]byte{a.file(t), b.file(t)}
	docs := slices.Compact([]hashanchor.Document{a.doc(), b.doc()})
	broke, mixes := map[string]int{}, 0
	for set := range uint(1) << len(evidenceParts) {
		if n := bits.OnesCount(set); n > 2 && n < len(evidenceParts)-2 {
			continue
		}
		file, what := mixed(t, a, b, set)
		if slices.ContainsFunc(whole, func(w []byte) bool { return bytes.Equal(file, w) }) {
			continue // what was exchanged stands in both
		}
		mixes++
		for _, doc := range docs {
			r := verify(t, doc, file, o)
			if r.ExitCode() != hashanchor.ExitInvalid {
				t.Errorf("with the other's%s: exit code %d", what, r.ExitCode())
			}
			broke[broken(r).Name]++
		}
	}
	if t.Logf("%d mixes broke %v", mixes, broke); mixes < 40 {
		t.Error("too few to mean anything")
	}
}
