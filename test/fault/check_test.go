package fault

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"dxd/blobstore"
	"dxd/exchange"
	"dxd/hashanchor"
	"dxd/record"
	"dxd/test/party"
)

// finding is what the checker has found amiss.
type finding struct {
	sort *int // of the row: which sort of thing it is
	text string
}

// checked stops both daemons, checks all invariants on what they left, counts
// the round and starts them again as they are to be.
func (p *pair) checked(restart func()) {
	p.t.Helper()
	p.settled()
	for end, more := time.Now().Add(party.Patience), 200*time.Millisecond; ; more *= 2 {
		p.a.Stop()
		p.b.Stop()
		found, waiting := p.examine()
		if waiting != "" && len(found) == 0 && time.Now().Before(end) {
			p.t.Log("stopped with something to tell: ", waiting)
			p.a.Start()
			p.b.Start()
			p.settled()
			pause(more) // nothing tells from outside that a partner was told all
			continue
		}
		if waiting != "" {
			found = append(found, finding{&p.row.differing, waiting})
		}
		p.report(found)
		p.note(&p.row.rounds)
		break
	}
	restart()
}

// report counts what was found.
func (p *pair) report(found []finding) {
	p.t.Helper()
	for _, f := range found {
		p.note(f.sort)
		p.t.Error(f.text)
	}
}

// note counts one thing in the table.
func (p *pair) note(sort *int) {
	tried.mu.Lock()
	defer tried.mu.Unlock()
	*sort++
	p.mu.Lock()
	defer p.mu.Unlock()
	p.row.transfers += len(p.deeds) - p.counted
	p.counted = len(p.deeds)
}

// examine reads both state directories. waiting is what would be amiss if it
// stayed that way.
func (p *pair) examine() (found []finding, waiting string) {
	read(p.a, func(a *disk) {
		read(p.b, func(b *disk) {
			for _, d := range p.deeds {
				ours, theirs := a, b
				if d.from == p.b {
					ours, theirs = b, a
				}
				if d.undone && !agree(ours.items[d.id].State, theirs.items[d.id].State) {
					found = append(found, p.examineUndone(d, a, b)...)
				} else {
					found = append(found, p.examineDeed(d, ours, theirs)...)
				}
				p.seen[d.id] = true
			}
			for _, of := range []*disk{a, b} {
				found = append(found, p.examineFiles(of)...)
				found = append(found, p.examineExtra(of)...)
				found = append(found, p.examineUsage(of)...)
				found = append(found, p.examineAlarms(of)...)
				if of.queued+of.open+of.told > 0 {
					waiting = fmt.Sprintf("%s: %d transfers, %d numbers, %d news", of.of.Name, of.queued, of.open, of.told)
				}
			}
			found = append(found, p.examineNumbers(a, b)...)
			found = append(found, p.examineNumbers(b, a)...)
		})
	})
	return found, waiting
}

