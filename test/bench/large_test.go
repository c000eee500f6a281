//go:build bench

package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"dxd/test/party"
)

// times is how much larger the very large document is.
const times = 16

var large = group{name: "large", long: true, measure: measureLarge, rows: []Row{
	{Name: "large-ingest", What: "speed of `send` until `queued` of a document 16 times as large", Unit: "× that of the large document", AtLeast: 1},
	{Name: "large-transfer", What: "speed of a transfer of a document 16 times as large", Unit: "× that of the large document", AtLeast: 1},
}}

// measureLarge sends both documents in turn. They are files without blocks, so
// that they take no room, and their bytes no reading.
func measureLarge(t *testing.T, s *suite) {
	dir := t.TempDir()
	one, many := filepath.Join(dir, "one"), filepath.Join(dir, "many")
	for file, size := range map[string]int64{one: *sizeMiB << 20, many: times * *sizeMiB << 20} {
		party.Check(t, os.WriteFile(file, nil, 0o600))
		party.Check(t, os.Truncate(file, size))
	}
	p := newPair(t, s, "tcp")
	var ingest, transfer []float64
	for range *runs {
		var in, out [2]Cost
		for i, file := range []string{one, many} {
			id, took := p.send(t, file)
			in[i], out[i] = took, p.delivered(t, id)
			size := fmt.Sprintf("%d MiB", *sizeMiB*[2]int64{1, times}[i])
			s.measured("ingest of " + size).add(in[i])
			s.measured("transfer of " + size).add(out[i])
			p.eraseAll(t)
		}
		ingest = append(ingest, times*in[0].Wall.Seconds()/in[1].Wall.Seconds())
		transfer = append(transfer, times*out[0].Wall.Seconds()/out[1].Wall.Seconds())
	}
	s.found("large-ingest", "", ingest...)
	s.found("large-transfer", "", transfer...)
}
