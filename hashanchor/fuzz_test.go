package hashanchor_test

import (
	"bytes"
	"testing"

	"dxd/hashanchor"
)

func FuzzParseEvidence(f *testing.F) {
	s := tell(f, "hello")
	f.Add(s.file(f))
	s.notarise(f)
	f.Add(s.file(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := verify(t, s.doc(), data, hashanchor.Options{Chain: s.chain}) // whatever it is, it ends in a verdict
		e, err := hashanchor.ParseEvidence(data)
		if err != nil {
			if e != nil || r.ExitCode() != hashanchor.ExitInvalid {
				t.Fatal("something is returned on an error")
			}
			return
		}
		again, err := e.Bytes()
		if err != nil || !bytes.Equal(bytes.TrimRight(again, "\n"), bytes.TrimRight(data, "\r\n")) {
			t.Fatalf("another file comes out: %v", err)
		}
	})
}

func FuzzParseProof(f *testing.F) {
	s := tell(f, "hello")
	data, err := s.evidence.Proofs[0].Bytes()
	must(f, err)
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := hashanchor.ParseProof(data)
		if err != nil {
			return
		}
		again, err := p.Bytes()
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("another proof comes out: %v", err)
		}
	})
}

func FuzzOpenCardFile(f *testing.F) {
	s := tell(f, "hello")
	p := s.chain.anchor(f, s.alpha.address(), 60, s.alpha.card.Envelope)
	f.Add(cardFile(f, s.alpha.card, &p))
	f.Add(cardFile(f, s.alpha.card, nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := hashanchor.OpenCardFile(data)
		if err != nil {
			if c.Proof != nil || !c.Card.IsZero() {
				t.Fatal("something is returned on an error")
			}
			return
		}
		again, err := c.File().Bytes()
		if err != nil || !bytes.Equal(again, append(bytes.TrimRight(data, "\r\n"), '\n')) {
			t.Fatalf("another card file comes out: %v", err)
		}
	})
}
