package hashanchor_test

import (
	"bytes"
	"testing"

	"dxd/hashanchor"
	"dxd/record"
)

func FuzzParseEvidence(f *testing.F) {
	s := tell(f, "hello")
	f.Add(s.file(f))
	s.notarise(f)
	f.Add(s.file(f))
	proven, block := sample(f)
	f.Add(proven)
	f.Fuzz(func(t *testing.T, data []byte) {
		r := verify(t, s.doc(), data, hashanchor.Options{Chain: s.chain}) // whatever it is, it ends in a verdict
		alone := verify(t, s.doc(), data, stateOptions(block))
		e, err := hashanchor.ParseEvidence(data)
		if err != nil {
			if e != nil || r.ExitCode() != hashanchor.ExitInvalid || alone.ExitCode() != hashanchor.ExitInvalid {
				t.Fatal("something is returned on an error")
			}
			return
		}
		if alone.Valid && len(e.StateProof) == 0 {
			t.Fatal("without a state proof it is valid down to a block's hash")
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
		o := hashanchor.Options{Chain: s.chain, Cards: []hashanchor.CardFile{c}}
		if _, err := hashanchor.Verify(t.Context(), s.doc(), s.file(t), o); err != nil && record.KindOf(err) != record.Invalid {
			t.Fatalf("no verdict: %v", err)
		}
		again, err := c.File().Bytes()
		if err != nil || !bytes.Equal(again, append(bytes.TrimRight(data, "\r\n"), '\n')) {
			t.Fatalf("another card file comes out: %v", err)
		}
	})
}
