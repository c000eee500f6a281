//go:build bench

package bench

import (
	"fmt"
	"testing"
	"time"

	"dxd/client"
	"dxd/test/party"
)

var journal = group{name: "journal", long: true, measure: measureJournal, rows: []Row{
	{Name: "journal-list", What: "time to list a page with many transfers in the journal", Unit: "× that with 1,000", AtLeast: 1.2, Less: true},
	{Name: "journal-messages", What: "messages sent and received a second with many transfers in both journals", Unit: "× those with 1,000", AtLeast: 0.8},
	{Name: "journal-start", What: "start-up to ready with many transfers in the journal", Unit: "s", AtLeast: 3, Less: true},
}}

// few is how many transfers are in the journal for comparison.
const few = 1000

// measureJournal measures with few transfers and, when they have become many,
// once more. A figure is the median of many divided by each run of few.
func measureJournal(t *testing.T, s *suite) {
	p := newPair(t, s, "tcp")
	p.crowd(t, s, "messages to begin with", few, p.message)
	listFew, rateFew := p.busy(t, s, "few")
	p.crowd(t, s, "messages that fill the journal", max(few, *transfers-few), p.message)
	p.settled(t)
	listMany, rateMany := p.busy(t, s, "many")
	var list, rate, ready []float64
	for i := range listMany {
		list = append(list, listMany[i]/percentile(listFew, 50))
		rate = append(rate, rateMany[i]/percentile(rateFew, 50))
	}
	for _, stop := range p.stop {
		stop()
	}
	for range *runs {
		for _, o := range []*party.Org{p.a, p.b} {
			o.Profile = "" // that of its work is written
			ready = append(ready, o.Start().Seconds())
			o.Stop()
		}
	}
	note := fmt.Sprintf("%d transfers", *transfers)
	s.found("journal-list", note, list...)
	s.found("journal-messages", note, rate...)
	s.found("journal-start", note, ready...)
}

// settled waits until the daemons are done with what the messages left them to
// do: what is measured next is what the number of transfers costs, and not the
// pace at which they came. After a minute it goes on in any case, and says so.
func (p pair) settled(t *testing.T) {
	t.Helper()
	const window, quiet = time.Second, 50 * time.Millisecond
	used := func() time.Duration { return p.a.ProcessorTime() + p.b.ProcessorTime() }
	for begun, before := time.Now(), used(); time.Since(begun) < party.Patience; {
		<-time.After(window)
		now := used()
		if now-before < quiet {
			t.Logf("quiet after %s", time.Since(begun).Round(window))
			return
		}
		before = now
	}
	t.Logf("not quiet within %s", party.Patience)
}

// busy gives how many seconds it takes to list a page, and how many messages
// go over in a second.
func (p pair) busy(t *testing.T, s *suite, what string) (list, rate []float64) {
	t.Helper()
	for range *runs {
		var pages []float64
		for range 50 {
			for _, o := range []*party.Org{p.a, p.b} {
				begun := time.Now()
				page, err := o.Transfers(t.Context(), client.Filter{Limit: 100})
				party.Check(t, err)
				pages = append(pages, time.Since(begun).Seconds())
				if len(page) != 100 {
					t.Fatalf("%d on a page", len(page))
				}
			}
		}
		list = append(list, percentile(pages, 50))
		// They are added to those that are there: few stay few.
		rate = append(rate, p.crowd(t, s, "messages, with "+what+" in the journal", 16*callers, p.message))
	}
	return list, rate
}
