package bench

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestTheMedianIsInTheMiddle(t *testing.T) {
	for _, tt := range []struct {
		values         []float64
		p50, p99, most float64
	}{
		{[]float64{7}, 7, 7, 7},
		{[]float64{3, 1, 2}, 2, 3, 3},
		{[]float64{4, 1, 3, 2}, 2.5, 4, 4},
	} {
		s := statsOf(tt.values...)
		if s.Median != tt.p50 || s.Max != tt.most || s.Runs != len(tt.values) || percentile(tt.values, 99) != tt.p99 {
			t.Errorf("%v: %+v, p99 %v", tt.values, s, percentile(tt.values, 99))
		}
	}
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(100 - i)
	}
	if got := percentile(hundred, 99); got != 99 {
		t.Errorf("the 99th of 1 to 100 is %v", got)
	}
}

func TestAFloorIsTheSlowestStageOrAllOfThemOnAllCores(t *testing.T) {
	s := time.Second
	for _, tt := range []struct {
		name   string
		stages []Cost
		want   time.Duration
	}{
		{"the disk is what takes long", []Cost{{5 * s, s}, {s, s}}, 5 * s},
		{"the processors are", []Cost{{3 * s, 3 * s}, {3 * s, 3 * s}, {2 * s, 4 * s}}, 5 * s},
	} {
		if got := floor(2, tt.stages...); got != tt.want {
			t.Errorf("%s: %s, not %s", tt.name, got, tt.want)
		}
	}
}

func TestARowIsJudgedByItsMedian(t *testing.T) {
	for _, tt := range []struct {
		median float64
		less   bool
		want   string
	}{
		{0.69, false, "BELOW"}, {0.7, false, "reached"}, {0.85, false, "aim reached"},
		{0.86, true, "BELOW"}, {0.85, true, "reached"}, {0.7, true, "aim reached"},
	} {
		r := Row{AtLeast: 0.7, Aim: 0.85, Less: tt.less, Value: &Stats{3, 0, tt.median, 9}}
		if tt.less {
			r.AtLeast, r.Aim = r.Aim, r.AtLeast
		}
		if r.judge(); r.Verdict != tt.want {
			t.Errorf("%v, less %v: %s, not %s", tt.median, tt.less, r.Verdict, tt.want)
		}
	}
	r := Row{AtLeast: 1}
	if r.judge(); r.Verdict != "not measured" {
		t.Errorf("what was not measured is %s", r.Verdict)
	}
}

func TestAReportSaysTheSameToPeopleAndPrograms(t *testing.T) {
	value := statsOf(2345.6, 0.5, 3)
	row := Row{Name: "one", What: "something", Unit: "× its floor", AtLeast: 0.7, Aim: 0.85, Value: &value, Note: "why"}
	missing := Row{Name: "two", What: "another", Unit: "MB", AtLeast: 150, Less: true, Note: "no sshd here"}
	row.judge()
	missing.judge()
	m := Measure{Name: "read"}
	m.add(Cost{time.Second, 500 * time.Millisecond})
	m.sum()
	r := Report{[]Fact{{"cores", "2"}}, []Row{row, missing}, []Measure{m}, []Profile{{"alpha", 8, map[string]float64{"QUIC": 0.25, "SHA-256": 0.75}}}}
	text := r.Markdown()
	for _, line := range []string{
		"| cores | 2 |\n",
		"| `one` | something, in × its floor | ≥ 0.7 | ≥ 0.85 | 3 | 0.5 | 2346 | 3 | aim reached. why |\n",
		"| `two` | another, in MB | ≤ 150 |  | – | – | – | 0 | not measured. no sshd here |\n",
		"| read | 1 | 1 | 1 | 0.5 |\n",
		"| alpha | of 8 s |\n| --- | --: |\n| SHA-256 | 75.0 % |\n| QUIC | 25.0 % |\n",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("no line %q in\n%s", line, text)
		}
	}
	raw, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var again Report
	if err := json.Unmarshal(raw, &again); err != nil || again.Markdown() != text {
		t.Errorf("read back it says (%v)\n%s", err, again.Markdown())
	}
}

func TestANumberHasThreeDigits(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.00123: "0.0012", 0.0456: "0.0456", 0.5: "0.5", 1.234: "1.23", 12.34: "12.3", 100: "100", 20: "20", 99.96: "100", 12345.6: "12346"} {
		if got := number(v); got != want {
			t.Errorf("%v is %s, not %s", v, got, want)
		}
	}
}
