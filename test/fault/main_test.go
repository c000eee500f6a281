package fault

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"

	"dxd/test/party"
)

const (
	envForm  = "DXD_FAULT"       // "long" is the long form
	envSeed  = "DXD_FAULT_SEED"  // repeats what was drawn at random
	envTable = "DXD_FAULT_TABLE" // a file for the table, too
)

func isLong() bool { return os.Getenv(envForm) == "long" }

// times is how often something is done in CI's form, and in the long one.
func times(short, long int) int {
	switch {
	case isLong():
		return long
	case party.RaceDetector: // with which everything takes ten times as long
		return max(1, short/4)
	}
	return short
}

func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f != nil && f.Value.String() == f.DefValue {
		_ = f.Value.Set("8") // the tests mostly wait
	}
	party.Main(m, func() {
		if len(tried.rows) > 0 {
			tried.print(os.Stdout)
		}
	})
}

// tried is what the run tried and found.
var tried table

type table struct {
	mu   sync.Mutex // guards rows and what they point to
	rows []*row
}

// row is one line of the table.
type row struct {
	fault                                       string
	rounds, transfers, lost, doubled, differing int
}

// add gives the fault's line, which several pairs may share.
func (t *table) add(fault string) *row {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.rows {
		if r.fault == fault {
			return r
		}
	}
	r := &row{fault: fault}
	t.rows = append(t.rows, r)
	return r
}

func (t *table) print(w io.Writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var text strings.Builder
	tabs := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tabs, "rounds\ttransfers\tlost\tdoubled\tdiffering\t  fault")
	sum := row{fault: "all"}
	for _, r := range t.rows {
		r.line(tabs)
		sum.rounds += r.rounds
		sum.transfers += r.transfers
		sum.lost += r.lost
		sum.doubled += r.doubled
		sum.differing += r.differing
	}
	sum.line(tabs)
	_ = tabs.Flush() // a strings.Builder takes everything
	fmt.Fprint(w, text.String())
	if file := os.Getenv(envTable); file != "" {
		if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

func (r *row) line(w io.Writer) {
	fmt.Fprintf(w, "%d\t%d\t%d\t%d\t%d\t  %s\n", r.rounds, r.transfers, r.lost, r.doubled, r.differing, r.fault)
}
