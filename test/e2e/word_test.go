package e2e

import (
	"testing"

	"dxd/exchange"
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
	a, b := newPair(t)
	d := document{seed: string(point), size: small}
	id := a.send(b, d)
	a.delivered(id)
	dying := b
	if atHome {
		dying = a
	}
	dying.stop()
	dying.dieAt = point
	dying.start()
	_, err := b.Refuse(t.Context(), id, "page 3 is missing", "E3")
	if (err != nil) == atHome {
		t.Fatalf("the application got %v", err)
	}
	dying.startAfterDeath()

	// An application that got no answer says it again, and that is no other.
	_, err = b.Refuse(t.Context(), id, "page 3 is missing", "E3")
	check(t, err)
	if v := a.wait(patience, id, "accepted"); v.State != "refused" || v.Reason != "page 3 is missing" || v.Application != "E3" {
		t.Errorf("the sender has %s (%s), %q", v.State, v.Reason, v.Application)
	}
	ours, _ := a.evidence(id)
	theirs, _ := b.evidence(id)
	if len(ours.Receipts) != 2 || len(theirs.Receipts) != 2 || ours.Receipts[1].ID() != theirs.Receipts[1].ID() {
		t.Errorf("%d receipts here and %d there, or others", len(ours.Receipts), len(theirs.Receipts))
	}
	for _, o := range []*org{a, b} {
		if log := o.process.log.String(); containsAlarm(log) {
			t.Errorf("an alarm at %s: %s", o.name, log)
		}
	}
}

func TestAWordIsAnchoredAndItsProofIsTold(t *testing.T) {
	t.Parallel()
	a, b := newOrg(t, "alpha"), newOrg(t, "beta")
	c := newChain(t, a, b)
	for _, o := range []*org{a, b} {
		o.anchorAt(c.url)
		o.start()
	}
	pair(a, b)
	s := sent{from: a, to: b, document: document{seed: "a word", size: small}}
	s.id = a.send(b, s.document)
	a.delivered(s.id)
	_, err := b.Accept(t.Context(), s.id, "order 4711")
	check(t, err)
	a.wait(patience, s.id, "accepted")
	c.provenWith(s, 2)
	for _, o := range []*org{a, b} {
		_, raw := o.evidence(s.id)
		if r := c.verify(s.document, raw, s); r.Receipt != "accepted" {
			t.Errorf("the evidence of %s says that it was %s: %+v", o.name, r.Receipt, r.Checks)
		}
	}
}
