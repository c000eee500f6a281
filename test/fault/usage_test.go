package fault

import (
	"bytes"
	"os"

	"dxd/exchange"
	"dxd/partner"
	"dxd/record"
	"dxd/test/party"
)

// examineUsage compares what the partner uses by the count with the rows, and
// wants that no start had to put the count right: it is written with them.
func (p *pair) examineUsage(of *disk) (found []finding) {
	var want partner.Usage
	for _, t := range of.rows {
		switch {
		case t.Direction != exchange.In:
		case t.State == exchange.Receiving:
			want = want.Plus(partner.Usage{Stored: max(t.SealedLength, t.Reserved), Partials: 1})
		case !t.Payload.IsZero():
			want.Stored += t.SealedLength
		case t.Kind == record.Message && t.SealedLength == 0 && t.Erased == 0:
			want.Stored += t.Size
		}
	}
	if of.uses != want {
		found = append(found, finding{&p.row.differing, of.of.Name + ": what the partner uses is counted wrong"})
	}
	log, err := os.ReadFile(of.of.Log)
	party.Check(of.of.T, err)
	if bytes.Contains(log, []byte("counted what partners use")) {
		found = append(found, finding{&p.row.differing, of.of.Name + ": a start had to put right what the partner uses"})
	}
	return found
}
