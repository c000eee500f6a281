package record_test

import (
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"os"
	"slices"
	"testing"

	"dxd/record"
)

// edgeCase is a signature on which implementations of Ed25519 disagree. All
// satisfy one of the two verification equations of RFC 8032, section 5.1.7.
//
// testdata/ed25519-edge-cases.json holds the first of each combination of key
// and flags of the vectors at filippo.io/mostly-harmless/ed25519vectors.
type edgeCase struct {
	A, R, S, M string
	Flags      []string
}

func TestSignaturesOnWhichImplementationsDisagreeAreRefused(t *testing.T) {
	data, err := os.ReadFile("testdata/ed25519-edge-cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []edgeCase
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	accepted := 0
	for i, c := range cases {
		has := func(flag string) bool { return slices.Contains(c.Flags, flag) }
		key, sig := unhex(t, c.A), append(unhex(t, c.R), unhex(t, c.S)...)
		if refused := record.CheckPublicKey(key) != nil; refused != (has("LowOrderA") || has("NonCanonicalA")) {
			t.Errorf("case %d, %v: the key is refused: %v", i, c.Flags, refused)
		}
		// The cofactor is not multiplied away, and R is compared as it is encoded.
		want := !has("LowOrderA") && !has("NonCanonicalA") && !has("LowOrderResidue") && !has("NonCanonicalR")
		got := record.CheckPublicKey(key) == nil && ed25519.Verify(key, []byte(c.M), sig)
		if got != want {
			t.Errorf("case %d, %v: accepted: %v", i, c.Flags, got)
		}
		if got {
			accepted++
		}
	}
	if len(cases) < 100 || accepted == 0 || accepted == len(cases) {
		t.Errorf("of %d cases %d were accepted: too few to mean anything", len(cases), accepted)
	}
	t.Logf("%d cases, %d accepted", len(cases), accepted)
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func parseHashes(t *testing.T, all ...string) (hashes []record.Hash) {
	t.Helper()
	for _, s := range all {
		hashes = append(hashes, record.Hash(unhex(t, s)))
	}
	return hashes
}

// TestPublishedPathsLeadToThePublishedRoots tries the inclusion proofs that
// Certificate Transparency's implementations share, over the eight inputs of
// TestRootsAreThoseOfRFC6962.
func TestPublishedPathsLeadToThePublishedRoots(t *testing.T) {
	leaves := map[int64]string{0: "", 1: "00", 2: "10", 5: "40414243"}
	for _, c := range []struct {
		index, size int64
		root        string
		path        []string
	}{
		{0, 1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d", nil},
		{0, 8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328", []string{
			"96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
			"5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
			"6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"}},
		{5, 8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328", []string{
			"bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
			"ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
			"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"}},
		{2, 3, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77", []string{
			"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"}},
		{1, 5, "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4", []string{
			"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
			"5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
			"bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"}},
	} {
		leaf, path := record.LeafHash(unhex(t, leaves[c.index])), parseHashes(t, c.path...)
		root, err := record.RootFromPath(c.index, c.size, leaf, path)
		if err != nil || root != record.Hash(unhex(t, c.root)) {
			t.Errorf("leaf %d of %d leads to %s, %v", c.index, c.size, root, err)
		}
	}
}

// groupOrder is that of Ed25519's base point (RFC 8032, section 5.1).
const groupOrder = "7237005577332262213973186563042994240857116359379907606001950938285454250989"

// A leaf holds the signature, so a record whose signature could be written in
// another way would have more leaves than one. RFC 8032, section 5.1.7, wants S
// below the order of the group; some implementations took any S.
func TestASignatureWithAnotherFormOfSIsRefused(t *testing.T) {
	payloadType, payload := parts(manifestOf(t).Envelope)
	order, ok := new(big.Int).SetString(groupOrder, 10)
	if !ok {
		t.Fatal("no number")
	}
	raised := func(times int64) []byte {
		return forge(payloadType, payload, func(pae []byte) ([]byte, error) {
			sig, err := signWith("a signing")(pae)
			slices.Reverse(sig[32:]) // S is little-endian
			s := new(big.Int).SetBytes(sig[32:])
			s.Add(s, new(big.Int).Mul(order, big.NewInt(times))).FillBytes(sig[32:])
			slices.Reverse(sig[32:])
			return sig, err
		})
	}
	for times := range int64(15) { // as often as it fits into 32 bytes
		e, err := record.ParseEnvelope(raised(times))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := record.OpenManifest(e, cardOf("a")); (err == nil) != (times == 0) {
			t.Errorf("with %d times the order added: %v", times, err)
		}
	}
}
