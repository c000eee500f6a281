package bench

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Report is what a run of the suite found.
type Report struct {
	Machine  []Fact    `json:"machine"`
	Rows     []Row     `json:"rows"`
	Measures []Measure `json:"measures"`
	Profiles []Profile `json:"profiles,omitempty"`
}

// Fact is one line about where and with what was measured.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Row is one figure that is to be reached. It is judged by its median.
type Row struct {
	Name    string  `json:"name"` // by which it is chosen
	What    string  `json:"what"`
	Unit    string  `json:"unit"`
	AtLeast float64 `json:"atLeast"`       // 0: no figure is asked for
	Aim     float64 `json:"aim,omitempty"` // 0: none
	Less    bool    `json:"lessIsBetter,omitempty"`
	Value   *Stats  `json:"value,omitempty"` // nil: not measured, and Note says why
	Verdict string  `json:"verdict"`
	Note    string  `json:"note,omitempty"`
}

// judge says what the figure is worth.
func (r *Row) judge() {
	switch {
	case r.Value == nil:
		r.Verdict = "not measured"
	case r.AtLeast == 0:
		r.Verdict = "for comparison"
	case r.Aim != 0 && r.reaches(r.Aim):
		r.Verdict = "aim reached"
	case r.reaches(r.AtLeast):
		r.Verdict = "reached"
	default:
		r.Verdict = "BELOW"
	}
}

func (r *Row) reaches(figure float64) bool {
	if r.Less {
		return r.Value.Median <= figure
	}
	return r.Value.Median >= figure
}

// Measure is what was timed for the rows.
type Measure struct {
	Name string `json:"name"`
	Wall Stats  `json:"wallSeconds"`
	CPU  Stats  `json:"cpuSeconds"` // of all processes that take part

	costs []Cost
}

// add adds one run.
func (m *Measure) add(c Cost) { m.costs = append(m.costs, c) }

func (m *Measure) sum() {
	var wall, cpu []float64
	for _, c := range m.costs {
		wall, cpu = append(wall, c.Wall.Seconds()), append(cpu, c.CPU.Seconds())
	}
	m.Wall, m.CPU = statsOf(wall...), statsOf(cpu...)
}

// JSON is the report for programs.
func (r Report) JSON() ([]byte, error) {
	text, err := json.MarshalIndent(r, "", "  ")
	return append(text, '\n'), err
}

// Markdown is the report for people.
func (r Report) Markdown() string {
	var b strings.Builder
	line := func(cells ...string) { b.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	line("where", "")
	line("---", "---")
	for _, f := range r.Machine {
		line(f.Name, f.Value)
	}
	b.WriteString("\n")
	line("row", "what", "at least", "aim", "median", "min", "max", "runs", "")
	line("---", "---", "--:", "--:", "--:", "--:", "--:", "--:", "---")
	for _, row := range r.Rows {
		line(row.cells()...)
	}
	b.WriteString("\n")
	line("measured, in seconds", "median", "min", "max", "processors, median")
	line("---", "--:", "--:", "--:", "--:")
	for _, m := range r.Measures {
		line(m.Name, number(m.Wall.Median), number(m.Wall.Min), number(m.Wall.Max), number(m.CPU.Median))
	}
	for _, p := range r.Profiles {
		b.WriteString("\n")
		line(p.Name, fmt.Sprintf("of %s s", number(p.Total)))
		line("---", "--:")
		for _, kind := range slices.SortedFunc(maps.Keys(p.Shares), func(x, y string) int { return cmp.Compare(p.Shares[y], p.Shares[x]) }) {
			line(kind, fmt.Sprintf("%.1f %%", 100*p.Shares[kind]))
		}
	}
	return b.String()
}

func (r Row) cells() []string {
	what := r.What + ", in " + r.Unit
	verdict := strings.TrimSuffix(r.Verdict+". "+r.Note, ". ")
	if r.Value == nil {
		return []string{"`" + r.Name + "`", what, r.bound(r.AtLeast), r.bound(r.Aim), "–", "–", "–", "0", verdict}
	}
	return []string{"`" + r.Name + "`", what, r.bound(r.AtLeast), r.bound(r.Aim),
		number(r.Value.Median), number(r.Value.Min), number(r.Value.Max), fmt.Sprint(r.Value.Runs), verdict}
}

func (r Row) bound(figure float64) string {
	switch {
	case figure == 0:
		return ""
	case r.Less:
		return "≤ " + number(figure)
	}
	return "≥ " + number(figure)
}

// number has three digits, or more where they stand before the point.
func number(v float64) string {
	switch {
	case v == 0:
		return "0"
	case math.Abs(v) >= 100:
		return fmt.Sprintf("%.0f", v)
	case math.Abs(v) < 0.01:
		return fmt.Sprintf("%.2g", v)
	}
	text := fmt.Sprintf("%.*f", 2-int(math.Floor(math.Log10(math.Abs(v)))), v)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}
