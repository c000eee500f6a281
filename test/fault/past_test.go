package fault

import (
	"fmt"
	"maps"
	"strings"

	"dxd/api/apitype"
	"dxd/exchange"
	"dxd/record"
	"dxd/test/party"
)

// past is what b's state directory knew before it was put back to an older
// copy. Of what came to b meanwhile, b knows nothing; nor of what b accepted.
// The other side does, and both have to say so.
type past struct {
	restore func()
	copied  map[record.TransferID]apitype.Transfer // when it was copied
	ended   map[record.RecordID]bool               // when it was lost
	taken   map[record.Lane]map[record.Epoch]map[int64]record.RecordID
}

// copied copies b's state directory, whose daemon does not run.
func (p *pair) copied() {
	p.t.Helper()
	p.past = &past{restore: p.b.Backup()}
	read(p.b, func(b *disk) { p.past.copied = b.items })
}

// putBack puts the copy in the place of b's state directory, and notes what is
// undone by that.
func (p *pair) putBack() {
	p.t.Helper()
	read(p.b, func(b *disk) {
		p.past.ended, p.past.taken = b.ended(), b.taken
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, d := range p.deeds {
			was, is := p.past.copied[d.id].State, b.items[d.id].State
			d.again = d.from == p.b && (was == "queued" || was == "sending") && is != "cancelled" // and the same comes of it
			d.undone = was != is && is != "receiving" && !d.again
		}
	})
	p.past.restore()
}

// forgot tells whether the copy knew of a transfer only that it was on its way in.
func (o *past) forgot(id record.TransferID) bool {
	return o != nil && o.copied[id].State == string(exchange.Receiving)
}

// with adds what was lost to the numbers that are there.
func (o *past) with(taken map[record.Lane]map[record.Epoch]map[int64]record.RecordID, differ func(string, ...any)) map[record.Lane]map[record.Epoch]map[int64]record.RecordID {
	all := map[record.Lane]map[record.Epoch]map[int64]record.RecordID{}
	for _, part := range []map[record.Lane]map[record.Epoch]map[int64]record.RecordID{o.taken, taken} {
		for lane, epochs := range part {
			if all[lane] == nil {
				all[lane] = map[record.Epoch]map[int64]record.RecordID{}
			}
			for epoch, numbers := range epochs {
				if all[lane][epoch] == nil {
					all[lane][epoch] = map[int64]record.RecordID{}
				}
				for n, m := range numbers {
					if known, here := all[lane][epoch][n]; here && known != m {
						differ("%d of lane %s stands for two records", n, lane)
					}
				}
				maps.Copy(all[lane][epoch], numbers)
			}
		}
	}
	return all
}

// examineUndone checks what b lost with its state: a has kept it as it was.
func (p *pair) examineUndone(d *deed, a, b *disk) (found []finding) {
	add := func(sort *int, format string, args ...any) {
		found = append(found, finding{sort, fmt.Sprintf("%s (%s): ", d.Seed, d.id) + fmt.Sprintf(format, args...)})
	}
	kept := a.items[d.id]
	if is, was := b.items[d.id].State, p.past.copied[d.id].State; is != was {
		add(&p.row.differing, "it is %q, though %q at the other side and %q in the copy", is, kept.State, was)
	}
	if d.from == p.a && !agree(kept.State, arrived(kept.State)) {
		add(&p.row.lost, "its sender says %q", kept.State)
	}
	if d.from == p.a || kept.State == "" || kept.State == "cancelled" {
		return found
	}
	content, err := a.api.Content(p.t.Context(), d.id)
	if err != nil {
		add(&p.row.lost, "its recipient can't read it: %v", err)
		return found
	}
	defer content.Close()
	if sum := party.SumOf(p.t, content); sum != d.SHA256(p.t) {
		add(&p.row.lost, "other bytes arrived: %s", sum)
	}
	return found
}

// arrived is the recipient's state that goes with a sender's.
func arrived(state string) string {
	if state == "delivered" {
		return "received"
	}
	return state
}

// examineAlarms wants none, or those that an older copy raises, once each.
func (p *pair) examineAlarms(of *disk) (found []finding) {
	differ := func(format string, args ...any) {
		found = append(found, finding{&p.row.differing, of.of.Name + ": " + fmt.Sprintf(format, args...)})
	}
	told := map[string]bool{}
	for _, text := range of.alarms {
		if p.past == nil || told[text] || !strings.Contains(text, "older copy") {
			differ("an alarm: %s", text)
		}
		told[text] = true
	}
	if p.past != nil && len(told) == 0 {
		differ("nobody was told of the older copy")
	}
	return found
}
