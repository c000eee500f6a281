package record_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dxd/record"
)

// seedWith adds every accepted golden file to a corpus, and every refused
// input of the files that match.
func seedWith(f *testing.F, refused string) {
	f.Helper()
	for _, name := range []string{"card", "presence", "manifest", "receipt", "receipt-accepted", "receipt-bundle", "void", "heads", "notarization", "erasure", "opening", "card-file"} {
		b, err := os.ReadFile(testdata + name + ".json")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	files, err := filepath.Glob(testdata + refused)
	if err != nil || len(files) == 0 {
		f.Fatalf("no golden file matches %s: %v", refused, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		var cases []refusal
		if err := json.Unmarshal(b, &cases); err != nil {
			f.Fatal(err)
		}
		for _, c := range cases {
			f.Add(c.Input)
		}
	}
}

func FuzzParseEnvelope(f *testing.F) {
	seedWith(f, "envelope-refused.json")
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := record.ParseEnvelope(data)
		if err != nil {
			if !e.IsZero() {
				t.Error("something is returned beside the error")
			}
			return
		}
		if !bytes.Equal(e.Bytes(), data) {
			t.Errorf("encoded again it is %q", e.Bytes())
		}
	})
}

// FuzzOpen tries every Open function on every payload, signed as it should be,
// so that what is behind the signature is reached.
func FuzzOpen(f *testing.F) {
	for _, file := range []string{"card", "presence", "manifest", "receipt", "receipt-accepted", "receipt-bundle", "void", "heads", "notarization", "erasure"} {
		b, err := os.ReadFile(testdata + file + ".json")
		if err != nil {
			f.Fatal(err)
		}
		e, err := record.ParseEnvelope(b)
		if err != nil {
			f.Fatal(err)
		}
		_, payload := parts(e)
		f.Add(e.Name(), payload)
	}
	a, b := cardOf("a"), cardOf("b")
	f.Fuzz(func(t *testing.T, name, payload string) {
		if strings.ContainsAny(name, "\"\\") {
			return // the envelope is made without escapes
		}
		sign := signWith("a signing")
		switch name {
		case "presence":
			sign = signWith("a node")
		case "receipt", "erasure":
			sign = signWith("b signing")
		}
		e, err := record.ParseEnvelope(forge("application/vnd.dxd."+name+".v1+json", payload, sign))
		if err != nil {
			return
		}
		if n, err := record.NumberOf(e); err != nil && n != (record.Number{}) {
			t.Error("a number is returned beside the error")
		}
		if id, err := record.ManifestOf(e); err != nil && !id.IsZero() {
			t.Error("a manifest is returned beside the error")
		}
		if org, card, err := record.SignerOf(e); err != nil && (!org.IsZero() || !card.IsZero()) {
			t.Error("a signer is returned beside the error")
		}
		if card, err := record.RecipientCardOf(e); err != nil && !card.IsZero() {
			t.Error("a recipient's card is returned beside the error")
		}
		reencodes(t, payload, e, record.OpenCard)
		reencodes(t, payload, e, func(e record.Envelope) (record.Signed[record.Presence], error) { return record.OpenPresence(e, a) })
		reencodes(t, payload, e, func(e record.Envelope) (record.Signed[record.Manifest], error) { return record.OpenManifest(e, a) })
		reencodes(t, payload, e, func(e record.Envelope) (record.Signed[record.Receipt], error) { return record.OpenReceipt(e, b) })
		reencodes(t, payload, e, func(e record.Envelope) (record.Signed[record.Void], error) { return record.OpenVoid(e, a) })
		reencodes(t, payload, e, func(e record.Envelope) (record.Signed[record.Heads], error) { return record.OpenHeads(e, a) })
		reencodes(t, payload, e, func(e record.Envelope) (record.Signed[record.Erasure], error) { return record.OpenErasure(e, b) })
		reencodes(t, payload, e, func(e record.Envelope) (record.Signed[record.Notarization], error) {
			return record.OpenNotarization(e, a)
		})
	})
}

