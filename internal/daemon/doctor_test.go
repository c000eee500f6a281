package daemon

import "testing"

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
