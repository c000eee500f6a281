package record

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
)

// MaxEnvelope is the largest signed record in bytes. A receipt with an
// application's string of 64 KiB, escaped and in base64, stays below it.
const MaxEnvelope = 768 << 10

// maxSignatures is what the largest card needs: root, signing keys, nodes and accounts.
const maxSignatures = 1 + 3*maxKeys

// Envelope is a signed record as it travels and rests: a DSSE v1 envelope in
// one byte-exact form. Nothing in it is verified before one of the Open
// functions has been called. The zero value is no record.
type Envelope struct {
	payloadType string
	payload     []byte
	signatures  [][]byte
}

// envelopeJSON is the DSSE envelope (protocol.md, "JSON"). The optional keyid
// is unauthenticated and therefore not allowed.
type envelopeJSON struct {
	PayloadType string          `json:"payloadType"`
	Payload     string          `json:"payload"`
	Signatures  []signatureJSON `json:"signatures"`
}

type signatureJSON struct {
	Sig string `json:"sig"`
}

// strictBase64 is RFC 4648's standard alphabet with padding, trailing bits zero.
var strictBase64 = base64.StdEncoding.Strict()

// ParseEnvelope reads an envelope. Whatever is not the exact form that Bytes
// writes is refused.
func ParseEnvelope(data []byte) (Envelope, error) {
	if len(data) > MaxEnvelope {
		return Envelope{}, Errorf(Invalid, "a signed record of %d bytes, %d are allowed", len(data), MaxEnvelope)
	}
	var j envelopeJSON
	if err := Unmarshal(data, &j); err != nil {
		return Envelope{}, Errorf(Invalid, "not a signed record: %w", err)
	}
	if recordName(j.PayloadType) == "" {
		return Envelope{}, Errorf(Invalid, "not a record of this version: payload type %q", Printable(j.PayloadType, 80))
	}
	if n := len(j.Signatures); n == 0 || n > maxSignatures {
		return Envelope{}, Errorf(Invalid, "a signed record with %d signatures", n)
	}
	e := Envelope{payloadType: j.PayloadType}
	var err error
	if e.payload, err = decodeBase64(j.Payload); err != nil {
		return Envelope{}, err
	}
	for _, s := range j.Signatures {
		sig, err := decodeBase64(s.Sig)
		if err != nil {
			return Envelope{}, err
		}
		e.signatures = append(e.signatures, sig)
	}
	if len(e.signatures[0]) != ed25519.SignatureSize {
		return Envelope{}, Errorf(Invalid, "an Ed25519 signature has %d bytes, not %d", ed25519.SignatureSize, len(e.signatures[0]))
	}
	return e, nil
}

func decodeBase64(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") { // which the decoder would skip
		return nil, Errorf(Invalid, "line breaks in base64")
	}
	b, err := strictBase64.DecodeString(s)
	if err != nil {
		return nil, Errorf(Invalid, "not strict base64: %w", err)
	}
	return b, nil
}

// Bytes is the envelope as ParseEnvelope reads it.
func (e Envelope) Bytes() []byte {
	j := envelopeJSON{PayloadType: e.payloadType, Payload: strictBase64.EncodeToString(e.payload)}
	for _, s := range e.signatures {
		j.Signatures = append(j.Signatures, signatureJSON{strictBase64.EncodeToString(s)})
	}
	b, err := Marshal(j)
	if err != nil {
		panic(err) // three strings cannot fail to encode
	}
	return b
}

// MarshalJSON lets an envelope stand inside other JSON as the object it is.
func (e Envelope) MarshalJSON() ([]byte, error) { return e.Bytes(), nil }

// UnmarshalJSON is the inverse of MarshalJSON, with ParseEnvelope's strictness.
func (e *Envelope) UnmarshalJSON(data []byte) error {
	parsed, err := ParseEnvelope(data)
	if err != nil {
		return err
	}
	*e = parsed
	return nil
}

// IsZero tells whether this is no record.
func (e Envelope) IsZero() bool { return e.payloadType == "" }

