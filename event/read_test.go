package event_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"dxd/event"
	"dxd/record"
)

// log is the house's log by a clock that the test sets.
func (h *house) log(now *time.Time, retain time.Duration) *event.Log {
	return &event.Log{Journal: h, Now: func() time.Time { return *now }, Retain: retain}
}

func numbersOf(page []event.Event) (all []int64) {
	for _, e := range page {
		all = append(all, e.Seq)
	}
	return all
}

func wantKind(t *testing.T, what string, err error, want record.Kind) {
	t.Helper()
	if err == nil || record.KindOf(err) != want {
		t.Errorf("%s: %v, not of kind %s", what, err, want)
	}
}

func TestAPageBeginsBehindItsNumber(t *testing.T) {
	h, now := newHouse(t), time.Now()
	l := h.log(&now, 0)
	h.append(5)
	for after, want := range map[int64][]int64{event.Oldest: {1, 2, 3}, 0: {1, 2, 3}, 3: {4, 5}, 5: nil} {
		page, err := l.Page(t.Context(), after, 3)
		check(t, err)
		if got := numbersOf(page); !slices.Equal(got, want) {
			t.Errorf("behind %d come %v", after, got)
		}
	}
	for _, after := range []int64{6, -2} {
		_, err := l.Page(t.Context(), after, 3)
		wantKind(t, "a number that no event has", err, record.Invalid)
	}
}

func TestAReaderWaitsForEvents(t *testing.T) {
	h, now := newHouse(t), time.Now()
	l := h.log(&now, 0)
	h.append(2)
	r, err := l.Follow(t.Context(), 1)
	check(t, err)
	page, err := r.Next(t.Context())
	check(t, err)
	if got := numbersOf(page); !slices.Equal(got, []int64{2}) {
		t.Errorf("first came %v", got)
	}
	impatient, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err = r.Next(impatient)
	wantKind(t, "nothing came", err, record.Timeout)
	next := make(chan []event.Event)
	go func() {
		page, err := r.Next(t.Context())
		if err != nil {
			t.Error(err)
		}
		next <- page
	}()
	h.append(1)
	if got := numbersOf(<-next); !slices.Equal(got, []int64{3}) {
		t.Errorf("then came %v", got)
	}
}

func TestASlowReaderSkipsNothing(t *testing.T) {
	h, now := newHouse(t), time.Now()
	l := h.log(&now, time.Hour)
	r, err := l.Follow(t.Context(), event.Oldest)
	check(t, err)
	h.append(600)
	var got []int64
	for len(got) < 600 {
		page, err := r.Next(t.Context())
		check(t, err)
		got = append(got, numbersOf(page)...)
	}
	if !slices.Equal(got, upTo(600)) {
		t.Errorf("%d events came, not 1 to 600", len(got))
	}
	slow, err := l.Follow(t.Context(), event.Oldest)
	check(t, err)
	now = now.Add(2 * time.Hour)
	check(t, l.Trim(t.Context()))
	_, err = slow.Next(t.Context())
	wantKind(t, "what it had not read is gone", err, record.Gone)
}

func TestWhatIsGoneIsNotSkippedSilently(t *testing.T) {
	h, now := newHouse(t), time.Now()
	l := h.log(&now, time.Hour)
	h.append(3)
	now = now.Add(30 * time.Minute)
	check(t, l.Trim(t.Context()))
	if got := h.numbers(0); len(got) != 3 {
		t.Fatalf("after half an hour these are kept: %v", got)
	}
	now = now.Add(time.Hour)
	check(t, l.Trim(t.Context()))
	if _, err := l.Page(t.Context(), 1, 9); record.KindOf(err) != record.Gone || !strings.Contains(err.Error(), "no later one yet") {
		t.Errorf("when all are gone: %v", err)
	}
	h.append(2)
	h.restart()
	for after, gone := range map[int64]bool{0: true, 2: true, 3: false, event.Oldest: false} {
		page, err := l.Page(t.Context(), after, 9)
		switch {
		case gone && (record.KindOf(err) != record.Gone || !strings.Contains(err.Error(), "the oldest is 4")):
			t.Errorf("behind %d: %v", after, err)
		case !gone && !slices.Equal(numbersOf(page), []int64{4, 5}):
			t.Errorf("behind %d come %v, %v", after, page, err)
		}
	}
	wantKind(t, "a subscription to what is gone", l.Subscribe(t.Context(), "late", 1), record.Gone)
	check(t, l.Subscribe(t.Context(), "late", event.Oldest))
	s, err := l.Subscription(t.Context(), "late")
	if check(t, err); s.Acked != 3 {
		t.Errorf("a new subscription begins behind %d", s.Acked)
	}
}
