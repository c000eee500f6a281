package event_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"dxd/event"
	"dxd/record"
)

func TestAcknowledgementOnlyGrowsAndSurvives(t *testing.T) {
	h, now := newHouse(t), time.Now()
	l := h.log(&now, 0)
	h.append(5)
	wantKind(t, "no such subscription", l.Acknowledge(t.Context(), "app", 1), record.NotFound)
	at := func() int64 {
		s, err := l.Subscription(t.Context(), "app")
		check(t, err)
		return s.Acked
	}
	check(t, l.Subscribe(t.Context(), "app", event.Oldest))
	if at() != 0 {
		t.Errorf("a new one is at %d", at())
	}
	for _, ack := range []struct{ seq, want int64 }{{3, 3}, {2, 3}, {-1, 3}, {3, 3}, {5, 5}} {
		check(t, l.Acknowledge(t.Context(), "app", ack.seq))
		if at() != ack.want {
			t.Errorf("after %d it is at %d", ack.seq, at())
		}
	}
	wantKind(t, "beyond the last event", l.Acknowledge(t.Context(), "app", 6), record.Invalid)
	h.restart()
	check(t, l.Subscribe(t.Context(), "app", 0))
	if at() != 5 {
		t.Errorf("subscribed again, it is at %d", at())
	}
}

func TestAnEventStaysUntilAllHaveAcknowledgedIt(t *testing.T) {
	h, now := newHouse(t), time.Now()
	l := h.log(&now, time.Hour)
	h.append(2500)
	for _, name := range []string{"fast", "slow"} {
		check(t, l.Subscribe(t.Context(), name, 0))
	}
	acked := func(name string, seq int64) {
		check(t, l.Acknowledge(t.Context(), name, seq))
	}
	acked("fast", 2500)
	now = now.Add(2 * time.Hour)
	check(t, l.Trim(t.Context()))
	if got := h.numbers(0); got[0] != 1 {
		t.Errorf("the slow one lost %d events", got[0]-1)
	}
	acked("slow", 2200)
	check(t, l.Trim(t.Context()))
	if got := h.numbers(0); got[0] != 2201 || len(got) != 300 {
		t.Errorf("kept are %d events from %d on", len(got), got[0])
	}
	oldest, err := l.Page(t.Context(), event.Oldest, 1)
	check(t, err)
	if kept, err := l.Kept(t.Context()); err != nil || kept != (event.Kept{Events: 300, Oldest: oldest[0].Time}) {
		t.Errorf("it says that these are kept: %+v, %v", kept, err)
	}
	all, err := l.Standings(t.Context())
	check(t, err)
	if len(all) != 2 || all[0].Name != "slow" || all[0].Behind != 300 || all[0].Since == 0 || all[1].Behind != 0 || all[1].Since != 0 {
		t.Errorf("the subscriptions are %+v", all)
	}
	check(t, l.Unsubscribe(t.Context(), "slow"))
	check(t, l.Trim(t.Context()))
	if got := h.numbers(0); len(got) != 0 {
		t.Errorf("without the slow one %d events are kept", len(got))
	}
	if kept, err := l.Kept(t.Context()); err != nil || kept != (event.Kept{}) {
		t.Errorf("of none it says %+v, %v", kept, err)
	}
	h.append(1)
	if got := h.numbers(0); !slices.Equal(got, []int64{2501}) {
		t.Errorf("the next number is %v", got)
	}
}

func TestNothingGoesIfEventsAreKeptForEver(t *testing.T) {
	h, now := newHouse(t), time.Now()
	l := h.log(&now, 0)
	h.append(1)
	now = now.Add(1000 * 24 * time.Hour)
	check(t, l.Trim(t.Context()))
	if got := h.numbers(0); len(got) != 1 {
		t.Error("it is gone")
	}
}

func TestSubscriptionsAreBounded(t *testing.T) {
	h, now := newHouse(t), time.Now()
	l := h.log(&now, 0)
	for _, name := range []string{"", "-x", "a b", "a/b", "ä", "a\n", strings.Repeat("a", 64)} {
		wantKind(t, fmt.Sprintf("the name %q", name), l.Subscribe(t.Context(), name, 0), record.Invalid)
	}
	for i := range event.MaxSubscriptions {
		check(t, l.Subscribe(t.Context(), fmt.Sprint("app-", i), 0))
	}
	wantKind(t, "one more", l.Subscribe(t.Context(), "one-more", 0), record.Quota)
	check(t, l.Subscribe(t.Context(), "app-7", 0))
	check(t, l.Unsubscribe(t.Context(), "app-7"))
	check(t, l.Subscribe(t.Context(), "one-more", 0))
}

func TestTheLatestConsumerOfASubscriptionTakesOver(t *testing.T) {
	h, now := newHouse(t), time.Now()
	l := h.log(&now, 0)
	h.append(3)
	check(t, l.Subscribe(t.Context(), "app", 2))
	first, acked, leaveFirst, err := l.Attend(t.Context(), "app")
	if check(t, err); acked != 2 {
		t.Errorf("it begins behind %d", acked)
	}
	second, _, leaveSecond, err := l.Attend(t.Context(), "app")
	check(t, err)
	<-first.Done()
	wantKind(t, "the first", context.Cause(first), record.Conflict)
	leaveFirst() // which must not make room for a third beside the second
	check(t, l.Unsubscribe(t.Context(), "app"))
	<-second.Done()
	wantKind(t, "the second", context.Cause(second), record.NotFound)
	leaveSecond()
	_, _, _, err = l.Attend(t.Context(), "app")
	wantKind(t, "a third", err, record.NotFound)
}
