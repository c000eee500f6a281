package exchange

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"dxd/blobstore"
	"dxd/crypto"
	"dxd/event"
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

func TestALinkThatBreaksIsNoNewsAndADiskThatTakesNothingIs(t *testing.T) {
	var log strings.Builder
	x := &Exchange{Config: Config{Now: time.Now, Log: slog.New(slog.NewTextHandler(&log, nil))}}
	x.guests.of = map[record.OrgID]*guest{}
	x.regret(t.Context(), record.OrgID{}, record.Errorf(record.Unavailable, "the stream is gone"))
	if log.Len() > 0 {
		t.Errorf("the log at info level:\n%s", log.String())
	}
	x.regret(t.Context(), record.OrgID{}, record.WithHint(record.Errorf(record.Unavailable, "read-only"), "see to the disk"))
	if !strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("the log at info level:\n%s", log.String())
	}
}

func TestAPartnerCantFillTheJournalWithAlarms(t *testing.T) {
	now := time.Now()
	x := &Exchange{Config: Config{Journal: newStore(t), Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler)}}
	told := func() (texts []string) {
		if err := x.Journal.View(t.Context(), func(tx blobstore.ReadTx) error {
			all, err := event.After(tx, 0, 1000)
			for _, e := range all {
				texts = append(texts, e.Text)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return texts
	}
	raise := func(i int) {
		x.raise(t.Context(), record.OrgID{}, contradiction(record.TransferID{}, fmt.Sprint("alarm ", i)))
	}
	for i := range 2 * maxAlarms {
		raise(i)
		raise(i)
	}
	if got := told(); len(got) != maxAlarms || got[0] != "alarm 0" || got[1] != "alarm 1" {
		t.Errorf("within an hour these are told: %v", got)
	}
	now = now.Add(alarmSpan)
	raise(0)
	raise(0)
	if got := told(); len(got) != maxAlarms+1 {
		t.Errorf("an hour later these are told: %v", got[maxAlarms:])
	}
}