// Equal tells whether two envelopes are the same, signatures included.
func (e Envelope) Equal(other Envelope) bool {
	return e.payloadType == other.payloadType && bytes.Equal(e.payload, other.payload) && slices.EqualFunc(e.signatures, other.signatures, bytes.Equal)
}

// Name says which record this claims to be: "card", "manifest", …
func (e Envelope) Name() string { return recordName(e.payloadType) }

// PAE is DSSE's pre-authentication encoding, which is what gets signed
// (protocol.md, "Signature Definition").
func (e Envelope) PAE() []byte {
	b := make([]byte, 0, len(e.payload)+len(e.payloadType)+32)
	b = append(b, "DSSEv1 "...)
	b = append(b, itoa(len(e.payloadType))+" "+e.payloadType+" "...)
	b = append(b, itoa(len(e.payload))+" "...)
	return append(b, e.payload...)
}

// ID names the record, whoever signed it.
func (e Envelope) ID() RecordID { return sha256.Sum256(e.PAE()) }

// LeafData is what a batch commits to: encoding and first signature under a
// label, so that a leaf says that this record was signed and by which
// signature, and can't be taken for anything else that is hashed.
func (e Envelope) LeafData() []byte {
	b := append([]byte("dxd/leaf/v1\n"), e.PAE()...)
	return append(b, e.signatures[0]...)
}

// Leaf is the record's leaf in a batch (RFC 9162, section 2.1.1).
func (e Envelope) Leaf() Hash { return LeafHash(e.LeafData()) }

const typePrefix, typeSuffix = "application/vnd.dxd.", ".v1+json"

// payloadType is the media type of a record, its version included.
func payloadType(name string) string { return typePrefix + name + typeSuffix }

// recordName is the inverse of payloadType, "" for what is not a record of this version.
func recordName(payloadType string) string {
	s, ok := strings.CutPrefix(payloadType, typePrefix)
	if !ok {
		return ""
	}
	if s, ok = strings.CutSuffix(s, typeSuffix); !ok {
		return ""
	}
	switch s {
	case "card", "presence", "manifest", "receipt", "void", "notarization", "heads", "erasure":
		return s
	}
	return ""
}

// Header begins the payload of every record. It names the record's own type,
// so that no record can be read as another, and holds a random nonce, so that
// no leaf can be guessed.
type Header struct {
	Type    string   `json:"type"`
	Org     OrgID    `json:"org"`           // the signer
	Card    RecordID `json:"card,omitzero"` // the signer's card of that time; absent in cards
	Created int64    `json:"created"`       // ms since 1970 by the signer's clock: a claim
	Nonce   Nonce    `json:"nonce"`
}

// check tells whether the header is one of a record with this name.
func (h Header) check(name string) error {
	if h.Type != payloadType(name) {
		return Errorf(Invalid, "the payload calls itself %q, not a %s", Printable(h.Type, 80), name)
	}
	if h.Org.IsZero() || h.Nonce == (Nonce{}) {
		return Errorf(Invalid, "a %s without signer or nonce", name)
	}
	if h.Card.IsZero() != (name == "card") {
		return Errorf(Invalid, "a %s that does not name its signer's card", name)
	}
	return checkInteger("created", h.Created, 0)
}

// Body is a record's payload.
type Body interface {
	Card | Presence | Manifest | Receipt | Void | Notarization | Heads | Erasure
	// check holds the rules that need nothing but the payload.
	check() error
}

// Signed is a record whose payload is known: its signer made it, or one of
// the Open functions verified it.
type Signed[T Body] struct {
	Envelope
	Body T
}

// UnmarshalJSON refuses: without it the Envelope's would be promoted, and give
// a Signed that nobody verified.
func (s *Signed[T]) UnmarshalJSON([]byte) error {
	return Errorf(Internal, "a signed record is read with ParseEnvelope and verified")
}