// FuzzSignaturesOfCard puts anything in the places of a card's signatures, so
// that what reads those of an account is reached, too. None but the genuine
// ones open the card.
func FuzzSignaturesOfCard(f *testing.F) {
	payloadType, payload := parts(cardOf("a").Envelope)
	pae := cardOf("a").PAE()
	var genuine [4][]byte
	for i, sign := range cardSigners("a") {
		sig, err := sign(pae)
		if err != nil {
			f.Fatal(err)
		}
		genuine[i] = sig
	}
	f.Add(genuine[0], genuine[1], genuine[2], genuine[3])
	f.Add(genuine[1], genuine[0], genuine[2], genuine[2])
	f.Fuzz(func(t *testing.T, root, signing, node, account []byte) {
		same, signers := true, []func([]byte) ([]byte, error){}
		for i, sig := range [][]byte{root, signing, node, account} {
			same = same && bytes.Equal(sig, genuine[i])
			signers = append(signers, func([]byte) ([]byte, error) { return sig, nil })
		}
		e, err := record.ParseEnvelope(forge(payloadType, payload, signers...))
		if err == nil {
			_, err = record.OpenCard(e)
		}
		if (err == nil) != same {
			t.Errorf("the error is %v", err)
		}
	})
}

func reencodes[T record.Body](t *testing.T, payload string, e record.Envelope, open func(record.Envelope) (record.Signed[T], error)) {
	t.Helper()
	s, err := open(e)
	if err != nil {
		if !s.IsZero() {
			t.Error("something is returned beside the error")
		}
		return
	}
	if b, err := record.Marshal(s.Body); err != nil || string(b) != payload {
		t.Errorf("encoded again it is %q, %v", b, err)
	}
}

func FuzzParseOpening(f *testing.F) {
	seedWith(f, "opening-refused.json")
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := record.ParseOpening(data)
		if err != nil {
			if o != (record.Opening{}) {
				t.Error("something is returned beside the error")
			}
			return
		}
		if b, err := o.Bytes(); err != nil || !bytes.Equal(b, data) {
			t.Errorf("encoded again it is %q, %v", b, err)
		}
	})
}

func FuzzOpenCardFile(f *testing.F) {
	seedWith(f, "card-file-refused.json")
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := record.OpenCardFile(data)
		if err != nil {
			if !c.Card.IsZero() || c.Presence != nil {
				t.Error("something is returned beside the error")
			}
			return
		}
		if b, err := c.File().Bytes(); err != nil || !bytes.Equal(b, append(bytes.TrimRight(data, "\r\n"), '\n')) {
			t.Errorf("encoded again it is %q, %v", b, err)
		}
	})
}

func FuzzParseIdentifier(f *testing.F) {
	b, err := os.ReadFile(testdata + "identifiers.json")
	if err != nil {
		f.Fatal(err)
	}
	var list []identifier
	if err := json.Unmarshal(b, &list); err != nil {
		f.Fatal(err)
	}
	for _, i := range list {
		f.Add(i.Kind, i.Text)
	}
	// People may write these in several ways.
	loose := map[string]bool{"fingerprint": true, "account": true}
	f.Fuzz(func(t *testing.T, kind, text string) {
		got, err := parseText(kind, text)
		if err == nil && got != text && !loose[kind] {
			t.Errorf("%q reads as %q", text, got)
		}
		if again, err2 := parseText(kind, got); err == nil && (err2 != nil || again != got) {
			t.Errorf("%q is written as %q, which reads as %q: %v", text, got, again, err2)
		}
	})
}

func FuzzPrintable(f *testing.F) {
	for _, n := range badNames {
		f.Add(n.text)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p := record.Printable(s, 100)
		if err := record.CheckText("it", strings.ReplaceAll(p, "\ufffd", "?"), 1000); err != nil && s != "" {
			t.Error(err)
		}
		if record.CheckName(s) == nil && record.Printable(s, 255) != s {
			t.Errorf("the name %q is not printed as it is", s)
		}
	})
}
