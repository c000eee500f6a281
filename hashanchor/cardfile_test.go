package hashanchor_test

import (
	"bytes"
	"testing"

	"dxd/hashanchor"
	"dxd/record"
)

// cardFile is a card file with a proof, as it is written.
func cardFile(t testing.TB, card record.Signed[record.Card], p *hashanchor.Proof) []byte {
	t.Helper()
	file := record.CardFile{Card: card.Envelope}
	if p != nil {
		proof, err := p.Bytes()
		must(t, err)
		file.Proof = proof
	}
	data, err := file.Bytes()
	must(t, err)
	return data
}

func TestACardFileCarriesTheCardsProof(t *testing.T) {
	alpha, beta, c := newOrg(t, "Alpha"), newOrg(t, "Beta"), newChain()
	good := c.anchor(t, alpha.address(), 60, alpha.card.Envelope)
	whole := cardFile(t, alpha.card, &good)
	golden(t, "card-file-proof.json", whole)
	f, err := hashanchor.OpenCardFile(whole)
	if err != nil || f.Card.ID() != alpha.card.ID() || f.Proof == nil || f.Proof.Anchor.Block != 60 {
		t.Fatalf("%+v, %v", f.Proof, err)
	}
	if f, err := hashanchor.OpenCardFile(cardFile(t, alpha.card, nil)); err != nil || f.Proof != nil {
		t.Errorf("without a proof: %+v, %v", f.Proof, err)
	}

	otherPath, otherTree := good, good
	otherPath.Path = append([]record.Hash{{1}}, good.Path[1:]...)
	otherTree.Anchor.Root[0]++
	others := c.anchor(t, alpha.address(), 61, beta.card.Envelope)
	notOn := c.anchor(t, beta.address(), 62, alpha.card.Envelope)
	for name, data := range map[string][]byte{
		"a proof of another record":      cardFile(t, alpha.card, &others),
		"an account that is not on it":   cardFile(t, alpha.card, &notOn),
		"a path that leads elsewhere":    cardFile(t, alpha.card, &otherPath),
		"another root":                   cardFile(t, alpha.card, &otherTree),
		"a proof with a member too many": bytes.Replace(whole, []byte(`"index":`), []byte(`"more":1,"index":`), 1),
		"a proof with a member missing":  bytes.Replace(whole, []byte(`"index":0,`), nil, 1),
		"an empty proof":                 bytes.Replace(cardFile(t, alpha.card, nil), []byte("]}"), []byte(`],"proof":{}}`), 1),
	} {
		if f, err := hashanchor.OpenCardFile(data); err == nil || f.Proof != nil || !f.Card.IsZero() {
			t.Errorf("%s: %v", name, err)
		}
	}
}
