package record

import (
	"encoding/hex"
	"strings"
)

// Binary values inside records are lower-case hexadecimal, those of the chain
// with 0x in front, as every tool of that world prints them.

// Hash is 32 bytes of the chain's world or of a Merkle tree: a root, a block's
// hash, a step of a path. Printed with 0x.
type Hash [32]byte

// Account is an address on an EVM chain. Printed in lower case with 0x.
type Account [20]byte

// Nonce is 32 random bytes.
type Nonce [32]byte

// Epoch names one unbroken count of numbers from one sender.
type Epoch [16]byte

// BodyNonce is the nonce with which the body of an age file begins.
type BodyNonce [16]byte

// PublicKey is an Ed25519 key that signs records.
type PublicKey [32]byte

func (h Hash) String() string      { return "0x" + hex.EncodeToString(h[:]) }
func (a Account) String() string   { return "0x" + hex.EncodeToString(a[:]) }
func (n Nonce) String() string     { return hex.EncodeToString(n[:]) }
func (e Epoch) String() string     { return hex.EncodeToString(e[:]) }
func (n BodyNonce) String() string { return hex.EncodeToString(n[:]) }
func (k PublicKey) String() string { return hex.EncodeToString(k[:]) }

// IsZero tells whether this is no hash.
func (h Hash) IsZero() bool { return h == Hash{} }

// IsZero tells whether this is no account.
func (a Account) IsZero() bool { return a == Account{} }

// IsZero tells whether this is no epoch.
func (e Epoch) IsZero() bool { return e == Epoch{} }

func (h Hash) MarshalText() ([]byte, error)      { return []byte(h.String()), nil }
func (a Account) MarshalText() ([]byte, error)   { return []byte(a.String()), nil }
func (n Nonce) MarshalText() ([]byte, error)     { return []byte(n.String()), nil }
func (e Epoch) MarshalText() ([]byte, error)     { return []byte(e.String()), nil }
func (n BodyNonce) MarshalText() ([]byte, error) { return []byte(n.String()), nil }
func (k PublicKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

func (h *Hash) UnmarshalText(text []byte) error {
	return unhex(h[:], "0x", text)
}
func (a *Account) UnmarshalText(text []byte) error {
	return unhex(a[:], "0x", text)
}
func (n *Nonce) UnmarshalText(text []byte) error     { return unhex(n[:], "", text) }
func (e *Epoch) UnmarshalText(text []byte) error     { return unhex(e[:], "", text) }
func (n *BodyNonce) UnmarshalText(text []byte) error { return unhex(n[:], "", text) }
func (k *PublicKey) UnmarshalText(text []byte) error { return unhex(k[:], "", text) }

// unhex fills dst from exactly as many lower-case digits behind the prefix.
func unhex(dst []byte, prefix string, text []byte) error {
	s, ok := strings.CutPrefix(string(text), prefix)
	if !ok || len(s) != hex.EncodedLen(len(dst)) || strings.ToLower(s) != s {
		return Errorf(Invalid, "not %d bytes in lower-case hex: %q", len(dst), Printable(string(text), 80))
	}
	raw, err := hex.DecodeString(s)
	if err != nil {
		return Errorf(Invalid, "not %d bytes in lower-case hex: %q", len(dst), Printable(s, 80))
	}
	copy(dst, raw)
	return nil
}

// ParseHash reads what String wrote, and nothing else.
func ParseHash(s string) (h Hash, err error) {
	err = h.UnmarshalText([]byte(s))
	return h, err
}

// ParseAccount reads an address as people paste it: in lower case, in upper
// case, or in the mixed case of EIP-55, whose checksum must then hold.
func ParseAccount(s string) (a Account, err error) {
	digits, prefixed := strings.CutPrefix(s, "0x")
	if err := a.UnmarshalText([]byte(strings.ToLower(s))); err != nil || !prefixed {
		return Account{}, Errorf(Invalid, "not an account's address: %q", Printable(s, 80))
	}
	if digits != strings.ToLower(digits) && digits != strings.ToUpper(digits) && digits != a.checksummed() {
		return Account{}, Errorf(Invalid, "the address %s is mistyped: its letters' case is a checksum (EIP-55), and it does not hold", s)
	}
	return a, nil
}

// checksummed is the address in EIP-55's mixed case, without 0x: a letter is a
// capital if the Keccak-256 of the lower-case digits has 8 or more there.
func (a Account) checksummed() string {
	digits := []byte(hex.EncodeToString(a[:]))
	hash := keccak256(digits)
	for i, c := range digits {
		if nibble := hash[i/2] >> (4 * (1 - i%2)) & 0xf; c >= 'a' && nibble >= 8 {
			digits[i] = c - 'a' + 'A'
		}
	}
	return string(digits)
}
