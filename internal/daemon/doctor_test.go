package daemon

import (
	"strings"
	"testing"
	"time"
)

func TestTheDoctorCountsTables(t *testing.T) {
	for _, c := range []struct {
		tables, most int
		well         bool
	}{
		{0, 65530, true},
		{52424, 65530, true},
		{52425, 65530, false},
		{900, 1024, false},
	} {
		if got := examineJournal(c.tables, c.most); got.OK != c.well {
			t.Errorf("%d of %d: %+v", c.tables, c.most, got)
		}
	}
}

func TestAPartnerThatIsAwayIsUnwellOnceWorkWaitsForLong(t *testing.T) {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		since time.Time
		well  bool
		says  string
	}{
		{time.Time{}, true, "nothing waits for it"},
		{now, true, "waits for it since 2026-05-04T12:00:00Z"},
		{now.Add(time.Second - maxAway), true, "waits for it since 2026-05-03T12:00:01Z"},
		{now.Add(-maxAway), false, "waits for it since 2026-05-03T12:00:00Z, for more than a day"},
		{now.Add(time.Hour), true, "waits for it since"}, // the clock was set back
	} {
		got := examineAway(unwell("partner bolt", "not connected"), "bolt", c.since, now)
		if got.OK != c.well || got.Name != "partner bolt" || !strings.HasPrefix(got.Detail, "not connected; ") ||
			!strings.Contains(got.Detail, c.says) || !strings.Contains(got.Detail, "`dxd doctor --partner bolt`") {
			t.Errorf("since %s: %+v", c.since, got)
		}
	}
}
