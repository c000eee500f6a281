//go:build bench

package bench

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"dxd/test/party"
)

// Flags of the suite, behind the package's name on the command line.
var (
	runs      = flag.Int("runs", 5, "how often each figure is measured")
	sizeMiB   = flag.Int64("size", 1024, "MiB of the large document")
	count     = flag.Int("messages", 12800, "messages of a run; documents are a tenth")
	transfers = flag.Int("transfers", 1_000_000, "transfers in a journal that has many")
	partners  = flag.Int("partners", 200, "partners of a daemon that has many")
	rowsLike  = flag.String("row", "", "regular expression: only rows with such a name")
	long      = flag.Bool("long", false, "the rows that take long, too")
	outDir    = flag.String("out", "", "directory for bench.md and bench.json (default: the table is only printed)")
	profiles  = flag.String("profile", "", "directory for processor profiles of the daemons; what is measured is slower")
)

// program is the dxd that is measured.
var program string

func TestMain(m *testing.M) {
	flag.Parse()
	party.Main(m)
}

// TestBench measures all rows that are asked for, one group of them after the
// other. A row that can't be measured fails the test; a figure never does.
func TestBench(t *testing.T) {
	if *runs < 1 || *sizeMiB < 1 || *count < 640 || *partners < 2 {
		t.Fatal("there have to be a run, a MiB, 640 messages and 2 partners at least")
	}
	wanted, err := regexp.Compile(*rowsLike)
	party.Check(t, err)
	for _, dir := range []*string{outDir, profiles} {
		if *dir != "" {
			*dir, err = filepath.Abs(*dir)
			party.Check(t, err)
			party.Check(t, os.MkdirAll(*dir, 0o755))
		}
	}
	program = filepath.Join(t.TempDir(), "dxd")
	command(t, "go", "build", "-o", program, "dxd/cmd/dxd")
	s := &suite{wanted: wanted, facts: append(machine(t), load(t, "before"))}
	for _, g := range groups {
		rows := slices.DeleteFunc(slices.Clone(g.rows), func(r Row) bool { return !wanted.MatchString(r.Name) })
		if len(rows) == 0 || g.long && !*long {
			continue
		}
		s.rows = append(s.rows, rows...)
		t.Run(g.name, func(t *testing.T) { g.measure(t, s) })
	}
	if len(s.rows) == 0 {
		t.Fatal("no row is called so")
	}
	s.write(t)
}

// group is rows that are measured together.
type group struct {
	name    string
	long    bool
	rows    []Row
	measure func(t *testing.T, s *suite)
}

// groups are in the order in which they are measured. Memory comes last: it is
// watched in all others.
var groups = []group{bulk, messages, documents, start, crowd, large, journal, link, memory}

// suite is what was found so far.
type suite struct {
	wanted   *regexp.Regexp
	facts    []Fact
	rows     []Row
	measures []*Measure
	peaks    []peak
	profiles []string // files
}

// wants tells whether one of the rows is asked for.
func (s *suite) wants(names ...string) bool { return slices.ContainsFunc(names, s.wanted.MatchString) }

// found notes the values of a row, if it is asked for.
func (s *suite) found(name, note string, values ...float64) {
	if r := s.row(name); r != nil {
		value := statsOf(values...)
		r.Value, r.Note = &value, note
	}
}

// missing notes why a row has no value.
func (s *suite) missing(name, why string) {
	if r := s.row(name); r != nil {
		r.Note = why
	}
}

func (s *suite) row(name string) *Row {
	i := slices.IndexFunc(s.rows, func(r Row) bool { return r.Name == name })
	if i < 0 {
		return nil
	}
	return &s.rows[i]
}

// measured is the measure of this name, which is made if need be.
func (s *suite) measured(name string) *Measure {
	i := slices.IndexFunc(s.measures, func(m *Measure) bool { return m.Name == name })
	if i < 0 {
		i = len(s.measures)
		s.measures = append(s.measures, &Measure{Name: name})
	}
	return s.measures[i]
}

// write prints the table, and writes it to files if that is asked for.
func (s *suite) write(t *testing.T) {
	r := Report{Machine: append(s.facts, load(t, "after")), Rows: s.rows}
	for i := range r.Rows {
		if r.Rows[i].Value == nil && r.Rows[i].Note == "" {
			r.Rows[i].Note = "it failed: see the log"
		}
		r.Rows[i].judge()
	}
	for _, m := range s.measures {
		m.sum()
		r.Measures = append(r.Measures, *m)
	}
	r.Profiles = s.profiled(t)
	fmt.Printf("\n%s\n", r.Markdown())
	if *outDir == "" {
		return
	}
	raw, err := r.JSON()
	party.Check(t, err)
	party.Check(t, os.WriteFile(filepath.Join(*outDir, "bench.json"), raw, 0o644))
	party.Check(t, os.WriteFile(filepath.Join(*outDir, "bench.md"), []byte(r.Markdown()), 0o644))
}

// profiled reads the profiles that the daemons of this run wrote.
func (s *suite) profiled(t *testing.T) (all []Profile) {
	for _, name := range s.profiles {
		traces := command(t, "go", "tool", "pprof", "-traces", name)
		p, err := parseTraces(strings.TrimSuffix(filepath.Base(name), ".pprof"), bytes.NewReader(traces))
		party.Check(t, err)
		all = append(all, p)
	}
	return all
}

func cores() int { return runtime.NumCPU() }
