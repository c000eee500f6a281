package exchange

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"dxd/crypto"
	"dxd/record"
)

func TestOnePartnersStreamsAreCounted(t *testing.T) {
	g := guests{of: map[record.OrgID]*guest{}}
	var one record.OrgID
	keys, err := crypto.Generate()
	if err != nil {
		t.Fatal(err)
	}
	two := keys.Org()
	for range maxServed {
		if !g.enter(one) {
			t.Fatal("a partner may not open as many streams as it may")
		}
	}
	if g.enter(one) {
		t.Error("a partner may open more")
	}
	if !g.enter(two) {
		t.Error("another partner may open none")
	}
	g.leave(one)
	if !g.enter(one) {
		t.Error("a stream that has ended still counts")
	}
}

func TestAPartnerCantFillTheLog(t *testing.T) {
	var log strings.Builder
	now := time.Now()
	x := &Exchange{Config: Config{Now: func() time.Time { return now }, Log: slog.New(slog.NewTextHandler(&log, nil))}}
	x.guests.of = map[record.OrgID]*guest{}
	lines := func() int { return strings.Count(log.String(), "\n") }
	for range 100 {
		x.complain(record.OrgID{}, "refused", record.Errorf(record.Invalid, "secret-name.pdf is no name"))
	}
	if lines() != 1 || strings.Contains(log.String(), "secret") {
		t.Errorf("the log at info level:\n%s", log.String())
	}
	now = now.Add(complaintPace)
	x.complain(record.OrgID{}, "refused", record.Errorf(record.Invalid, "once more"))
	if lines() != 2 {
		t.Errorf("a minute later nothing is logged")
	}
}