// examineDeed checks one transfer. That its content and records are the same
// is looked at once: nothing writes them again.
func (p *pair) examineDeed(d *deed, ours, theirs *disk) (found []finding) {
	add := func(sort *int, format string, args ...any) {
		found = append(found, finding{sort, fmt.Sprintf("%s (%s): ", d.Seed, d.id) + fmt.Sprintf(format, args...)})
	}
	sent, here := ours.items[d.id]
	if !here {
		add(&p.row.lost, "its sender does not know it")
		return found
	}
	got := theirs.items[d.id]
	switch {
	case sent.State == "cancelled" && !d.cancel:
		add(&p.row.lost, "nobody cancelled it")
	case sent.State == "failed" && d.expires == 0:
		add(&p.row.lost, "it failed: %s", sent.Reason)
	case sent.State != "cancelled" && sent.State != "failed" && got.State == "":
		add(&p.row.lost, "it is %s, and its recipient does not have it", sent.State)
	case !agree(sent.State, got.State):
		add(&p.row.differing, "it is %q at its sender and %q at its recipient", sent.State, got.State)
	}
	arrived := []string{string(d.kind) + ".received"}
	switch got.State {
	case "", "cancelled":
		arrived = nil
	case "accepted", "refused":
		arrived = append(arrived, "transfer."+got.State)
	}
	if told := slices.DeleteFunc(slices.Clone(theirs.events[d.id]), func(s string) bool { return s == "transfer.cancelled" }); !slices.Equal(told, arrived) {
		add(&p.row.doubled, "its recipient was told %q", told)
	}
	ended := []string{"transfer.delivered"}
	switch sent.State {
	case "cancelled":
		ended = []string{"transfer.cancelled"}
	case "failed":
		ended = []string{"transfer.failed"}
	case "accepted", "refused":
		ended = append(ended, "transfer."+sent.State)
	}
	told := ours.events[d.id]
	if d.cancel && sent.State == "delivered" { // it was told first that it is cancelled
		told = slices.DeleteFunc(slices.Clone(told), func(s string) bool { return s == "transfer.cancelled" })
	}
	if !slices.Equal(told, ended) {
		add(&p.row.doubled, "its sender was told %q, not %q", told, ended)
	}
	if p.seen[d.id] || arrived == nil {
		return found
	}
	content, err := theirs.api.Content(p.t.Context(), d.id)
	if err != nil {
		add(&p.row.lost, "its recipient can't read it: %v", err)
		return found
	}
	defer content.Close()
	if sum := party.SumOf(p.t, content); sum != d.SHA256(p.t) || got.SHA256 != sum || sent.SHA256 != sum {
		add(&p.row.lost, "other bytes arrived: %s", sum)
	}
	return append(found, p.examineRecords(d, sent.State, ours, theirs)...)
}

// examineRecords compares manifest, receipts and leaves.
func (p *pair) examineRecords(d *deed, state string, ours, theirs *disk) (found []finding) {
	differ := func(format string, args ...any) {
		found = append(found, finding{&p.row.differing, fmt.Sprintf("%s (%s): ", d.Seed, d.id) + fmt.Sprintf(format, args...)})
	}
	var both [2]*hashanchor.Evidence
	for i, of := range []*disk{ours, theirs} {
		raw, err := of.api.Evidence(p.t.Context(), d.id)
		if err == nil {
			both[i], err = hashanchor.ParseEvidence(raw)
		}
		if err != nil {
			differ("%s has no evidence: %v", of.of.Name, err)
			return found
		}
	}
	same := func(a, b record.Envelope) bool { return bytes.Equal(a.Bytes(), b.Bytes()) && a.Leaf() == b.Leaf() }
	receipts := 1
	if state == "accepted" || state == "refused" {
		receipts = 2
	}
	// A message that waited in an older copy, and was delivered since, is sent
	// once more in another bundle: each side has the manifest that it saw first.
	alike := d.again && d.kind == record.Message || same(both[0].Record, both[1].Record) && slices.EqualFunc(both[0].Receipts, both[1].Receipts, same)
	if !alike || len(both[0].Receipts) != receipts || len(both[1].Receipts) != receipts {
		differ("the sides hold different records: %d and %d receipts", len(both[0].Receipts), len(both[1].Receipts))
	}
	if !ours.leaf(both[0].Record.ID()) {
		differ("its manifest waits for no anchor")
	}
	for _, r := range both[1].Receipts {
		if !theirs.leaf(r.ID()) {
			differ("a receipt waits for no anchor")
		}
	}
	return found
}

// examineExtra finds transfers that nobody handed over.
func (p *pair) examineExtra(of *disk) (found []finding) {
	deeds := map[record.TransferID]bool{}
	for _, d := range p.deeds {
		if deeds[d.id] {
			found = append(found, finding{&p.row.lost, "two were promised as " + d.id.String()})
		}
		deeds[d.id] = true
	}
	for id, v := range of.items {
		if !deeds[id] {
			found = append(found, finding{&p.row.doubled, fmt.Sprintf("%s has %s, which nobody handed over: %+v", of.of.Name, id, v)})
		}
	}
	return found
}

