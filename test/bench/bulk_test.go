//go:build bench

package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"dxd/api/apitype"
	"dxd/record"
	"dxd/test/party"
)

const ofFloor = "× its floor"

var bulk = group{name: "bulk", measure: measureBulk, rows: []Row{
	{Name: "transfer-tcp", What: "speed of a transfer over TCP, `queued` to `delivered`", Unit: ofFloor, AtLeast: 0.7, Aim: 0.85},
	{Name: "transfer-quic", What: "speed of a transfer over QUIC, `queued` to `delivered`", Unit: "× one bare QUIC stream", AtLeast: 0.8, Aim: 0.95},
	{Name: "ingest", What: "speed of `send` until `queued`", Unit: ofFloor, AtLeast: 0.7, Aim: 0.85},
	{Name: "get", What: "speed of `dxd get -o FILE`", Unit: ofFloor, AtLeast: 0.7, Aim: 0.85},
	{Name: "job", What: "speed of `dxd send --wait delivered`", Unit: "× `scp` with AES-GCM", AtLeast: 1, Aim: 1.5},
}}

// The stages that each job can't do without.
var (
	ingestStages   = []string{"read", "sha-256", "seal", "write and fsync"}
	transferStages = []string{"read", "stream over TCP", "open", "sha-256", "write and fsync"}
	getStages      = []string{"read", "open", "sha-256", "write and fsync"}
)

// measureBulk measures all jobs of one large document in turn, each beside the
// bare loops that it is compared with, and begins again.
func measureBulk(t *testing.T, s *suite) {
	b := newBulk(t, s)
	for range *runs {
		b.stages.next()
		if s.wants("transfer-tcp", "ingest", "get") {
			b.round()
		}
		if s.wants("job") {
			b.job()
		}
		if s.wants("transfer-quic") {
			b.overQUIC()
		}
	}
	b.tell()
}

type bulkRun struct {
	t         *testing.T
	s         *suite
	dir, file string
	stages    *stages
	tcp, quic pair
	scp       *scp
	noSCP     string               // why there is none
	ratios    map[string][]float64 // by row
}

func newBulk(t *testing.T, s *suite) *bulkRun {
	b := &bulkRun{t: t, s: s, dir: t.TempDir(), ratios: map[string][]float64{}}
	b.file = filepath.Join(b.dir, "document")
	fill(t, b.file, *sizeMiB<<20)
	b.stages = newStages(t, s, b.file, *sizeMiB<<20)
	if s.wants("transfer-tcp", "ingest", "get", "job") {
		b.tcp = newPair(t, s, "tcp")
	}
	if s.wants("transfer-quic") {
		b.quic = newPair(t, s, "quic")
	}
	if s.wants("job") {
		b.scp, b.noSCP = newSCP(t, b.dir)
	}
	return b
}

// ratio notes how fast a job was, in parts of what it is compared with.
func (b *bulkRun) ratio(row string, reference, took Cost) {
	b.s.measured(row).add(took)
	b.ratios[row] = append(b.ratios[row], reference.Wall.Seconds()/took.Wall.Seconds())
}

// round sends the document, and gets it.
func (b *bulkRun) round() {
	floorOf := func(names []string) Cost { return Cost{Wall: b.stages.floor(names...)} }
	ingest, transfer, get := floorOf(ingestStages), floorOf(transferStages), floorOf(getStages)
	id, took := b.tcp.send(b.t, b.file)
	b.ratio("transfer-tcp", transfer, b.tcp.delivered(b.t, id))
	b.ratio("ingest", ingest, took)
	if b.s.wants("get") {
		b.ratio("get", get, b.get(id))
	}
	b.tcp.eraseAll(b.t)
}

func (b *bulkRun) get(id record.TransferID) Cost {
	out := filepath.Join(b.dir, "got")
	took := timed(b.t, func() {
		command(b.t, program, "get", id.String(), "-o", out, "--dir", b.tcp.b.Dir)
	}, b.tcp.b)
	party.Check(b.t, os.Remove(out))
	return took
}

// job sends the document as people do, and copies it as people do.
func (b *bulkRun) job() {
	took := b.sendByHand()
	b.s.measured("job with --stream").add(b.sendByHand("--stream"))
	if b.scp == nil {
		b.s.measured("job").add(took)
		return
	}
	copied := timed(b.t, func() { b.scp.copy(b.t, b.file) })
	b.s.measured("scp").add(copied)
	b.scp.clear(b.t)
	b.ratio("job", copied, took)
}

func (b *bulkRun) sendByHand(flags ...string) Cost {
	var sent apitype.Submitted
	took := timed(b.t, func() {
		raw := command(b.t, program, append([]string{"send", b.file, "--to", b.tcp.b.Alias, "--wait", "delivered", "--json", "--dir", b.tcp.a.Dir}, flags...)...)
		party.Check(b.t, json.Unmarshal(raw, &sent))
	}, b.tcp.a, b.tcp.b)
	if len(sent.Transfers) != 1 || sent.Transfers[0].State != "delivered" {
		b.t.Fatalf("it was not delivered: %+v", sent)
	}
	b.tcp.eraseAll(b.t)
	return took
}

func (b *bulkRun) overQUIC() {
	bare := b.stages.cost("stream over QUIC")
	id, _ := b.quic.send(b.t, b.file)
	b.ratio("transfer-quic", bare, b.quic.delivered(b.t, id))
	b.quic.eraseAll(b.t)
}

// tell notes what was found.
func (b *bulkRun) tell() {
	if b.noSCP != "" {
		b.s.missing("job", b.noSCP)
	}
	for row, ratios := range b.ratios {
		m := b.s.measured(row)
		m.sum()
		b.s.found(row, fmt.Sprintf("%.0f MB/s", float64(*sizeMiB<<20)/1e6/m.Wall.Median), ratios...)
	}
}
