package record_test

import (
	"bytes"
	"context"
	stdcrypto "crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"dxd/record"
)

func TestEnvelopeThatIsNotInTheOneFormIsRefused(t *testing.T) {
	good := string(manifestOf(t).Bytes())
	payloadType, payload := parts(manifestOf(t).Envelope)
	signature := good[strings.Index(good, `"sig":"`)+7 : strings.LastIndex(good, `"}]}`)]
	sign := signWith("a signing")
	var cases []refusal
	add := func(name, why, input string) { cases = append(cases, refusal{name, why, []byte(input)}) }
	edit := func(name, why, old, new string) {
		t.Helper()
		if strings.Count(good, old) != 1 {
			t.Fatalf("%s: %q stands %d times", name, old, strings.Count(good, old))
		}
		add(name, why, strings.Replace(good, old, new, 1))
	}
	const strict, form, encoding = "not valid strict JSON", "one form of its JSON", "not strict base64"
	add("empty", strict, "")
	add("no JSON", strict, "card")
	add("null", form, "null")
	add("a list", strict, "["+good+"]")
	add("cut short", strict, good[:len(good)-1])
	add("something behind it", strict, good+"{}")
	add("a line break behind it", form, good+"\n")
	add("a space before it", form, " "+good)
	add("a byte order mark before it", strict, "\ufeff"+good)
	edit("white space in it", form, `,"payload":`, `, "payload":`)
	edit("another order of members", form, `{"payloadType":"`+payloadType+`",`, `{`)
	edit("an unknown member", strict, `,"signatures"`, `,"extra":1,"signatures"`)
	edit("a member twice", strict, `,"signatures"`, `,"payload":"","signatures"`)
	edit("a member in another case", strict, `"payloadType"`, `"payloadtype"`)
	edit("a keyid, which nobody signs", strict, `{"sig"`, `{"keyid":"x","sig"`)
	edit("an empty keyid", strict, `{"sig"`, `{"keyid":"","sig"`)
	edit("an escape that is not needed", form, `"payload":"e`, `"payload":"\u0065`)
	edit("a slash that is escaped", form, `application/`, `application\/`)
	edit("no signature", "0 signatures", `{"sig":"`+signature+`"}`, ``)
	edit("50 signatures", "50 signatures", `{"sig":"`+signature+`"}`, strings.TrimSuffix(strings.Repeat(`{"sig":"`+signature+`"},`, 50), ","))
	edit("a signature of 63 bytes", "has 64 bytes", signature, strings.Repeat("A", 84))
	edit("an empty signature", "has 64 bytes", signature, "")
	edit("a signature without padding", encoding, signature, strings.TrimRight(signature, "="))
	edit("a signature with trailing bits", encoding, signature, signature[:len(signature)-3]+"R==")
	edit("a signature in the alphabet for URLs", encoding, signature, strings.Repeat("_", 86)+"==")
	edit("a signature with an escaped line break", "line breaks", signature, signature[:40]+`\n`+signature[40:])
	edit("a signature with a carriage return", "line breaks", signature, signature[:40]+`\r`+signature[40:])
	edit("a signature with a space", encoding, signature, signature[:40]+` `+signature[40:])
	edit("a payload with a line break", "line breaks", `"payload":"`, `"payload":"\n`)
	edit("a newer version", "not a record of this version", `.v1+json`, `.v2+json`)
	edit("an unknown record", "not a record of this version", `vnd.dxd.manifest`, `vnd.dxd.leaflet`)
	edit("a payload type in capitals", "not a record of this version", `application/vnd`, `Application/vnd`)
	edit("a payload type of in-toto", "not a record of this version", payloadType, `application/vnd.in-toto+json`)
	add("more than 768 KiB", "786432 are allowed", good+strings.Repeat(" ", record.MaxEnvelope))

	// The same strictness holds for the payload, though it is signed.
	signed := func(name, why, payload string) { add(name, why, string(forge(payloadType, payload, sign))) }
	signed("an empty payload", strict, "")
	signed("a payload that is no object", strict, "[]")
	signed("a payload of null", form, "null")
	signed("a payload with a line break behind it", form, payload+"\n")
	signed("a payload with white space", form, strings.Replace(payload, `,"org"`, `, "org"`, 1))
	signed("a payload with a member twice", strict, strings.Replace(payload, `{`, `{"items":1,`, 1))
	signed("a payload with an unknown member", strict, strings.Replace(payload, `{`, `{"x":1,`, 1))
	signed("a payload with a member in another case", strict, strings.Replace(payload, `"items"`, `"Items"`, 1))
	signed("a payload without a member", form, strings.Replace(payload, `"items":1,`, ``, 1))
	signed("a payload with members in another order", form, swapMembers(payload, `"lane":"doc"`, `"sequence":1`))
	signed("a payload with an escape that is not needed", form, strings.Replace(payload, `"doc"`, `"\u0064oc"`, 1))
	signed("a number with an exponent", strict, strings.Replace(payload, `"items":1`, `"items":1e0`, 1))
	signed("a number of 2^63", strict, strings.Replace(payload, `"items":1`, `"items":9223372036854775808`, 1))
	signed("a number of minus zero", form, strings.Replace(payload, `"items":1`, `"items":-0`, 1))
	signed("a lone surrogate", strict, strings.Replace(payload, `"doc"`, `"\ud800"`, 1))
	signed("invalid UTF-8", strict, strings.Replace(payload, `"doc"`, "\"\xc3\x28\"", 1))
	signed("nesting without end", strict, strings.Repeat("[", 20000))
	refuse(t, "envelope-refused.json", cases, parsed(by(record.OpenManifest, "a")))
}