// examineFiles compares rows, what notes that a file is needed, and files.
func (p *pair) examineFiles(of *disk) (found []finding) {
	differ := func(format string, args ...any) {
		found = append(found, finding{&p.row.differing, of.of.Name + ": " + fmt.Sprintf(format, args...)})
	}
	needed := map[blobstore.FileID]bool{}
	for id, t := range of.rows {
		if t.Payload.IsZero() {
			continue
		}
		needed[t.Payload] = true
		f, here := of.files[t.Payload]
		switch {
		case !here:
			differ("the file of %s is gone", id)
		case t.State == exchange.Receiving && !f.Partial && p.past.forgot(id):
			// It was whole in the copy and not yet received, and its sender, which
			// has the receipt that was lost, does not send it again.
		case f.Partial != (t.State == exchange.Receiving):
			differ("%s is %s, its file partial: %t", id, t.State, f.Partial)
		case !f.Partial && f.Size != t.SealedLength:
			differ("the file of %s has %d bytes, not %d", id, f.Size, t.SealedLength)
		}
		if !slices.Contains(of.marks[t.Payload], id) {
			differ("nothing says that %s needs its file", id)
		}
	}
	for file, f := range of.files {
		if !needed[file] {
			differ("no row needs the file %s, partial: %t", file, f.Partial)
		}
	}
	for file := range of.marks {
		if !needed[file] {
			differ("a file is kept for nothing")
		}
	}
	return found
}

// examineNumbers wants one number after the other, each of which ended in a
// receipt or a void. An older copy of a state directory lacks numbers that it
// had before, and gives its own in another epoch.
func (p *pair) examineNumbers(from, to *disk) (found []finding) {
	differ := func(format string, args ...any) {
		found = append(found, finding{&p.row.differing, from.of.Name + "'s numbers: " + fmt.Sprintf(format, args...)})
	}
	ended, taken, epochs := to.ended(), to.taken, 1
	switch {
	case p.past != nil && to.of == p.b:
		maps.Copy(ended, p.past.ended)
		taken = p.past.with(taken, differ)
	case p.past != nil:
		epochs = 2
	}
	var given []string
	for lane, last := range from.given {
		given = append(given, fmt.Sprint(lane, " ", last.Sequence))
		if len(taken[lane]) != epochs {
			differ("%d epochs in lane %s", len(taken[lane]), lane)
		}
		if n := len(taken[lane][last.Epoch]); int64(n) != last.Sequence {
			differ("%d were given in lane %s, %d taken", last.Sequence, lane, n)
		}
		for _, of := range taken[lane] {
			for n := range int64(len(of)) {
				if m, here := of[n+1]; !here {
					differ("%d of lane %s is missing", n+1, lane)
				} else if !ended[m] {
					differ("%d of lane %s ended in nothing", n+1, lane)
				}
			}
		}
	}
	if len(given) != 2 {
		differ("only %s were given", strings.Join(given, ", "))
	}
	return found
}

// ended lists the manifests of the partner that ended in a receipt or a void.
func (d *disk) ended() map[record.RecordID]bool {
	all := map[record.RecordID]bool{}
	for _, t := range d.rows {
		if t.Direction == exchange.In && t.State != exchange.Receiving && t.State != exchange.Cancelled {
			all[t.Record] = true
		}
	}
	for _, epochs := range d.taken {
		for _, numbers := range epochs {
			for _, m := range numbers {
				if d.voided(m) {
					all[m] = true
				}
			}
		}
	}
	return all
}

// promised checks, right after a death, that what was accepted is on the disk
// of who accepted it, with its file.
func (p *pair) promised(dead *party.Org, accepted []*deed) {
	p.t.Helper()
	read(dead, func(of *disk) {
		var found []finding
		for _, d := range accepted {
			if _, here := of.items[d.id]; !here && d.from == dead {
				found = append(found, finding{&p.row.lost, d.Seed + " was accepted and is gone after the death"})
			}
		}
		for id, t := range of.rows {
			// Of what is on its way in nothing was promised: a loss of power may
			// leave its row without its file, and it is begun anew.
			if _, here := of.files[t.Payload]; !here && !t.Payload.IsZero() && t.State != exchange.Receiving {
				found = append(found, finding{&p.row.differing, fmt.Sprintf("after the death the file of %s, which is %s, is gone", id, t.State)})
			}
		}
		p.report(found)
	})
}
