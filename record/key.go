package record

import (
	"crypto/ed25519"
	"encoding/hex"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"golang.org/x/crypto/sha3"
)

// The y coordinates, in RFC 8032's little-endian form with the sign bit
// cleared, of the eight points of small order. With such a key one signature
// can be valid for many messages.
var smallOrderY = map[string]bool{
	"0000000000000000000000000000000000000000000000000000000000000000": true, // order 4
	"0100000000000000000000000000000000000000000000000000000000000000": true, // order 1
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f": true, // order 2
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05": true, // order 8
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a": true, // order 8
}

// CheckPublicKey refuses Ed25519 keys that are not 32 bytes, not in the one
// canonical encoding (RFC 8032, section 5.1.3: y < p), or of small order.
func CheckPublicKey(key []byte) error {
	if len(key) != ed25519.PublicKeySize {
		return Errorf(Invalid, "an Ed25519 key has %d bytes, not %d", ed25519.PublicKeySize, len(key))
	}
	y := [32]byte(key)
	y[31] &= 0x7f
	if smallOrderY[hex.EncodeToString(y[:])] {
		return Errorf(Invalid, "an Ed25519 key of small order")
	}
	// p = 2^255 - 19: y >= p only if all upper bytes are ones and the lowest
	// byte is at least 0xed.
	canonical := y[0] < 0xed || y[31] != 0x7f
	for _, b := range y[1:31] {
		canonical = canonical || b != 0xff
	}
	if !canonical {
		return Errorf(Invalid, "an Ed25519 key that is not in canonical form")
	}
	return nil
}

// Check refuses keys that CheckPublicKey refuses.
func (k PublicKey) Check() error { return CheckPublicKey(k[:]) }

// accountSignatureSize is r ‖ s ‖ v with v 27 or 28.
const accountSignatureSize = 65

// AccountHash is what an account signs when it countersigns a card: the hash
// of EIP-191, version 0x45 ("personal message"), over the card's DSSE
// pre-authentication encoding, as any wallet computes it. No transaction
// begins with the byte 0x19, so the two can't be taken for each other.
func AccountHash(pae []byte) [32]byte {
	return keccak256([]byte("\x19Ethereum Signed Message:\n"+itoa(len(pae))), pae)
}

// keccak256 is the hash of the chain's world, older than SHA-3 and unlike it.
func keccak256(parts ...[]byte) [32]byte {
	h := sha3.NewLegacyKeccak256()
	for _, p := range parts {
		h.Write(p)
	}
	return [32]byte(h.Sum(nil))
}

// verifyAccount checks an account's signature (r ‖ s ‖ v) over the record.
// The larger of the two possible values of s is refused (EIP-2), so that there
// is one signature and not two.
func verifyAccount(account Account, pae, sig []byte) bool {
	if len(sig) != accountSignatureSize || sig[64] != 27 && sig[64] != 28 {
		return false
	}
	var s secp256k1.ModNScalar
	if s.SetByteSlice(sig[32:64]) || s.IsOverHalfOrder() {
		return false
	}
	hash := AccountHash(pae)
	compact := append([]byte{sig[64]}, sig[:64]...)
	key, _, err := ecdsa.RecoverCompact(compact, hash[:])
	return err == nil && AccountOf(key.SerializeUncompressed()) == account
}

// AccountOf is the address of an uncompressed secp256k1 key (0x04 ‖ x ‖ y):
// the last 20 bytes of Keccak-256 over x ‖ y.
func AccountOf(uncompressed []byte) Account {
	h := keccak256(uncompressed[1:])
	return Account(h[12:])
}
