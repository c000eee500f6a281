package record_test

import (
	"crypto/ed25519"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"dxd/record"
)

func TestKeyThatIsNotOneIsRefused(t *testing.T) {
	zeros, ones := strings.Repeat("00", 30), strings.Repeat("ff", 30)
	var cases []refusal
	for _, c := range []struct{ name, why, key string }{
		{"y = 0, of order 4", "small order", "00" + zeros + "00"},
		{"y = 0 with the sign bit", "small order", "00" + zeros + "80"},
		{"y = 1, of order 1", "small order", "01" + zeros + "00"},
		{"y = 1 with the sign bit", "small order", "01" + zeros + "80"},
		{"y = -1, of order 2", "small order", "ec" + ones + "7f"},
		{"y = -1 with the sign bit", "small order", "ec" + ones + "ff"},
		{"a point of order 8", "small order", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"},
		{"its negative", "small order", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"},
		{"another point of order 8", "small order", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"},
		{"its negative too", "small order", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"},
		{"y = p", "canonical", "ed" + ones + "7f"},
		{"y = p with the sign bit", "canonical", "ed" + ones + "ff"},
		{"y = p + 1", "canonical", "ee" + ones + "7f"},
		{"y = 2^255 - 1", "canonical", "ff" + ones + "7f"},
		{"31 bytes", "has 32 bytes", "ed" + ones},
		{"33 bytes", "has 32 bytes", "ed" + ones + "0000"},
		{"nothing", "has 32 bytes", ""},
	} {
		raw, err := hex.DecodeString(c.key)
		if err != nil {
			t.Fatal(err)
		}
		cases = append(cases, refusal{c.name, c.why, raw})
	}
	refuse(t, "key-refused.json", cases, record.CheckPublicKey)
	for _, c := range cases {
		if _, err := record.MakeOrgID(c.Input); err == nil {
			t.Errorf("%s: it names an organisation", c.Name)
		}
		if _, err := record.MakeNodeID(c.Input); err == nil {
			t.Errorf("%s: it names a node", c.Name)
		}
	}
}

func TestKeyJustBelowTheLimitIsCanonical(t *testing.T) {
	key, err := hex.DecodeString("eb" + strings.Repeat("ff", 30) + "7f") // y = p - 2
	if err != nil {
		t.Fatal(err)
	}
	if err := record.CheckPublicKey(key); err != nil {
		t.Error(err)
	}
}

// With a key of small order, one signature holds for many messages: this is
// what the refusal is against.
func TestSignatureUnderAKeyOfSmallOrderHoldsForManyMessages(t *testing.T) {
	key := make([]byte, 32)
	key[0] = 1              // the neutral element
	sig := make([]byte, 64) // R the neutral element, s = 0
	sig[0] = 1
	if !ed25519.Verify(key, []byte("one"), sig) || !ed25519.Verify(key, []byte("two"), sig) {
		t.Error("crypto/ed25519 refuses it by itself: the reason given for our check is gone")
	}
	if err := record.CheckPublicKey(key); err == nil {
		t.Error("it is accepted")
	}
}

// The example that web3.js gives for eth.accounts.sign.
func TestAccountSignsAsWalletsDo(t *testing.T) {
	hash := record.AccountHash([]byte("Some data"))
	if got := hex.EncodeToString(hash[:]); got != "1da44b586eb0729ff70a73c326926f6ed5a25f5b056e7f47fbc6e58d86871655" {
		t.Errorf("the hash is %s", got)
	}
	sig, err := hex.DecodeString("1c" + "b91467e570a6466aa9e9876cbcd013baba02900b8979d43fe208a4a4f339f5fd" + "6007e74cd82e037b800186422fc2da167c747ef045e5d18a5f5d4300f8e1a029")
	if err != nil {
		t.Fatal(err)
	}
	key, _, err := ecdsa.RecoverCompact(sig, hash[:])
	if err != nil {
		t.Fatal(err)
	}
	if a := record.AccountOf(key.SerializeUncompressed()); a.String() != "0x2c7536e3605d9c16a7a3d7b1898e529396a65c23" {
		t.Errorf("the account is %s", a)
	}
}
