//go:build bench

package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"dxd/api/apitype"
	"dxd/client"
	"dxd/record"
	"dxd/test/party"
)

const callers = 64

var messages = group{name: "messages", measure: measureMessages, rows: []Row{
	{Name: "messages", What: "messages of 1 KiB, 64 callers, the last receipt included", Unit: "a second", AtLeast: 2000, Aim: 5000},
	{Name: "message-p50", What: "one message alone, submit to delivered, median", Unit: "lone fsyncs", AtLeast: 12, Aim: 6, Less: true},
	{Name: "message-p99", What: "one message alone, submit to delivered, 99th percentile", Unit: "lone fsyncs", AtLeast: 40, Aim: 20, Less: true},
}}

var documents = group{name: "documents", measure: measureDocuments, rows: []Row{
	{Name: "documents", What: "documents of 100 KiB, 64 callers, the last receipt included", Unit: "a second", AtLeast: 300, Aim: 1000},
}}

func measureMessages(t *testing.T, s *suite) {
	p := newPair(t, s, "tcp")
	var rate []float64
	var alone, behind latencies
	for range *runs {
		if s.wants("messages") {
			rate = append(rate, p.crowd(t, s, "messages", *count, p.message))
			if s.wants("message-p50", "message-p99") {
				behind.add(p.alone(t))
			}
		}
		if s.wants("message-p50", "message-p99") {
			p.settled(t)
			alone.add(p.alone(t))
		}
	}
	if len(rate) > 0 {
		s.found("messages", "", rate...)
	}
	if len(alone.p50) > 0 {
		s.found("message-p50", alone.note(behind.p50), alone.p50...)
		s.found("message-p99", alone.note(behind.p99), alone.p99...)
	}
}

// latencies are what single messages took, in lone fsyncs, one of each for a run.
type latencies struct {
	p50, p99 []float64
	lone     Stats // of the last run, in seconds
}

func (l *latencies) add(lone Stats, one []float64) {
	l.lone = lone
	l.p50 = append(l.p50, percentile(one, 50)/lone.Median)
	l.p99 = append(l.p99, percentile(one, 99)/lone.Median)
}

// note tells what the figures say nothing of: behind is what the same took
// right behind a flood, while tables were still being made of it.
func (l *latencies) note(behind []float64) string {
	note := fmt.Sprintf("a lone fsync takes %.2f ms", l.lone.Median*1e3)
	if len(behind) > 0 {
		note += fmt.Sprintf("; right behind a flood of messages %.1f", statsOf(behind...).Median)
	}
	return note
}

func measureDocuments(t *testing.T, s *suite) {
	p := newPair(t, s, "tcp")
	var rate []float64
	for range *runs {
		rate = append(rate, p.crowd(t, s, "documents", *count/10, p.document))
	}
	s.found("documents", "", rate...)
}

// submit hands over one of them, and returns once it is queued.
type submit func(t *testing.T) record.TransferID

func (p pair) message(t *testing.T) record.TransferID {
	return first(t)(p.a.SendMessage(t.Context(), client.Submission{To: []string{p.b.Alias}}, bytes.NewReader(make([]byte, 1<<10)), 1<<10))
}

func (p pair) document(t *testing.T) record.TransferID {
	const size = 100 << 10
	return first(t)(p.a.Send(t.Context(), client.Submission{To: []string{p.b.Alias}, Name: "document"}, io.LimitReader(zero{}, size), size))
}

func first(t *testing.T) func(apitype.Submitted, error) record.TransferID {
	return func(sent apitype.Submitted, err error) record.TransferID {
		if err != nil {
			t.Error(err) // where many submit, only the test's own goroutine may end it
			return record.TransferID{}
		}
		return sent.Transfers[0].ID
	}
}

type zero struct{}

func (zero) Read(p []byte) (int, error) { return len(p), nil }

// crowd lets all callers submit one after the other, and says how many were
// delivered in a second, from the first submission to the last receipt.
func (p pair) crowd(t *testing.T, s *suite, what string, n int, one submit) float64 {
	t.Helper()
	each := max(1, n/callers)
	ids := make([][]record.TransferID, callers)
	took := timed(t, func() {
		var all sync.WaitGroup
		for i := range ids {
			all.Go(func() {
				for range each {
					ids[i] = append(ids[i], one(t))
				}
			})
		}
		all.Wait()
		if t.Failed() {
			t.FailNow()
		}
		p.allDelivered(t, slices.Concat(ids...))
	}, p.a, p.b)
	s.measured(fmt.Sprintf("%d %s", each*callers, what)).add(took)
	return float64(each*callers) / took.Wall.Seconds()
}

// allDelivered waits as an application does that sends much: it reads the log
// of events.
func (p pair) allDelivered(t *testing.T, ids []record.TransferID) {
	t.Helper()
	waiting := map[record.TransferID]bool{}
	for _, id := range ids {
		waiting[id] = true
	}
	ctx, cancel := context.WithTimeout(t.Context(), party.PatienceFor(int64(len(ids))<<20))
	defer cancel()
	for e, err := range p.a.Follow(ctx, client.EventFilter{After: p.told}, nil) {
		party.Check(t, err)
		*p.told = e.Seq
		if e.Type == "transfer.failed" {
			t.Fatalf("one failed: %+v", e)
		}
		if delete(waiting, e.ID); len(waiting) == 0 {
			return
		}
	}
}

// alone sends one message behind the receipt of the other, between lone
// fsyncs, and gives the seconds that each of them took.
func (p pair) alone(t *testing.T) (lone Stats, one []float64) {
	t.Helper()
	var syncs []float64
	for range 20 {
		for _, d := range fsyncs(t, p.a.Dir, 10) {
			syncs = append(syncs, d.Seconds())
		}
		for range 20 {
			begun := time.Now()
			p.a.Delivered(p.message(t))
			one = append(one, time.Since(begun).Seconds())
		}
	}
	return statsOf(syncs...), one
}
