package exchange_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"io"
	"testing"

	"dxd/crypto"
	"dxd/record"
)

// offerAnd sends the forgery's offer with its first bytes over a new stream
// and returns the offset that comes back.
func (f *forgery) offerAnd(t *testing.T, s io.ReadWriter) int64 {
	t.Helper()
	kind, content := f.offered(t, s)
	if kind != typeAnswer {
		t.Fatalf("a frame of type %d came back: %s", kind, content)
	}
	var a struct{ Offset int64 }
	check(t, json.Unmarshal(content, &a))
	return a.Offset
}

// offered sends offer and early bytes, and gives what comes back.
func (f *forgery) offered(t *testing.T, s io.ReadWriter) (kind byte, content []byte) {
	t.Helper()
	offer, err := json.Marshal(map[string]any{
		"v": f.Version, "id": f.ID.String(), "lane": f.Lane, "sealed_length": f.Sealed,
		"body_nonce": f.Nonce.String(), "header": f.Header, "early": f.Early,
	})
	check(t, err)
	writeFrame(t, s, typeOffer, offer)
	writeFrame(t, s, typeBody, f.Body[:f.Early])
	kind, content, err = readFrame(s)
	check(t, err)
	return kind, content
}

func TestAReceiptIsNeverForADocumentThatDoesNotOpen(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	for _, openingsUnder := range []string{"the body's key", "the second header's key"} {
		f := newForgery(t, a, b)
		f.Doc = randomDocument(200 << 10)
		f.seal(t, b)
		f.Early = 64 << 10
		f.Opening.Length, f.Opening.Digest = int64(len(f.Doc)), sha256.Sum256(f.Doc)
		f.Manifest.SealedLength, f.Manifest.BodyNonce = f.Sealed, f.Nonce
		opening, err := f.Opening.Bytes()
		check(t, err)
		f.Manifest.Root = record.LeafHash(opening)
		manifest, err := a.keys.SignManifest(f.Manifest)
		check(t, err)

		first := openRaw(t, a, b)
		f.offerAnd(t, first)
		check(t, first.Reset())

		other, err := crypto.SealBody(io.Discard)
		check(t, err)
		f.Header, err = crypto.SealHeader(other.Key(), b.keys.Recipient())
		check(t, err)
		second := openRaw(t, a, b)
		offset := f.offerAnd(t, second)
		key := f.key
		if openingsUnder == "the second header's key" {
			key = other.Key()
		}
		writeFrame(t, second, typeBody, f.Body[offset:])
		writeFrame(t, second, typeBody, nil)
		closing, err := json.Marshal(map[string]any{
			"manifest": json.RawMessage(manifest.Bytes()), "openings": crypto.SealOpenings(key, f.Openings(opening)),
		})
		check(t, err)
		writeFrame(t, second, typeClosing, closing)
		kind, content := lastFrame(second)
		switch {
		case kind == typeReceipt && !bytes.Equal(b.document(f.ID), f.Doc):
			t.Errorf("openings under %s: another document came out", openingsUnder)
		case kind != typeReceipt && kind != typeRefusal:
			t.Errorf("openings under %s: a frame of type %d: %s", openingsUnder, kind, content)
		}
	}
}

func TestAPartnerCantStopAnothersTransfer(t *testing.T) {
	a, b, c := newNode(t, "anna"), newNode(t, "bert"), newNode(t, "carl")
	pair(t, a, b)
	pair(t, c, b)
	f := newForgery(t, a, b)
	f.Doc = randomDocument(200 << 10)
	f.seal(t, b)
	f.Early = 64 << 10
	s := openRaw(t, a, b)
	f.offerAnd(t, s)
	g := newForgery(t, c, b)
	g.ID, g.Opening.Transfer = f.ID, f.ID
	if kind, content := g.deliver(t, c, b); kind != typeRefusal {
		t.Errorf("a frame of type %d came back: %s", kind, content)
	}
	writeFrame(t, s, typeBody, f.Body[f.Early:])
	writeFrame(t, s, typeBody, nil)
	writeFrame(t, s, typeClosing, []byte("{}"))
	if kind, content := lastFrame(s); kind != typeRefusal {
		t.Errorf("the stream was not read to its end: a frame of type %d: %s", kind, content)
	}
}
