package crypto

import (
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"golang.org/x/crypto/sha3"

	"dxd/record"
)

const (
	// dynamicFeeType begins a transaction of EIP-1559 (EIP-2718's envelope).
	dynamicFeeType = 0x02
	// dynamicFeeItems is how many items such a transaction has before it is
	// signed; a signed one has three more.
	dynamicFeeItems = 9
)

// AccountSigner signs for one account of the keyring, whichever is in use.
type AccountSigner struct {
	hidden
	account record.Account
	key     func() *secp256k1.PrivateKey
}

// AccountSigners gives a signer for each account, the one in use first.
func (k *Keyring) AccountSigners() []*AccountSigner {
	var all []*AccountSigner
	for _, key := range k.secrets().accounts {
		all = append(all, &AccountSigner{account: accountOf(key), key: func() *secp256k1.PrivateKey { return key }})
	}
	return all
}

// Account is the account that is signed for.
func (s *AccountSigner) Account() record.Account { return s.account }

// SignTransaction is that of Keyring, for this account.
func (s *AccountSigner) SignTransaction(unsigned []byte) ([65]byte, error) {
	return signTransaction(s.key(), unsigned)
}

// SignTransaction signs an unsigned Ethereum transaction of EIP-1559 (0x02 ‖
// RLP list of nine items) with the account in use, and returns r ‖ s ‖ v with
// v 0 or 1. It computes the hash itself and refuses whatever does not have
// that form, so that it can't be made to sign a message, a hash, or a
// transaction that is valid on every chain.
func (k *Keyring) SignTransaction(unsigned []byte) ([65]byte, error) {
	return signTransaction(k.secrets().accounts[0], unsigned)
}

func signTransaction(key *secp256k1.PrivateKey, unsigned []byte) ([65]byte, error) {
	if len(unsigned) == 0 || unsigned[0] != dynamicFeeType {
		return [65]byte{}, record.Errorf(record.Refused, "only transactions of EIP-1559 get signed")
	}
	items, ok := countItems(unsigned[1:])
	if !ok || items != dynamicFeeItems {
		return [65]byte{}, record.Errorf(record.Refused, "not an unsigned transaction of EIP-1559")
	}
	h := sha3.NewLegacyKeccak256()
	h.Write(unsigned)
	return signHash(key, [32]byte(h.Sum(nil)))
}

// countItems tells how many items an RLP list has that fills b exactly.
func countItems(b []byte) (items int, ok bool) {
	if len(b) == 0 || b[0] < 0xc0 {
		return 0, false
	}
	head, size, ok := rlpItem(b)
	if !ok || head+size != len(b) {
		return 0, false
	}
	for b = b[head:]; len(b) > 0; items++ {
		head, size, ok := rlpItem(b)
		if !ok {
			return 0, false
		}
		b = b[head+size:]
	}
	return items, true
}

// rlpItem gives the lengths of an item's prefix and content, if b holds both.
func rlpItem(b []byte) (head, size int, ok bool) {
	long := 0 // bytes that hold the length
	switch first := int(b[0]); {
	case first < 0x80: // a byte that is its own encoding
		return 0, 1, true
	case first < 0xb8:
		head, size = 1, first-0x80
	case first < 0xc0:
		long = first - 0xb7
	case first < 0xf8:
		head, size = 1, first-0xc0
	default:
		long = first - 0xf7
	}
	if long > 0 {
		if long > 4 || len(b) <= long { // no transaction has 4 GiB
			return 0, 0, false
		}
		for _, c := range b[1 : 1+long] {
			size = size<<8 | int(c)
		}
		head = 1 + long
	}
	return head, size, size <= len(b)-head
}