// Sign encodes and signs a record. The signers are called in order with the
// DSSE pre-authentication encoding; for all records but cards there is one.
func Sign[T Body](body T, signers ...func(pae []byte) ([]byte, error)) (Signed[T], error) {
	if err := body.check(); err != nil {
		return Signed[T]{}, err
	}
	payload, err := Marshal(body)
	if err != nil {
		return Signed[T]{}, Errorf(Invalid, "couldn't encode a record: %w", err)
	}
	s := Signed[T]{Envelope{payloadType: headerOf(body).Type, payload: payload}, body}
	if len(signers) == 0 {
		return Signed[T]{}, Errorf(Internal, "a %s that nobody signs", s.Name())
	}
	pae := s.PAE()
	for _, sign := range signers {
		sig, err := sign(pae)
		if err != nil {
			return Signed[T]{}, err
		}
		s.signatures = append(s.signatures, sig)
	}
	if n := len(s.Bytes()); n > MaxEnvelope {
		return Signed[T]{}, Errorf(Invalid, "a signed record of %d bytes, %d are allowed", n, MaxEnvelope)
	}
	return s, nil
}

// NewHeader begins a record of the type of T.
func NewHeader[T Body](org OrgID, card RecordID, created int64, nonce Nonce) Header {
	return Header{Type: payloadType(nameOf[T]()), Org: org, Card: card, Created: created, Nonce: nonce}
}

func nameOf[T Body]() string {
	switch any(*new(T)).(type) {
	case Card:
		return "card"
	case Presence:
		return "presence"
	case Manifest:
		return "manifest"
	case Receipt:
		return "receipt"
	case Void:
		return "void"
	case Heads:
		return "heads"
	case Erasure:
		return "erasure"
	default:
		return "notarization"
	}
}

func headerOf[T Body](body T) Header {
	switch b := any(body).(type) {
	case Card:
		return b.Header
	case Presence:
		return b.Header
	case Manifest:
		return b.Header
	case Receipt:
		return b.Header
	case Void:
		return b.Header
	case Notarization:
		return b.Header
	case Heads:
		return b.Header
	case Erasure:
		return b.Header
	}
	return Header{}
}

// decode reads the payload without looking at a signature.
func decode[T Body](e Envelope) (body T, err error) {
	if e.Name() != nameOf[T]() {
		return body, Errorf(Invalid, "a %s was expected, not a %s", nameOf[T](), e.Name())
	}
	if err := Unmarshal(e.payload, &body); err != nil {
		return *new(T), err
	}
	if err := body.check(); err != nil {
		return *new(T), err
	}
	return body, nil
}

// open verifies a record that an organisation signed with a key of this card.
func open[T Body](e Envelope, signer Signed[Card]) (Signed[T], error) {
	body, err := decode[T](e)
	if err != nil {
		return Signed[T]{}, err
	}
	h := headerOf(body)
	if h.Org != signer.Body.Org || h.Card != signer.ID() {
		return Signed[T]{}, Errorf(Invalid, "the %s names another signer's card", e.Name())
	}
	if len(e.signatures) != 1 {
		return Signed[T]{}, Errorf(Invalid, "a %s with %d signatures", e.Name(), len(e.signatures))
	}
	if _, ok := SigningKey(e, signer.Body); !ok {
		return Signed[T]{}, Errorf(Invalid, "the signature of the %s is not by a key of its signer's card", e.Name())
	}
	return Signed[T]{e, body}, nil
}

// SigningKey finds the signing key on the card that made the first signature
// of a record; ok is false if none did.
func SigningKey(e Envelope, card Card) (key PublicKey, ok bool) {
	pae := e.PAE()
	for _, key := range card.SigningKeys {
		if len(e.signatures) > 0 && ed25519.Verify(key[:], pae, e.signatures[0]) {
			return key, true
		}
	}
	return PublicKey{}, false
}

// SignerOf reads who claims to have signed a record, and under which card,
// without verifying it: it says which card to verify with.
func SignerOf(e Envelope) (OrgID, RecordID, error) {
	var h Header
	if err := json.Unmarshal(e.payload, &h); err != nil {
		return OrgID{}, RecordID{}, Errorf(Invalid, "a record without a readable header: %s", Printable(err.Error(), 200))
	}
	if err := h.check(e.Name()); err != nil {
		return OrgID{}, RecordID{}, err
	}
	return h.Org, h.Card, nil
}
