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
	"dxd/test/party"
)

// holds waits until the organisation's evidence has the proofs of the manifest
// and of so many receipts, and returns it.
func holds(o *party.Org, s party.Sent, receipts int) (file []byte) {
	o.T.Helper()
	party.Until(o.T, "the proofs at "+o.Name, func() string {
		var e *hashanchor.Evidence
		e, file = o.ParsedEvidence(s.ID)
		if len(e.Receipts) == receipts && len(e.Proofs) == 1+receipts {
			return ""
		}
		return fmt.Sprintf("%s has %d receipts and %d proofs", o.Name, len(e.Receipts), len(e.Proofs))
	})
	return file
}

// has waits until the organisation's evidence has the proof of the manifest, or
// of the receipts.
func has(o *party.Org, s party.Sent, manifest bool) {
	o.T.Helper()
	party.Until(o.T, "a proof of its own at "+o.Name, func() string {
		e, _ := o.ParsedEvidence(s.ID)
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
func accepted(t *testing.T) (c *party.Chain, a, b *party.Org, s party.Sent) {
	t.Helper()
	a, b = party.NewOrg(t, "alpha"), party.NewOrg(t, "beta")
	c = party.NewChain(t, a, b)
	c.Stop()
	for _, o := range []*party.Org{a, b} {
		o.AnchorAt(c.URL)
		o.Start()
	}
	party.Pair(a, b)
	s = party.Sent{From: a, To: b, Document: party.Document{Seed: "a document", Size: party.Small}}
	s.ID = a.SendDocument(b, s.Document)
	a.Delivered(s.ID)
	_, err := b.Accept(t.Context(), s.ID, "order 4711")
	party.Check(t, err)
	a.WaitFor(party.Patience, s.ID, "accepted")
	return c, a, b, s
}

func TestProofsComeToBothWhoeverIsAway(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]func(c *party.Chain, a, b *party.Org, s party.Sent){
		"the sender while the receipts become final": func(c *party.Chain, a, b *party.Org, s party.Sent) {
			a.Stop()
			c.Start()
			has(b, s, false)
			a.Start()
		},
		"the recipient while the manifest becomes final": func(c *party.Chain, a, b *party.Org, s party.Sent) {
			b.Stop()
			c.Start()
			has(a, s, true)
			b.Start()
		},
		"each while the other's become final": func(c *party.Chain, a, b *party.Org, s party.Sent) {
			a.Stop()
			b.Stop()
			c.Start()
			a.Start()
			has(a, s, true)
			a.Stop()
			b.Start()
			has(b, s, false)
			b.Stop()
			a.Start()
			b.Start()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, a, b, s := accepted(t)
			away(c, a, b, s)
			c.ProvenWith(s, 2)
		})
	}
}

// verifiesOffline fails unless whoever knows the blocks to which the state
// proofs lead can verify all of the evidence, its three proofs included.
func verifiesOffline(t *testing.T, d party.Document, file []byte) {
	t.Helper()
	e, err := hashanchor.ParseEvidence(file)
	party.Check(t, err)
	doc, sum := hashanchor.Document{Length: d.Size}, sha256.New()
	_, err = io.Copy(sum, d.Open())
	party.Check(t, err)
	sum.Sum(doc.Digest[:0])
	o := hashanchor.Options{Contract: evm.ContractAddress(), CheckState: evm.CheckState}
	claimed, err := hashanchor.Verify(t.Context(), doc, file, o)
	party.Check(t, err)
	for _, b := range claimed.StateBlocks {
		o.Blocks = append(o.Blocks, b.Hash)
	}
	r, err := hashanchor.Verify(t.Context(), doc, file, o)
	party.Check(t, err)
	if r.ExitCode() != 0 || len(e.Proofs) != 3 || claimed.ExitCode() != hashanchor.ExitUndecided {
		t.Errorf("with %d proofs and %d blocks: %d, %+v", len(e.Proofs), len(o.Blocks), r.ExitCode(), r.Checks)
	}
}

func TestAPartnerWithoutAChainHasItsRecordsAnchoredByTheOther(t *testing.T) {
	t.Parallel()
	a, b := party.NewOrg(t, "alpha"), party.NewOrg(t, "beta")
	c := party.NewChain(t, a, b)
	a.AnchorAt(c.URL)
	a.Start()
	b.Start()
	party.Pair(a, b)
	there := party.Sent{From: a, To: b, Document: party.Document{Seed: "there", Size: party.Small}}
	back := party.Sent{From: b, To: a, Document: party.Document{Seed: "and back", Size: party.Small}}
	for _, s := range []*party.Sent{&there, &back} {
		s.ID = s.From.SendDocument(s.To, s.Document)
		s.From.Delivered(s.ID)
		_, err := s.To.Accept(t.Context(), s.ID, "fine")
		party.Check(t, err)
		s.From.WaitFor(party.Patience, s.ID, "accepted")
	}
	verifies := func() {
		t.Helper()
		for _, s := range []party.Sent{there, back} {
			by := map[*party.Org]string{a: "sender", b: "recipient"}[s.From]
			for _, o := range []*party.Org{a, b} {
				r := c.Verify(s.Document, holds(o, s, 2), s)
				receipts := r.Checks[slices.IndexFunc(r.Checks, func(c hashanchor.Check) bool { return c.Name == hashanchor.CheckReceived })]
				if r.ExitCode() != 0 || r.AnchoredBy != by || strings.Count(receipts.Detail, "anchored by the "+by+"'s account "+a.Keys.Account().String()) != 2 {
					t.Errorf("what %s has of %q: %d, %+v", o.Name, s.Seed, r.ExitCode(), r.Checks)
				}
			}
		}
	}
	verifies()
	if s, err := b.AnchorStatus(t.Context()); err != nil || s.Final != 0 || s.Unanchored == 0 {
		t.Errorf("beta has no chain: %+v, %v", s, err)
	}

	// The state proofs came along, so beta's evidence needs no network either.
	for _, s := range []party.Sent{there, back} {
		file, err := b.ProvenEvidence(t.Context(), s.ID)
		party.Check(t, err)
		verifiesOffline(t, s.Document, file)
	}

	// Later it has one, and anchors what waited. What was anchored first stays.
	b.Stop()
	b.AnchorAt(c.URL)
	b.Start()
	party.Until(t, "the end of beta's queue", func() string {
		s, err := b.AnchorStatus(t.Context())
		party.Check(t, err)
		if s.Final > 0 && s.Pending+s.Submitted+s.Included == 0 {
			return ""
		}
		return fmt.Sprintf("%+v", s)
	})
	verifies()
	if v := b.WaitFor(party.Patience, back.ID, "anchored"); v.Anchor != "final" {
		t.Errorf("beta's document is %s", v.Anchor)
	}
	own := party.Sent{From: b, To: a, Document: party.Document{Seed: "on its own", Size: party.Small}}
	own.ID = b.SendDocument(a, own.Document)
	b.Delivered(own.ID)
	if r := c.Verify(own.Document, holds(a, own, 1), own); r.ExitCode() != 0 || r.AnchoredBy != "sender" {
		t.Errorf("what beta anchors itself: %d, %+v", r.ExitCode(), r.Checks)
	}
	for _, o := range []*party.Org{a, b} {
		if all := o.Alarms(); len(all) > 0 {
			t.Errorf("%s was told %q", o.Name, all)
		}
	}
}
