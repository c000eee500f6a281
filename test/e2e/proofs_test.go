package e2e

import (
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"dxd/hashanchor"
	"dxd/hashanchor/evm"
	"dxd/record"
)

// holds waits until the organisation's evidence has the proofs of the manifest
// and of so many receipts, and returns it.
func (o *org) holds(s sent, receipts int) (file []byte) {
	o.t.Helper()
	until(o.t, "the proofs at "+o.name, func() string {
		var e *hashanchor.Evidence
		e, file = o.evidence(s.id)
		if len(e.Receipts) == receipts && len(e.Proofs) == 1+receipts {
			return ""
		}
		return fmt.Sprintf("%s has %d receipts and %d proofs", o.name, len(e.Receipts), len(e.Proofs))
	})
	return file
}

// has waits until the organisation's evidence has the proof of the manifest, or
// of the receipts.
func (o *org) has(s sent, manifest bool) {
	o.t.Helper()
	until(o.t, "a proof of its own at "+o.name, func() string {
		e, _ := o.evidence(s.id)
		proven := func(id record.RecordID) bool {
			return slices.ContainsFunc(e.Proofs, func(p hashanchor.Proof) bool { return p.Record == id })
		}
		if manifest && proven(e.Record.ID()) {
			return ""
		}
		if !manifest && len(e.Receipts) == 2 && proven(e.Receipts[0].ID()) && proven(e.Receipts[1].ID()) {
			return ""
		}
		return fmt.Sprintf("%d receipts and %d proofs", len(e.Receipts), len(e.Proofs))
	})
}

// accepted is a document that is accepted while the chain is away, so that
// nothing of it is anchored yet.
func accepted(t *testing.T) (c *chain, a, b *org, s sent) {
	t.Helper()
	a, b = newOrg(t, "alpha"), newOrg(t, "beta")
	c = newChain(t, a, b)
	c.stop()
	for _, o := range []*org{a, b} {
		o.anchorAt(c.url)
		o.start()
	}
	pair(a, b)
	s = sent{from: a, to: b, document: document{seed: "a document", size: small}}
	s.id = a.send(b, s.document)
	a.delivered(s.id)
	_, err := b.Accept(t.Context(), s.id, "order 4711")
	check(t, err)
	a.wait(patience, s.id, "accepted")
	return c, a, b, s
}

func TestProofsComeToBothWhoeverIsAway(t *testing.T) {
	for name, away := range map[string]func(c *chain, a, b *org, s sent){
		"the sender while the receipts become final": func(c *chain, a, b *org, s sent) {
			a.stop()
			c.start()
			b.has(s, false)
			a.start()
		},
		"the recipient while the manifest becomes final": func(c *chain, a, b *org, s sent) {
			b.stop()
			c.start()
			a.has(s, true)
			b.start()
		},
		"each while the other's become final": func(c *chain, a, b *org, s sent) {
			a.stop()
			b.stop()
			c.start()
			a.start()
			a.has(s, true)
			a.stop()
			b.start()
			b.has(s, false)
			b.stop()
			a.start()
			b.start()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, a, b, s := accepted(t)
			away(c, a, b, s)
			c.provenWith(s, 2)
		})
	}
}

// verifiesOffline fails unless whoever knows the blocks to which the state
// proofs lead can verify all of the evidence, its three proofs included.
func verifiesOffline(t *testing.T, d document, file []byte) {
	t.Helper()
	e, err := hashanchor.ParseEvidence(file)
	check(t, err)
	doc, sum := hashanchor.Document{Length: d.size}, sha256.New()
	_, err = io.Copy(sum, d.open())
	check(t, err)
	sum.Sum(doc.Digest[:0])
	o := hashanchor.Options{Contract: evm.ContractAddress(), CheckState: evm.CheckState}
	claimed, err := hashanchor.Verify(t.Context(), doc, file, o)
	check(t, err)
	for _, b := range claimed.StateBlocks {
		o.Blocks = append(o.Blocks, b.Hash)
	}
	r, err := hashanchor.Verify(t.Context(), doc, file, o)
	check(t, err)
	if r.ExitCode() != 0 || len(e.Proofs) != 3 || claimed.ExitCode() != hashanchor.ExitUndecided {
		t.Errorf("with %d proofs and %d blocks: %d, %+v", len(e.Proofs), len(o.Blocks), r.ExitCode(), r.Checks)
	}
}

func TestAPartnerWithoutAChainHasItsRecordsAnchoredByTheOther(t *testing.T) {
	t.Parallel()
	a, b := newOrg(t, "alpha"), newOrg(t, "beta")
	c := newChain(t, a, b)
	a.anchorAt(c.url)
	a.start()
	b.start()
	pair(a, b)
	there := sent{from: a, to: b, document: document{seed: "there", size: small}}
	back := sent{from: b, to: a, document: document{seed: "and back", size: small}}
	for _, s := range []*sent{&there, &back} {
		s.id = s.from.send(s.to, s.document)
		s.from.delivered(s.id)
		_, err := s.to.Accept(t.Context(), s.id, "fine")
		check(t, err)
		s.from.wait(patience, s.id, "accepted")
	}
	verifies := func() {
		t.Helper()
		for _, s := range []sent{there, back} {
			by := map[*org]string{a: "sender", b: "recipient"}[s.from]
			for _, o := range []*org{a, b} {
				r := c.verify(s.document, o.holds(s, 2), s)
				receipts := r.Checks[slices.IndexFunc(r.Checks, func(c hashanchor.Check) bool { return c.Name == hashanchor.CheckReceived })]
				if r.ExitCode() != 0 || r.AnchoredBy != by || strings.Count(receipts.Detail, "anchored by the "+by+"'s account "+a.keys.Account().String()) != 2 {
					t.Errorf("what %s has of %q: %d, %+v", o.name, s.seed, r.ExitCode(), r.Checks)
				}
			}
		}
	}
	verifies()
	if s, err := b.AnchorStatus(t.Context()); err != nil || s.Final != 0 || s.Unanchored == 0 {
		t.Errorf("beta has no chain: %+v, %v", s, err)
	}

	// The state proofs came along, so beta's evidence needs no network either.
	for _, s := range []sent{there, back} {
		file, err := b.ProvenEvidence(t.Context(), s.id)
		check(t, err)
		verifiesOffline(t, s.document, file)
	}

	// Later it has one, and anchors what waited. What was anchored first stays.
	b.stop()
	b.anchorAt(c.url)
	b.start()
	until(t, "the end of beta's queue", func() string {
		s, err := b.AnchorStatus(t.Context())
		check(t, err)
		if s.Final > 0 && s.Pending+s.Submitted+s.Included == 0 {
			return ""
		}
		return fmt.Sprintf("%+v", s)
	})
	verifies()
	if v := b.wait(patience, back.id, "anchored"); v.Anchor != "final" {
		t.Errorf("beta's document is %s", v.Anchor)
	}
	own := sent{from: b, to: a, document: document{seed: "on its own", size: small}}
	own.id = b.send(a, own.document)
	b.delivered(own.id)
	if r := c.verify(own.document, a.holds(own, 1), own); r.ExitCode() != 0 || r.AnchoredBy != "sender" {
		t.Errorf("what beta anchors itself: %d, %+v", r.ExitCode(), r.Checks)
	}
	for _, o := range []*org{a, b} {
		if all := o.alarms(); len(all) > 0 {
			t.Errorf("%s was told %q", o.name, all)
		}
	}
}
