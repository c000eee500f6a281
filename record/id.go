package record

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
)

// keyPrefix precedes the 32 bytes of an Ed25519 key in libp2p's protobuf
// encoding of a public key: field 1 (type) = 1, field 2 (data), 32 bytes
// (libp2p peer-ids specification, "Keys").
var keyPrefix = []byte{0x08, 0x01, 0x12, 0x20}

// OrgID names an organisation: the CIDv1 (codec libp2p-key, identity hash) of
// its root signing key. The key can be read back from it.
type OrgID struct{ key [ed25519.PublicKeySize]byte }

// NodeID names a node: libp2p's PeerID of an Ed25519 key, printed in base58btc
// as "12D3KooW…". The key can be read back from it.
type NodeID struct{ key [ed25519.PublicKeySize]byte }

// MakeOrgID gives the identifier of the organisation with this root key.
// The key must pass CheckPublicKey.
func MakeOrgID(root ed25519.PublicKey) (OrgID, error) {
	if err := CheckPublicKey(root); err != nil {
		return OrgID{}, err
	}
	return OrgID{[32]byte(root)}, nil
}

// MakeNodeID gives the identifier of the node with this key.
// The key must pass CheckPublicKey.
func MakeNodeID(key ed25519.PublicKey) (NodeID, error) {
	if err := CheckPublicKey(key); err != nil {
		return NodeID{}, err
	}
	return NodeID{[32]byte(key)}, nil
}

// Key is the organisation's root key.
func (o OrgID) Key() ed25519.PublicKey { return bytes.Clone(o.key[:]) }

// Key is the node's key.
func (n NodeID) Key() ed25519.PublicKey { return bytes.Clone(n.key[:]) }

// IsZero tells whether this is no organisation at all.
func (o OrgID) IsZero() bool { return o == OrgID{} }

// IsZero tells whether this is no node at all.
func (n NodeID) IsZero() bool { return n == NodeID{} }

func keyMultihash(key []byte) multihash.Multihash {
	mh, err := multihash.Sum(append(bytes.Clone(keyPrefix), key...), multihash.IDENTITY, -1)
	if err != nil {
		panic(err) // the identity hash of 36 bytes cannot fail
	}
	return mh
}

func keyFromMultihash(mh multihash.Multihash) (key [32]byte, ok bool) {
	d, err := multihash.Decode(mh)
	if err != nil || d.Code != multihash.IDENTITY {
		return key, false
	}
	k, found := bytes.CutPrefix(d.Digest, keyPrefix)
	if !found || CheckPublicKey(k) != nil {
		return key, false
	}
	return [32]byte(k), true
}

func (o OrgID) String() string {
	return cid.NewCidV1(cid.Libp2pKey, keyMultihash(o.key[:])).String()
}

func (n NodeID) String() string { return keyMultihash(n.key[:]).B58String() }

// ParseOrgID reads what String wrote, and nothing else.
func ParseOrgID(s string) (OrgID, error) {
	c, err := cid.Decode(s)
	if err == nil && c.Version() == 1 && c.Type() == cid.Libp2pKey {
		if key, ok := keyFromMultihash(c.Hash()); ok && c.String() == s {
			return OrgID{key}, nil
		}
	}
	return OrgID{}, Errorf(Invalid, "not an organisation's identifier: %q", Printable(s, 80))
}

// ParseNodeID reads what String wrote, and nothing else.
func ParseNodeID(s string) (NodeID, error) {
	mh, err := multihash.FromB58String(s)
	if err == nil {
		if key, ok := keyFromMultihash(mh); ok && mh.B58String() == s {
			return NodeID{key}, nil
		}
	}
	return NodeID{}, Errorf(Invalid, "not a node's identifier: %q", Printable(s, 80))
}

func (o OrgID) MarshalText() ([]byte, error)        { return []byte(o.String()), nil }
func (o *OrgID) UnmarshalText(text []byte) error    { return parseInto(o, ParseOrgID, text) }
func (n NodeID) MarshalText() ([]byte, error)       { return []byte(n.String()), nil }
func (n *NodeID) UnmarshalText(text []byte) error   { return parseInto(n, ParseNodeID, text) }
func (r RecordID) MarshalText() ([]byte, error)     { return []byte(r.String()), nil }
func (r *RecordID) UnmarshalText(text []byte) error { return parseInto(r, ParseRecordID, text) }
func (d Digest) MarshalText() ([]byte, error)       { return []byte(d.String()), nil }
func (d *Digest) UnmarshalText(text []byte) error   { return parseInto(d, ParseDigest, text) }
func (t TransferID) MarshalText() ([]byte, error)   { return []byte(t.String()), nil }
func (t *TransferID) UnmarshalText(text []byte) error {
	return parseInto(t, ParseTransferID, text)
}
func (f Fingerprint) MarshalText() ([]byte, error)     { return []byte(f.String()), nil }
func (f *Fingerprint) UnmarshalText(text []byte) error { return parseInto(f, ParseFingerprint, text) }

