package record_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"dxd/record"
)

// The golden files are made from fixed keys and nonces. They pin the formats:
// a change that alters one of them alters the format.
var update = flag.Bool("update", false, "write the golden files anew")

const testdata = "../docs/spec/testdata/"

// golden compares data with the file, or writes it.
func golden(t *testing.T, file string, data []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(testdata+file, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(testdata + file)
	if err != nil {
		t.Fatalf("%v; `go test ./record -update` writes the golden files", err)
	}
	if !bytes.Equal(data, want) {
		t.Errorf("%s has changed:\n%s\nis now\n%s", file, want, data)
	}
}

// refusal is an input that must not be accepted, and the reason that the error
// must give.
type refusal struct {
	Name  string `json:"name"`
	Why   string `json:"why"`
	Input []byte `json:"input"` // base64 in the file
}

// refuse compares the cases with the golden file and tries each.
func refuse(t *testing.T, file string, cases []refusal, open func(input []byte) error) {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(cases); err != nil {
		t.Fatal(err)
	}
	golden(t, file, b.Bytes())
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			err := open(c.Input)
			if record.KindOf(err) != record.Invalid {
				t.Fatalf("the error is %v", err)
			}
			if !strings.Contains(err.Error(), c.Why) {
				t.Errorf("refused because %q, not because %q", err, c.Why)
			}
		})
	}
}

func seed(name string) [32]byte { return sha256.Sum256([]byte("dxd test: " + name)) }

func keyOf(name string) ed25519.PrivateKey {
	s := seed(name)
	return ed25519.NewKeyFromSeed(s[:])
}

func publicOf(name string) record.PublicKey {
	return record.PublicKey(keyOf(name).Public().(ed25519.PublicKey))
}

func orgOf(name string) record.OrgID {
	p := publicOf(name + " root")
	id, err := record.MakeOrgID(p[:])
	if err != nil {
		panic(err) // the keys are fixed
	}
	return id
}

func nodeOf(name string) record.NodeID {
	p := publicOf(name)
	id, err := record.MakeNodeID(p[:])
	if err != nil {
		panic(err)
	}
	return id
}

func accountKey(name string) *secp256k1.PrivateKey {
	s := seed(name)
	return secp256k1.PrivKeyFromBytes(s[:])
}

func accountOf(name string) record.Account {
	return record.AccountOf(accountKey(name).PubKey().SerializeUncompressed())
}

// signWith and countersign make signatures as the specification says, on their
// own: package crypto's are tested there.
func signWith(name string) func([]byte) ([]byte, error) {
	return func(pae []byte) ([]byte, error) { return ed25519.Sign(keyOf(name), pae), nil }
}

func countersign(name string) func([]byte) ([]byte, error) {
	return func(pae []byte) ([]byte, error) {
		hash := record.AccountHash(pae)
		sig := ecdsa.SignCompact(accountKey(name), hash[:], false)
		return append(sig[1:], sig[0]), nil
	}
}

// recipientOf reads an age recipient: "a" or "b".
func recipientOf(name string) string {
	b, err := os.ReadFile(testdata + "recipient-" + name + ".txt")
	if err != nil {
		panic(err)
	}
	return strings.TrimSpace(string(b))
}

// The clock of the golden files, in ms.
const (
	created = 1_790_000_000_000
	expires = created + 365*24*3600*1000
)

func header[T record.Body](org string, card record.RecordID, nonce string) record.Header {
	return record.NewHeader[T](orgOf(org), card, created, seed(nonce))
}

// cardOf is the first card of organisation "a" or "b".
func cardOf(org string) record.Signed[record.Card] {
	card, err := record.Sign(record.Card{
		Header:      header[record.Card](org, record.RecordID{}, org+" card"),
		Name:        map[string]string{"a": "Ångström & Söhne", "b": "株式会社ベータ"}[org],
		Serial:      1,
		Expires:     expires,
		SigningKeys: []record.PublicKey{publicOf(org + " signing")},
		Nodes:       []record.NodeID{nodeOf(org + " node")},
		Recipients:  []string{recipientOf(org)},
		Accounts:    []record.Account{accountOf(org + " account")},
	}, cardSigners(org)...)
	if err != nil {
		panic(err)
	}
	return card
}

func cardSigners(org string) []func([]byte) ([]byte, error) {
	return []func([]byte) ([]byte, error){
		signWith(org + " root"), signWith(org + " signing"), signWith(org + " node"), countersign(org + " account"),
	}
}

// forge makes an envelope of any payload, without asking package record.
func forge(payloadType, payload string, signers ...func([]byte) ([]byte, error)) []byte {
	pae := fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload)
	var sigs []string
	for _, sign := range signers {
		sig, err := sign(pae)
		if err != nil {
			panic(err)
		}
		sigs = append(sigs, `{"sig":"`+base64.StdEncoding.EncodeToString(sig)+`"}`)
	}
	return fmt.Appendf(nil, `{"payloadType":"%s","payload":"%s","signatures":[%s]}`,
		payloadType, base64.StdEncoding.EncodeToString([]byte(payload)), strings.Join(sigs, ","))
}

// parts gives the payload type and the payload of an envelope.
func parts(e record.Envelope) (payloadType, payload string) {
	var j struct {
		PayloadType string
		Payload     []byte
	}
	if err := json.Unmarshal(e.Bytes(), &j); err != nil {
		panic(err)
	}
	return j.PayloadType, string(j.Payload)
}

// change is a refused variant of a payload: what old matches becomes new, and
// the result is signed as it should be, so that nothing else is wrong with it.
type change struct{ name, why, old, new string }

// changed makes the refusals of the changes.
func changed(t *testing.T, e record.Envelope, changes []change, signers ...func([]byte) ([]byte, error)) (out []refusal) {
	t.Helper()
	payloadType, payload := parts(e)
	for _, c := range changes {
		if strings.Count(payload, c.old) != 1 {
			t.Fatalf("%s: %q stands %d times in %s", c.name, c.old, strings.Count(payload, c.old), payload)
		}
		out = append(out, refusal{c.name, c.why, forge(payloadType, strings.Replace(payload, c.old, c.new, 1), signers...)})
	}
	return out
}

// parsed gives open an envelope.
func parsed[T record.Body](open func(record.Envelope) (record.Signed[T], error)) func([]byte) error {
	return func(input []byte) error {
		e, err := record.ParseEnvelope(input)
		if err != nil {
			return err
		}
		s, err := open(e)
		if err != nil && !s.IsZero() {
			return fmt.Errorf("something is returned beside the error %w", err)
		}
		return err
	}
}

// accept checks the golden file of a record, and that it opens as what it is.
func accept[T record.Body](t *testing.T, file string, s record.Signed[T], open func(record.Envelope) (record.Signed[T], error)) {
	t.Helper()
	golden(t, file, s.Bytes())
	e, err := record.ParseEnvelope(s.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	opened, err := open(e)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(opened.Bytes(), s.Bytes()) || opened.ID() != s.ID() || opened.Leaf() != s.Leaf() {
		t.Error("the record changed on its way")
	}
	if got, want := fmt.Sprintf("%+v", opened.Body), fmt.Sprintf("%+v", s.Body); got != want {
		t.Errorf("the record reads as %s, not %s", got, want)
	}
	payloadType, payload := parts(e)
	if again := forge(payloadType, payload); !bytes.HasPrefix(s.Bytes(), again[:len(again)-len("]}")]) {
		t.Errorf("the envelope is not the one form: %s", s.Bytes())
	}
}
