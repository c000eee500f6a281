package e2e

import (
	"testing"

	"dxd/exchange"
	"dxd/test/party"
)

func TestADeathAroundAWordLosesNoneAndSaysNoneTwice(t *testing.T) {
	for _, c := range []struct {
		name   string
		point  exchange.Point
		atHome bool // the sender of the document dies
	}{
		{"the recipient dies with a word that is not signed", exchange.BeforeSaid, false},
		{"the recipient dies with a receipt that is not told", exchange.AfterSaid, false},
		{"the sender dies with a word that is not taken", exchange.BeforeHeard, true},
		{"the sender dies before it says that it took the word", exchange.AfterHeard, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dieAroundAWord(t, c.point, c.atHome)
		})
	}
}

func dieAroundAWord(t *testing.T, point exchange.Point, atHome bool) {
	a, b := party.NewPair(t)
	d := party.Document{Seed: string(point), Size: party.Small}
	id := a.SendDocument(b, d)
	a.Delivered(id)
	dying := b
	if atHome {
		dying = a
	}
	dying.Stop()
	dying.DieAt = point
	dying.Start()
	_, err := b.Refuse(t.Context(), id, "page 3 is missing", "E3")
	if (err != nil) == atHome {
		t.Fatalf("the application got %v", err)
	}
	dying.StartAfterDeath()

	// An application that got no answer says it again, and that is no other.
	_, err = b.Refuse(t.Context(), id, "page 3 is missing", "E3")
	party.Check(t, err)
	if v := a.WaitFor(party.Patience, id, "accepted"); v.State != "refused" || v.Reason != "page 3 is missing" || v.Application != "E3" {
		t.Errorf("the sender has %s (%s), %q", v.State, v.Reason, v.Application)
	}
	ours, _ := a.ParsedEvidence(id)
	theirs, _ := b.ParsedEvidence(id)
	if len(ours.Receipts) != 2 || len(theirs.Receipts) != 2 || ours.Receipts[1].ID() != theirs.Receipts[1].ID() {
		t.Errorf("%d receipts here and %d there, or others", len(ours.Receipts), len(theirs.Receipts))
	}
	for _, o := range []*party.Org{a, b} {
		if log := o.Process.Log.String(); containsAlarm(log) {
			t.Errorf("an alarm at %s: %s", o.Name, log)
		}
	}
}

func TestAWordIsAnchoredAndItsProofIsTold(t *testing.T) {
	t.Parallel()
	a, b := party.NewOrg(t, "alpha"), party.NewOrg(t, "beta")
	c := party.NewChain(t, a, b)
	for _, o := range []*party.Org{a, b} {
		o.AnchorAt(c.URL)
		o.Start()
	}
	party.Pair(a, b)
	s := party.Sent{From: a, To: b, Document: party.Document{Seed: "a word", Size: party.Small}}
	s.ID = a.SendDocument(b, s.Document)
	a.Delivered(s.ID)
	_, err := b.Accept(t.Context(), s.ID, "order 4711")
	party.Check(t, err)
	a.WaitFor(party.Patience, s.ID, "accepted")
	c.ProvenWith(s, 2)
	for _, o := range []*party.Org{a, b} {
		_, raw := o.ParsedEvidence(s.ID)
		if r := c.Verify(s.Document, raw, s); r.Receipt != "accepted" {
			t.Errorf("the evidence of %s says that it was %s: %+v", o.Name, r.Receipt, r.Checks)
		}
	}
}
