package hashanchor

import (
	"bytes"

	"dxd/record"
)

// EvidenceType is the media type of an evidence file, its version included.
const EvidenceType = "application/vnd.dxd.evidence.v1+json"

// MaxEvidence is the largest evidence file in bytes.
const MaxEvidence = 4 << 20

// maxReceipts is that an item is here, and what was said of it.
const maxReceipts = 2

// Evidence is all that a stranger needs, beside the document and a chain, to
// know who signed what about it. Nothing in it is verified before Verify has
// been called, and nothing stands in it that Verify does not check.
type Evidence struct {
	Type     string            `json:"type"`
	Cards    []record.Envelope `json:"cards"`    // the signer's, the recipient's, then others that receipts name
	Record   record.Envelope   `json:"record"`   // the manifest or the notarisation
	Receipts []record.Envelope `json:"receipts"` // about the opened item, in the order in which they were signed
	Opening  record.Opening    `json:"opening"`
	Path     []record.Hash     `json:"path"`   // from the opening to the record's root
	Proofs   []Proof           `json:"proofs"` // of the record, then of the receipts; at most one each

	StateProof []StateProof `json:"state_proof,omitzero"` // of the proofs' anchors; nil if none was asked for
}

// Bytes is the evidence file, with a line break at its end. The type is
// filled in.
func (e Evidence) Bytes() ([]byte, error) {
	e.Type = EvidenceType
	data, err := record.Marshal(e)
	if err != nil {
		return nil, record.Errorf(record.Invalid, "couldn't encode evidence: %w", err)
	}
	if _, err := ParseEvidence(data); err != nil { // never write what nobody reads
		return nil, err
	}
	return append(data, '\n'), nil
}

// ParseEvidence reads what Bytes wrote, and nothing else; the line break at
// the end may be lost or doubled. It checks the form alone.
func ParseEvidence(data []byte) (*Evidence, error) {
	if len(data) > MaxEvidence {
		return nil, record.Errorf(record.Invalid, "an evidence file of %d bytes, %d are allowed", len(data), MaxEvidence)
	}
	var f Evidence
	if err := record.Unmarshal(bytes.TrimRight(data, "\r\n"), &f); err != nil {
		return nil, record.Errorf(record.Invalid, "not an evidence file: %w", err)
	}
	if f.Type != EvidenceType {
		return nil, record.Errorf(record.Invalid, "not evidence of this version: type %q", record.Printable(f.Type, 80))
	}
	if len(f.Receipts) > maxReceipts || len(f.Cards) > 2+len(f.Receipts) || len(f.Path) > record.MaxPath || len(f.Proofs) > 1+len(f.Receipts) {
		return nil, record.Errorf(record.Invalid, "%d cards, %d receipts, %d steps and %d proofs are more than one item can have",
			len(f.Cards), len(f.Receipts), len(f.Path), len(f.Proofs))
	}
	for _, p := range f.Proofs {
		if err := p.check(); err != nil {
			return nil, err
		}
	}
	if err := f.checkStateForm(); err != nil {
		return nil, err
	}
	if err := checkOpeningForm(f.Opening); err != nil {
		return nil, err
	}
	return &f, nil
}

// checkStateForm refuses a list of state proofs that is empty: it says what no
// list says, in other bytes.
func (e *Evidence) checkStateForm() error {
	if e.StateProof != nil && len(e.StateProof) == 0 || len(e.StateProof) > len(e.Proofs) {
		return record.Errorf(record.Invalid, "%d state proofs for %d proofs", len(e.StateProof), len(e.Proofs))
	}
	for _, s := range e.StateProof {
		if err := s.check(); err != nil {
			return err
		}
	}
	return nil
}

// checkOpeningForm reads the opening's bytes as they stand in the file:
// record.Opening.Bytes would fill in what is wrong there.
func checkOpeningForm(o record.Opening) error {
	data, err := record.Marshal(o)
	if err != nil {
		return record.Errorf(record.Invalid, "couldn't encode the opening: %w", err)
	}
	_, err = record.ParseOpening(data)
	return err
}