func parseInto[T any](dst *T, parse func(string) (T, error), text []byte) error {
	v, err := parse(string(text))
	if err != nil {
		return err
	}
	*dst = v
	return nil
}

// RecordID names a signed record: the CIDv1 (raw, sha2-256) of its DSSE
// pre-authentication encoding.
type RecordID [sha256.Size]byte

// Digest is the SHA-256 of a document's bytes, carried as CIDv1 (raw). Hex is
// the form that sha256sum prints.
type Digest [sha256.Size]byte

func rawCID(hash []byte) string {
	mh, err := multihash.Encode(hash, multihash.SHA2_256)
	if err != nil {
		panic(err) // 32 bytes are what a SHA-256 multihash takes
	}
	return cid.NewCidV1(cid.Raw, mh).String()
}

func parseRawCID(s string) (hash [32]byte, ok bool) {
	c, err := cid.Decode(s)
	if err != nil || c.Version() != 1 || c.Type() != cid.Raw || c.String() != s {
		return hash, false
	}
	d, err := multihash.Decode(c.Hash())
	if err != nil || d.Code != multihash.SHA2_256 || d.Length != sha256.Size {
		return hash, false
	}
	return [32]byte(d.Digest), true
}

func (r RecordID) String() string { return rawCID(r[:]) }
func (d Digest) String() string   { return rawCID(d[:]) }

// Hex is the digest as sha256sum prints it.
func (d Digest) Hex() string { return hex.EncodeToString(d[:]) }

// IsZero tells whether this names no record.
func (r RecordID) IsZero() bool { return r == RecordID{} }

// IsZero tells whether this is no digest.
func (d Digest) IsZero() bool { return d == Digest{} }

// ParseRecordID reads what String wrote, and nothing else.
func ParseRecordID(s string) (RecordID, error) {
	if h, ok := parseRawCID(s); ok {
		return RecordID(h), nil
	}
	return RecordID{}, Errorf(Invalid, "not a record's identifier: %q", Printable(s, 80))
}

// ParseDigest reads what String wrote, and nothing else.
func ParseDigest(s string) (Digest, error) {
	if h, ok := parseRawCID(s); ok {
		return Digest(h), nil
	}
	return Digest{}, Errorf(Invalid, "not a digest: %q", Printable(s, 80))
}

// TransferID names a transfer: a UUIDv7 (RFC 9562, section 5.7).
type TransferID [16]byte

func (t TransferID) String() string {
	h := hex.EncodeToString(t[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// IsZero tells whether this names no transfer.
func (t TransferID) IsZero() bool { return t == TransferID{} }

// Check tells whether the bytes are a UUID of version 7 and of RFC 9562's variant.
func (t TransferID) Check() error {
	if t[6]>>4 != 7 || t[8]>>6 != 0b10 {
		return Errorf(Invalid, "not a UUIDv7: %s", t.String())
	}
	return nil
}

// ParseTransferID reads what String wrote, and nothing else.
func ParseTransferID(s string) (TransferID, error) {
	var t TransferID
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err == nil && len(b) == len(t) {
		t = TransferID(b)
		if t.String() == s && t.Check() == nil {
			return t, nil
		}
	}
	return TransferID{}, WithHint(Errorf(Invalid, "not a transfer's id: %q", Printable(s, 80)),
		"an id looks like 0190b8f0-3c5e-7abc-8def-0123456789ab; `dxd transfers` lists them")
}

// Fingerprint is what two people compare over the telephone: 160 bits of the
// SHA-256 of an organisation's root key under a label of its own, in eight
// groups of four base32 characters.
type Fingerprint [20]byte

// Fingerprint of the organisation.
func (o OrgID) Fingerprint() Fingerprint {
	// The label keeps this hash apart from every other one of the same key.
	h := sha256.Sum256(append([]byte("dxd/fingerprint/v1\n"), o.key[:]...))
	return Fingerprint(h[:20])
}

var fingerprintEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

func (f Fingerprint) String() string {
	s := strings.ToLower(fingerprintEncoding.EncodeToString(f[:]))
	groups := make([]string, 0, 8)
	for ; len(s) > 0; s = s[4:] {
		groups = append(groups, s[:4])
	}
	return strings.Join(groups, "-")
}

// ParseFingerprint reads a fingerprint as a person may type it: any case, with
// spaces, dashes or nothing between the groups.
func ParseFingerprint(s string) (Fingerprint, error) {
	compact := strings.NewReplacer("-", "", " ", "").Replace(s)
	b, err := fingerprintEncoding.DecodeString(strings.ToUpper(compact))
	if err != nil || len(b) != len(Fingerprint{}) {
		return Fingerprint{}, Errorf(Invalid, "not a fingerprint: %q", Printable(s, 80))
	}
	return Fingerprint(b), nil
}