// swapMembers exchanges two neighbours.
func swapMembers(payload, a, b string) string {
	return strings.Replace(payload, a+","+b, b+","+a, 1)
}

func TestParsedEnvelopeIsNothingOnError(t *testing.T) {
	e, err := record.ParseEnvelope([]byte(`{"payloadType":"application/vnd.dxd.void.v1+json","payload":"","signatures":[{"sig":"AA=="}]}`))
	if err == nil || !e.IsZero() {
		t.Errorf("%v is returned with the error %v", e.Name(), err)
	}
}

// The id of a record says nothing of who signed it.
func TestEnvelopesAreEqualIfAllIsThatIsInThem(t *testing.T) {
	good := manifestOf(t).Envelope
	again, err := record.ParseEnvelope(good.Bytes())
	if err != nil || !good.Equal(again) {
		t.Errorf("read again it is another one (%v)", err)
	}
	text := string(good.Bytes())
	at := strings.Index(text, `"sig":"`) + 7
	one := text[at : at+1]
	other := "A"
	if one == other {
		other = "B"
	}
	for name, changed := range map[string]string{
		"signature":      text[:at] + other + text[at+1:],
		"two signatures": strings.Replace(text, `"signatures":[`, `"signatures":[`+text[at-8:len(text)-2]+",", 1),
		"payload":        strings.Replace(text, `"payload":"`, `"payload":"AAAA`, 1),
		"type":           strings.Replace(text, "manifest", "receipt", 1),
	} {
		e, err := record.ParseEnvelope([]byte(changed))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if good.Equal(e) || e.Equal(good) {
			t.Errorf("%s: another one is the same", name)
		}
	}
}

func TestSignedCantBeReadWithoutBeingVerified(t *testing.T) {
	var s record.Signed[record.Manifest]
	if err := json.Unmarshal(manifestOf(t).Bytes(), &s); err == nil || !s.IsZero() {
		t.Error("it can")
	}
	if err := record.Unmarshal(manifestOf(t).Bytes(), &s); err == nil {
		t.Error("it can, with the strict reader")
	}
}

func TestSignerOfSaysWhichCardToVerifyWith(t *testing.T) {
	org, card, err := record.SignerOf(manifestOf(t).Envelope)
	if err != nil || org != orgOf("a") || card != cardOf("a").ID() {
		t.Errorf("%s, %s, %v", org, card, err)
	}
	org, card, err = record.SignerOf(cardOf("b").Envelope)
	if err != nil || org != orgOf("b") || !card.IsZero() {
		t.Errorf("of a card: %s, %s, %v", org, card, err)
	}
	for name, payload := range map[string]string{
		"no JSON":      "x",
		"another type": `{"type":"application/vnd.dxd.card.v1+json"}`,
		"no signer":    `{"type":"application/vnd.dxd.void.v1+json","nonce":"` + strings.Repeat("1", 64) + `","created":1}`,
	} {
		e, err := record.ParseEnvelope(forge("application/vnd.dxd.void.v1+json", payload, signWith("a signing")))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := record.SignerOf(e); record.KindOf(err) != record.Invalid {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
}

func TestLeafIsThatOfTheSpecification(t *testing.T) {
	m := manifestOf(t)
	payloadType, payload := parts(m.Envelope)
	pae := dsse.PAE(payloadType, []byte(payload))
	sig, err := signWith("a signing")(pae)
	if err != nil {
		t.Fatal(err)
	}
	data := append(append([]byte("dxd/leaf/v1\n"), pae...), sig...)
	if !bytes.Equal(m.LeafData(), data) {
		t.Error("the leaf's data is something else")
	}
	if m.Leaf() != sha256.Sum256(append([]byte{0}, data...)) {
		t.Error("the leaf is something else")
	}
	if m.ID() != sha256.Sum256(pae) {
		t.Error("the record's id is something else")
	}
}

// verifier is an Ed25519 key as the oracle wants it.
type verifier struct{ key ed25519.PublicKey }

func (v verifier) KeyID() (string, error)      { return "", nil }
func (v verifier) Public() stdcrypto.PublicKey { return v.key }
func (v verifier) Verify(_ context.Context, data, sig []byte) error {
	if !ed25519.Verify(v.key, data, sig) {
		return errors.New("no")
	}
	return nil
}

func TestAnotherImplementationOfDSSEVerifiesOurRecords(t *testing.T) {
	for name, c := range map[string]struct {
		data []byte
		keys []string
	}{
		"a card":     {cardOf("a").Bytes(), []string{"a root", "a signing", "a node"}},
		"a manifest": {manifestOf(t).Bytes(), []string{"a signing"}},
		"a receipt":  {receiptOf(t, "receipt", record.RecordID{}, record.Entry{Status: record.StatusReceived}).Bytes(), []string{"b signing"}},
	} {
		var e dsse.Envelope
		if err := json.Unmarshal(c.data, &e); err != nil {
			t.Fatal(err)
		}
		for _, key := range c.keys {
			p := publicOf(key)
			ev, err := dsse.NewEnvelopeVerifier(verifier{p[:]})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ev.Verify(t.Context(), &e); err != nil {
				t.Errorf("%s by %s: %v", name, key, err)
			}
		}
		parsed, err := record.ParseEnvelope(c.data)
		if err != nil {
			t.Fatal(err)
		}
		body, err := e.DecodeB64Payload()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(parsed.PAE(), dsse.PAE(e.PayloadType, body)) {
			t.Errorf("%s has another encoding", name)
		}
	}
}
