package e2e

import (
	"encoding/hex"
	"fmt"
	"testing"

	"dxd/exchange"
	"dxd/hashanchor"
	"dxd/record"
	"dxd/test/party"
)

// sendSome sends documents one after the other, until all are delivered.
func sendSome(o *party.Org, to *party.Org, what string, n int) (ids []record.TransferID, docs []party.Document) {
	o.T.Helper()
	for i := range n {
		d := party.Document{Seed: fmt.Sprintf("%s %d", what, i), Size: 200 << 10}
		id := o.SendDocument(to, d)
		o.Delivered(id)
		ids, docs = append(ids, id), append(docs, d)
	}
	return ids, docs
}

// verifies fails unless the organisation's evidence of the document holds, but
// for the chain, which nobody asked.
func verifies(o *party.Org, id record.TransferID, d party.Document) {
	o.T.Helper()
	_, raw := o.ParsedEvidence(id)
	sum, err := hex.DecodeString(d.SHA256(o.T))
	party.Check(o.T, err)
	report, err := hashanchor.Verify(o.T.Context(), hashanchor.Document{Digest: record.Digest(sum), Length: d.Size}, raw, hashanchor.Options{})
	party.Check(o.T, err)
	for _, c := range report.Checks {
		if !c.OK && !c.Undecided {
			o.T.Errorf("%s: %s: %s", o.Name, c.Name, c.Detail)
		}
	}
	if report.Receipt != "received" {
		o.T.Errorf("%s: the evidence's receipt says %q", o.Name, report.Receipt)
	}
}

// counts fails unless the organisation has taken exactly these sequences of
// each epoch, each of them once, and its lane goes on.
func counts(o *party.Org, from *party.Org, want map[record.Epoch]int64) {
	o.T.Helper()
	got := map[record.Number]bool{}
	for _, v := range o.AllTransfers() {
		n := o.Number(v.ID)
		n.Predecessor = record.RecordID{}
		if got[n] {
			o.T.Errorf("%s has two records with the number %+v", o.Name, n)
		}
		got[n] = true
	}
	total := int64(0)
	for epoch, last := range want {
		total += last
		for sequence := range last {
			if !got[record.Number{Epoch: epoch, Lane: record.LaneDoc, Sequence: sequence + 1}] {
				o.T.Errorf("%s lacks number %d of epoch %s", o.Name, sequence+1, epoch)
			}
		}
	}
	if int64(len(got)) != total {
		o.T.Errorf("%s has %d numbers, not %d", o.Name, len(got), total)
	}
	p, err := o.Partner(o.T.Context(), from.Alias)
	party.Check(o.T, err)
	for _, l := range p.Lanes {
		if l.Stopped || l.Held || l.Complete != l.Received {
			o.T.Errorf("%s: the lane is %+v", o.Name, l)
		}
	}
}

func TestAnOldCopyOfTheSendersStateIsNoticed(t *testing.T) {
	for name, point := range map[string]exchange.Point{
		"and it lives":                        "",
		"and dies before it has compared":     exchange.BeforeGreeted,
		"and dies in another epoch":           exchange.AfterGreeted,
		"and dies before it has signed anew":  exchange.BeforeRenewed,
		"and dies when it has signed anew":    exchange.AfterRenewed,
		"and dies with the receipt, unstored": exchange.BeforeDelivered,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			putSenderBack(t, point)
		})
	}
}

// putSenderBack puts the sender's state back to an older copy, whose daemon
// dies at a commit point when it meets the partner.
func putSenderBack(t *testing.T, point exchange.Point) {
	a, b := party.NewPair(t)
	sendSome(a, b, "before the copy", 2)
	a.Stop()
	putBack := a.Backup()
	a.Start()
	lost, lostDocs := sendSome(a, b, "behind the copy", 5)
	last, _ := a.ParsedEvidence(lost[4])
	old := a.Number(lost[4])
	a.Stop()
	b.Stop()
	putBack()

	// What is submitted before the two meet is signed with a number that was
	// used, and never shown under it.
	a.Start()
	early := party.Document{Seed: "before they met", Size: 100 << 10}
	id := a.SendDocument(b, early)
	if n := a.Number(id); n.Epoch != old.Epoch || n.Sequence != 3 {
		t.Fatalf("the old copy's number is %+v", n)
	}
	if point != "" {
		a.Stop()
		a.DieAt = point
		a.Start()
	}
	b.Start()
	if point != "" {
		a.StartAfterDeath()
	}
	a.Delivered(id)
	later, laterDocs := sendSome(a, b, "later", 2)

	first := a.Number(id)
	if first.Epoch == old.Epoch || first.Sequence != 1 || first.Predecessor != last.Record.ID() {
		t.Errorf("it went on with %+v behind %s", first, last.Record.ID())
	}
	a.Alarmed("our number 7 (lane doc, epoch "+old.Epoch.String()+")", "older copy", "epoch "+first.Epoch.String())
	b.Alarmed("number 7 (lane doc, epoch "+old.Epoch.String()+")", "older copy")
	counts(b, a, map[record.Epoch]int64{old.Epoch: 7, first.Epoch: 3})
	for i, id := range append(lost, later...) {
		verifies(b, id, append(lostDocs, laterDocs...)[i])
	}
	for i, id := range append(later, id) {
		verifies(a, id, append(laterDocs, early)[i])
	}
	verifies(b, id, early)
}

func TestAnOldCopyOfTheRecipientsStateIsNoticed(t *testing.T) {
	a, b := party.NewPair(t)
	sendSome(a, b, "before the copy", 2)
	b.Stop()
	putBack := b.Backup()
	b.Start()
	lost, lostDocs := sendSome(a, b, "behind the copy", 5)
	old := a.Number(lost[4])
	b.Stop()
	putBack()
	b.Start()
	later, laterDocs := sendSome(a, b, "later", 2)

	in := "3 to 7 (lane doc, epoch " + old.Epoch.String() + ")"
	a.Alarmed("no longer has our numbers " + in)
	b.Alarmed("we acknowledged its numbers " + in)
	if n := a.Number(later[1]); n.Epoch != old.Epoch || n.Sequence != 9 {
		t.Errorf("it went on with %+v", n)
	}
	for i, id := range append(lost, later...) {
		verifies(a, id, append(lostDocs, laterDocs...)[i])
	}
	for i, id := range later {
		verifies(b, id, laterDocs[i])
	}
	// What is told once is not told again.
	b.Stop()
	b.Start()
	sendSome(a, b, "and on", 1)
	if len(a.Alarms()) != 1 || len(b.Alarms()) != 1 {
		t.Errorf("told again: %q, %q", a.Alarms(), b.Alarms())
	}
}
