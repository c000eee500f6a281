package e2e

import (
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dxd/client"
	"dxd/exchange"
	"dxd/hashanchor"
	"dxd/record"
)

// backup copies the state directory, whose daemon is stopped. putBack puts
// the copy in its place.
func (o *org) backup() (putBack func()) {
	o.t.Helper()
	copied := o.dir + ".copy"
	check(o.t, filepath.WalkDir(o.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := copied + strings.TrimPrefix(path, o.dir)
		if d.IsDir() {
			return os.Mkdir(to, 0o700)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(to, content, 0o600)
	}))
	return func() {
		o.t.Helper()
		check(o.t, os.RemoveAll(o.dir))
		check(o.t, os.Rename(copied, o.dir))
	}
}

// alarms lists what people were told of.
func (o *org) alarms() (texts []string) {
	o.t.Helper()
	all, err := o.Events(o.t.Context(), client.EventFilter{Limit: 1000})
	check(o.t, err)
	for _, e := range all {
		if e.Type == "alarm" {
			texts = append(texts, e.Text)
		}
	}
	return texts
}

// alarmed waits for the one alarm, which has to name all of this.
func (o *org) alarmed(parts ...string) {
	o.t.Helper()
	until(o.t, "an alarm at "+o.name, func() string {
		if len(o.alarms()) == 0 {
			return "none"
		}
		return ""
	})
	all := o.alarms()
	if len(all) != 1 {
		o.t.Errorf("%s was told %d times: %q", o.name, len(all), all)
	}
	for _, part := range parts {
		if !strings.Contains(all[0], part) {
			o.t.Errorf("%s was not told %q, but %q", o.name, part, all[0])
		}
	}
}

// sendSome sends documents one after the other, until all are delivered.
func (o *org) sendSome(to *org, what string, n int) (ids []record.TransferID, docs []document) {
	o.t.Helper()
	for i := range n {
		d := document{seed: fmt.Sprintf("%s %d", what, i), size: 200 << 10}
		id := o.send(to, d)
		o.delivered(id)
		ids, docs = append(ids, id), append(docs, d)
	}
	return ids, docs
}

// number reads the number of a transfer's manifest.
func (o *org) number(id record.TransferID) record.Number {
	o.t.Helper()
	e, _ := o.evidence(id)
	n, err := record.NumberOf(e.Record)
	check(o.t, err)
	return n
}

// verifies fails unless the organisation's evidence of the document holds, but
// for the chain, which nobody asked.
func (o *org) verifies(id record.TransferID, d document) {
	o.t.Helper()
	_, raw := o.evidence(id)
	sum, err := hex.DecodeString(d.sha256(o.t))
	check(o.t, err)
	report, err := hashanchor.Verify(o.t.Context(), hashanchor.Document{Digest: record.Digest(sum), Length: d.size}, raw, hashanchor.Options{})
	check(o.t, err)
	for _, c := range report.Checks {
		if !c.OK && !c.Undecided {
			o.t.Errorf("%s: %s: %s", o.name, c.Name, c.Detail)
		}
	}
	if report.Receipt != "received" {
		o.t.Errorf("%s: the evidence's receipt says %q", o.name, report.Receipt)
	}
}

// counts fails unless the organisation has taken exactly these sequences of
// each epoch, each of them once, and its lane goes on.
func (o *org) counts(from *org, want map[record.Epoch]int64) {
	o.t.Helper()
	got := map[record.Number]bool{}
	for _, v := range o.transfers() {
		n := o.number(v.ID)
		n.Predecessor = record.RecordID{}
		if got[n] {
			o.t.Errorf("%s has two records with the number %+v", o.name, n)
		}
		got[n] = true
	}
	total := int64(0)
	for epoch, last := range want {
		total += last
		for sequence := range last {
			if !got[record.Number{Epoch: epoch, Lane: record.LaneDoc, Sequence: sequence + 1}] {
				o.t.Errorf("%s lacks number %d of epoch %s", o.name, sequence+1, epoch)
			}
		}
	}
	if int64(len(got)) != total {
		o.t.Errorf("%s has %d numbers, not %d", o.name, len(got), total)
	}
	p, err := o.Partner(o.t.Context(), from.alias)
	check(o.t, err)
	for _, l := range p.Lanes {
		if l.Stopped || l.Held || l.Complete != l.Received {
			o.t.Errorf("%s: the lane is %+v", o.name, l)
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
	a, b := newPair(t)
	a.sendSome(b, "before the copy", 2)
	a.stop()
	putBack := a.backup()
	a.start()
	lost, lostDocs := a.sendSome(b, "behind the copy", 5)
	last, _ := a.evidence(lost[4])
	old := a.number(lost[4])
	a.stop()
	b.stop()
	putBack()

	// What is submitted before the two meet is signed with a number that was
	// used, and never shown under it.
	a.start()
	early := document{seed: "before they met", size: 100 << 10}
	id := a.send(b, early)
	if n := a.number(id); n.Epoch != old.Epoch || n.Sequence != 3 {
		t.Fatalf("the old copy's number is %+v", n)
	}
	if point != "" {
		a.stop()
		a.dieAt = point
		a.start()
	}
	b.start()
	if point != "" {
		a.startAfterDeath()
	}
	a.delivered(id)
	later, laterDocs := a.sendSome(b, "later", 2)

	first := a.number(id)
	if first.Epoch == old.Epoch || first.Sequence != 1 || first.Predecessor != last.Record.ID() {
		t.Errorf("it went on with %+v behind %s", first, last.Record.ID())
	}
	a.alarmed("our number 7 (lane doc, epoch "+old.Epoch.String()+")", "older copy", "epoch "+first.Epoch.String())
	b.alarmed("number 7 (lane doc, epoch "+old.Epoch.String()+")", "older copy")
	b.counts(a, map[record.Epoch]int64{old.Epoch: 7, first.Epoch: 3})
	for i, id := range append(lost, later...) {
		b.verifies(id, append(lostDocs, laterDocs...)[i])
	}
	for i, id := range append(later, id) {
		a.verifies(id, append(laterDocs, early)[i])
	}
	b.verifies(id, early)
}

func TestAnOldCopyOfTheRecipientsStateIsNoticed(t *testing.T) {
	a, b := newPair(t)
	a.sendSome(b, "before the copy", 2)
	b.stop()
	putBack := b.backup()
	b.start()
	lost, lostDocs := a.sendSome(b, "behind the copy", 5)
	old := a.number(lost[4])
	b.stop()
	putBack()
	b.start()
	later, laterDocs := a.sendSome(b, "later", 2)

	in := "3 to 7 (lane doc, epoch " + old.Epoch.String() + ")"
	a.alarmed("no longer has our numbers " + in)
	b.alarmed("we acknowledged its numbers " + in)
	if n := a.number(later[1]); n.Epoch != old.Epoch || n.Sequence != 9 {
		t.Errorf("it went on with %+v", n)
	}
	for i, id := range append(lost, later...) {
		a.verifies(id, append(lostDocs, laterDocs...)[i])
	}
	for i, id := range later {
		b.verifies(id, laterDocs[i])
	}
	// What is told once is not told again.
	b.stop()
	b.start()
	a.sendSome(b, "and on", 1)
	if len(a.alarms()) != 1 || len(b.alarms()) != 1 {
		t.Errorf("told again: %q, %q", a.alarms(), b.alarms())
	}
}
