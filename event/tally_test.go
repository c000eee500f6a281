package event_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"dxd/blobstore"
	"dxd/crypto"
	"dxd/event"
	"dxd/record"
)

// TestATallyIsWhatOneWouldCount compares a tally with a count of all events,
// whatever consumers and retention do meanwhile.
func TestATallyIsWhatOneWouldCount(t *testing.T) {
	h, now := newHouse(t), time.Now()
	l := h.log(&now, time.Hour)
	var orgs [2]record.OrgID
	for i := range orgs {
		keys, err := crypto.Generate()
		check(t, err)
		orgs[i] = keys.Org()
	}
	var all []event.Event
	acked := map[string]int64{}
	random := rand.New(rand.NewPCG(1, 2))
	types := []event.Type{event.DocumentReceived, event.MessageReceived, event.TransferDelivered, event.Alarm}
	var tally event.Tally
	for step := range 400 {
		name := []string{"one", "two"}[random.IntN(2)]
		switch random.IntN(8) {
		case 0:
			check(t, l.Unsubscribe(t.Context(), ensure(t, l, acked, name, len(all))))
			delete(acked, name)
		case 1:
			ensure(t, l, acked, name, len(all))
			if at := acked[name] + random.Int64N(int64(len(all))-acked[name]+1); at > acked[name] {
				check(t, l.Acknowledge(t.Context(), name, at))
				acked[name] = at
			}
		case 2:
			now = now.Add(time.Duration(random.IntN(90)) * time.Minute)
			check(t, l.Trim(t.Context()))
		default:
			e := event.Event{Type: types[random.IntN(len(types))], Time: now.UnixMilli(), Partner: orgs[random.IntN(2)]}
			check(t, h.Update(t.Context(), func(tx blobstore.Tx) error { return event.Append(tx, e) }))
			all = append(all, e)
		}
		if random.IntN(3) > 0 {
			continue // so that it has more than one thing to follow at a time
		}
		for _, org := range orgs {
			want := int64(0)
			for i, e := range all {
				open := false
				for _, a := range acked {
					open = open || int64(i+1) > a
				}
				if open && e.Partner == org && (e.Type == event.DocumentReceived || e.Type == event.MessageReceived) {
					want++
				}
			}
			check(t, h.View(t.Context(), func(tx blobstore.ReadTx) error {
				got, err := tally.Unacknowledged(tx, org)
				if got != want {
					t.Fatalf("step %d: %d are not acknowledged, not %d", step, got, want)
				}
				return err
			}))
		}
	}
}

// ensure subscribes from the end on, if that is not done.
func ensure(t *testing.T, l *event.Log, acked map[string]int64, name string, last int) string {
	t.Helper()
	if _, ok := acked[name]; !ok {
		check(t, l.Subscribe(t.Context(), name, int64(last)))
		acked[name] = int64(last)
	}
	return name
}
