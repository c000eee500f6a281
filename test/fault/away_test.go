package fault

import (
	"sync"
	"testing"
	"time"

	"dxd/client"
	"dxd/record"
	"dxd/test/party"
)

// days is how long the partner is away. What is handed over meanwhile is
// delivered all the same: its time is a week, unless it is asked for less.
const days = 5

func TestAPartnerAwayForDaysLosesNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		putBack bool
	}{
		{"partner away for days", false},
		{"partner away for days, back as an older copy", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for range times(1, 10) {
				p := newPair(t, c.name, func(a, b *party.Org) { a.Patient, b.Patient = true, true })
				p.awayForDays(c.putBack)
				p.a.Stop()
				p.b.Stop()
			}
		})
	}
}

// awayForDays is one round: work piles up for a partner that is away for days,
// then there for moments, and away again, until it has everything. On the way
// its state directory may be put back to an older copy.
func (p *pair) awayForDays(putBack bool) {
	p.t.Helper()
	p.load()() // both are there
	p.settled()
	p.b.Stop()
	var answers sync.WaitGroup
	p.t.Cleanup(answers.Wait)
	for n := range days {
		p.a.StepClock(time.Duration(n+1) * day)
		p.pileUp(&answers, 6, n < days-2)
		if n == 2 {
			p.a.Stop()
			p.a.Start()
		}
	}
	now := (days + 1) * day
	for visit := range 3 {
		p.a.StepClock(now)
		p.b.Clock = now
		p.visit(&answers, visit)
		now += time.Hour
		p.pileUp(&answers, 2, false)
		switch {
		case !putBack:
		case visit == 0:
			p.copied()
		case visit == 1:
			p.putBack()
		}
	}
	p.b.Start()
	p.settled()
	answers.Wait()
	p.checked(p.start)
}

// pileUp hands over to the partner that is away. Some of it may expire before
// that is back.
func (p *pair) pileUp(answers *sync.WaitGroup, documents int, expiring bool) {
	for i := range 3 * documents {
		kind := record.Message
		if i%3 == 0 {
			kind = record.Document
		}
		d := p.draw(i, p.a, p.b, kind)
		if expiring && d.word == "" && i%2 == 0 {
			d.cancel, d.expires = false, 36*time.Hour
		}
		p.handOver(d, answers)
	}
}

// visit has the partner come, hand over something itself, and go again as soon
// as some documents more are with it. It must not wait for the pauses that grew
// while it was away.
func (p *pair) visit(answers *sync.WaitGroup, nth int) {
	p.t.Helper()
	before := p.waiting()
	enough := 1 + p.rand.IntN(4)
	p.b.Start()
	begun := time.Now()
	documents, messages := p.handedOver()
	for i := range 4 {
		kind := []record.ItemKind{record.Document, record.Message}[i%2]
		p.handOver(p.draw(2+5*i, p.b, p.a, kind), answers)
	}
	left := before
	party.Until(p.t, "documents that arrive", func() string {
		if left = p.waiting(); left == 0 || before-left >= enough {
			return ""
		}
		return "too few"
	})
	// Of what is put back something was seen at the other side, in both lanes.
	party.Until(p.t, "what the partner hands over itself", func() string {
		if d, m := p.handedOver(); nth != 1 || d > documents && m > messages {
			return ""
		}
		return "nothing of it arrived"
	})
	p.t.Logf("visit %d: %d of %d documents within %s", nth, before-left, before, time.Since(begun).Round(time.Millisecond))
	if nth == 0 || p.rand.IntN(2) == 0 {
		p.b.Stop()
		return
	}
	p.b.Process.Kill()
	p.promised(p.b, p.accepted(p.b))
}

// handedOver counts what of the partner's own has arrived.
func (p *pair) handedOver() (documents, messages int) {
	p.t.Helper()
	all, err := p.b.Transfers(p.t.Context(), client.Filter{Limit: 1000})
	party.Check(p.t, err)
	for _, v := range all {
		switch {
		case v.Direction != "out" || v.State == "queued" || v.State == "sending" || v.State == "cancelled":
		case v.Kind == record.Document:
			documents++
		case v.Kind == record.Message:
			messages++
		}
	}
	return documents, messages
}

// waiting counts the documents that the partner has not got.
func (p *pair) waiting() (n int) {
	p.t.Helper()
	all, err := p.a.Transfers(p.t.Context(), client.Filter{Limit: 1000})
	party.Check(p.t, err)
	for _, v := range all {
		if v.Direction == "out" && v.Kind == record.Document && (v.State == "queued" || v.State == "sending") {
			n++
		}
	}
	return n
}
