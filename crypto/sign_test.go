package crypto_test

import (
	"bytes"
	"math/big"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"golang.org/x/crypto/sha3"

	"dxd/crypto"
	"dxd/record"
)

func signCard(t testing.TB, k *crypto.Keyring) record.Signed[record.Card] {
	t.Helper()
	card, err := k.SignCard(record.Card{Header: record.Header{Created: 1}, Name: "A", Serial: 1, Expires: 2})
	if err != nil {
		t.Fatal(err)
	}
	return card
}

func TestCardIsCountersignedByEveryKeyOnIt(t *testing.T) {
	k := generate(t)
	card := signCard(t, k)
	e, err := record.ParseEnvelope(card.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	opened, err := record.OpenCard(e)
	if err != nil {
		t.Fatal(err)
	}
	c := opened.Body
	if c.Org != k.Org() || c.Nodes[0] != k.Node() || c.Recipients[0] != k.Recipient() || c.Accounts[0] != k.Account() {
		t.Errorf("the card holds other keys than the keyring: %+v", c)
	}
	if err := crypto.CheckRecipient(c.Recipients[0]); err != nil {
		t.Error(err)
	}
}

func TestEveryRecordOpensWithTheCard(t *testing.T) {
	k, other := generate(t), generate(t)
	card := signCard(t, k)
	h := record.Header{Card: card.ID(), Created: 1}
	number := record.Number{Epoch: record.Epoch{1}, Lane: record.LaneDoc, Sequence: 1}
	id, root := record.RecordID{1}, record.Hash{1}

	for name, verify := range map[string]func() (record.Nonce, error){
		"presence": func() (record.Nonce, error) {
			s, err := k.SignPresence(record.Presence{Header: h, Addresses: []string{"/ip4/192.0.2.1/tcp/1"}, Expires: 2})
			return reopen(s, err, card, record.OpenPresence)
		},
		"manifest": func() (record.Nonce, error) {
			s, err := k.SignManifest(record.Manifest{Header: h, Recipient: other.Org(), RecipientCard: id, Number: number, Items: 1, Root: root, SealedLength: 32})
			return reopen(s, err, card, record.OpenManifest)
		},
		"receipt": func() (record.Nonce, error) {
			s, err := k.SignReceipt(record.Receipt{Header: h, Sender: other.Org(), Manifest: id, Entries: []record.Entry{{Status: record.StatusReceived}}})
			return reopen(s, err, card, record.OpenReceipt)
		},
		"void": func() (record.Nonce, error) {
			s, err := k.SignVoid(record.Void{Header: h, Recipient: other.Org(), Manifest: id, Number: number, Reason: record.VoidExpired})
			return reopen(s, err, card, record.OpenVoid)
		},
		"heads": func() (record.Nonce, error) {
			s, err := k.SignHeads(record.Heads{Header: h, Partner: other.Org()})
			return reopen(s, err, card, record.OpenHeads)
		},
		"erasure": func() (record.Nonce, error) {
			s, err := k.SignErasure(record.Erasure{Header: h, Asker: other.Org(), Manifest: id, Answer: record.AnswerErased})
			return reopen(s, err, card, record.OpenErasure)
		},
		"notarisation": func() (record.Nonce, error) {
			s, err := k.SignNotarization(record.Notarization{Header: h, Root: root})
			return reopen(s, err, card, record.OpenNotarization)
		},
	} {
		a, err := verify()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if b, _ := verify(); a == b {
			t.Errorf("%s: two records have one nonce", name)
		}
	}
}

// reopen takes a record through its bytes and verifies it.
func reopen[T record.Body](s record.Signed[T], err error, card record.Signed[record.Card],
	open func(record.Envelope, record.Signed[record.Card]) (record.Signed[T], error)) (record.Nonce, error) {
	if err != nil {
		return record.Nonce{}, err
	}
	e, err := record.ParseEnvelope(s.Bytes())
	if err != nil {
		return record.Nonce{}, err
	}
	if _, err := open(e, card); err != nil {
		return record.Nonce{}, err
	}
	var h struct{ record.Header }
	h.Header = headerOf(s.Body)
	return h.Nonce, nil
}

func headerOf(body any) record.Header {
	switch b := body.(type) {
	case record.Presence:
		return b.Header
	case record.Manifest:
		return b.Header
	case record.Receipt:
		return b.Header
	case record.Void:
		return b.Header
	case record.Heads:
		return b.Header
	case record.Erasure:
		return b.Header
	case record.Notarization:
		return b.Header
	}
	return record.Header{}
}

// transaction is an unsigned transaction of EIP-1559: chain 1337, nonce 5,
// fees, gas, a contract, no value, four bytes of data, no access list.
func transaction() []byte {
	items := []byte{0x82, 0x05, 0x39, 5, 1, 0x84, 0x3b, 0x9a, 0xca, 0, 0x82, 0xb4, 0xdc, 0x94}
	items = append(items, bytes.Repeat([]byte{0xab}, 20)...)
	items = append(items, 0x80, 0x84, 1, 2, 3, 4, 0xc0)
	return append([]byte{2, 0xc0 + byte(len(items))}, items...)
}

func TestTransactionIsSignedByTheAccount(t *testing.T) {
	k := generate(t)
	for range 20 { // both values of v come up
		tx := transaction()
		sig, err := k.SignTransaction(tx)
		if err != nil {
			t.Fatal(err)
		}
		h := sha3.NewLegacyKeccak256()
		h.Write(tx)
		key, _, err := ecdsa.RecoverCompact(append([]byte{27 + sig[64]}, sig[:64]...), h.Sum(nil))
		if err != nil || record.AccountOf(key.SerializeUncompressed()) != k.Account() {
			t.Errorf("the signature is not by the account: %v", err)
		}
		half, _ := new(big.Int).SetString("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0", 16)
		if new(big.Int).SetBytes(sig[32:64]).Cmp(half) > 0 {
			t.Error("the larger s was taken")
		}
		k = generate(t)
	}
}

func TestNothingButAnUnsignedTransactionIsSigned(t *testing.T) {
	k := generate(t)
	tx := transaction()
	legacy := tx[1:]
	longer := append(bytes.Clone(tx), 0)
	signed := bytes.Clone(tx)
	signed = append(signed, 0x80, 1, 1)
	signed[1] += 3
	eight := bytes.Clone(tx[:len(tx)-1])
	eight[1]--
	for name, data := range map[string][]byte{
		"nothing":                         nil,
		"a personal message (EIP-191)":    []byte("\x19Ethereum Signed Message:\n3abc"),
		"typed data (EIP-712)":            append([]byte("\x19\x01"), make([]byte, 64)...),
		"a legacy transaction":            legacy,
		"an access list (EIP-2930)":       append([]byte{1}, legacy...),
		"blobs (EIP-4844)":                append([]byte{3}, legacy...),
		"a delegation (EIP-7702)":         append([]byte{4}, legacy...),
		"a hash":                          append([]byte{2}, make([]byte, 31)...),
		"the type alone":                  {2},
		"a string instead of a list":      {2, 0x83, 1, 2, 3},
		"an empty list":                   {2, 0xc0},
		"a byte behind the list":          longer,
		"a list cut short":                tx[:len(tx)-1],
		"eight items":                     eight,
		"twelve items, as when signed":    signed,
		"an item longer than the list":    {2, 0xc9, 1, 1, 1, 1, 1, 1, 1, 1, 0xb7},
		"a length that is cut":            {2, 0xfa, 1},
		"a length of 2^64":                {2, 0xff, 255, 255, 255, 255, 255, 255, 255, 255, 0},
		"a length that would be negative": {2, 0xff, 128, 0, 0, 0, 0, 0, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if sig, err := k.SignTransaction(data); record.KindOf(err) != record.Refused || sig != [65]byte{} {
				t.Errorf("the error is %v", err)
			}
		})
	}
}
