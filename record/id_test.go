package record_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"dxd/record"
)

// identifier is one of the golden file.
type identifier struct {
	Kind  string `json:"kind"`
	Bytes string `json:"bytes"` // in hex: the key, the hash, the UUID
	Text  string `json:"text"`
}

func TestIdentifiersHaveOneText(t *testing.T) {
	root, node := publicOf("a root"), publicOf("a node")
	digest, id := record.Digest(seed("document")), manifestOf(t).ID()
	transfer := openingOf("").Transfer
	fp := orgOf("a").Fingerprint()
	account, hash, epoch, nonce := accountOf("a account"), record.Hash(seed("block")), record.Epoch{1, 2}, record.BodyNonce{3, 4}
	list := []identifier{
		{"org", root.String(), orgOf("a").String()},
		{"node", node.String(), nodeOf("a node").String()},
		{"record", hex.EncodeToString(id[:]), id.String()},
		{"digest", digest.Hex(), digest.String()},
		{"transfer", hex.EncodeToString(transfer[:]), transfer.String()},
		{"fingerprint", hex.EncodeToString(fp[:]), fp.String()},
		{"account", hex.EncodeToString(account[:]), account.String()},
		{"hash", hex.EncodeToString(hash[:]), hash.String()},
		{"epoch", hex.EncodeToString(epoch[:]), epoch.String()},
		{"body-nonce", hex.EncodeToString(nonce[:]), nonce.String()},
		{"public-key", root.String(), root.String()},
	}
	b, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "identifiers.json", append(b, '\n'))
	for _, i := range list {
		if again, err := parseText(i.Kind, i.Text); err != nil || again != i.Text {
			t.Errorf("the %s %q reads as %q: %v", i.Kind, i.Text, again, err)
		}
	}
}

// parseText reads a text as an identifier and writes it again.
func parseText(kind, text string) (string, error) {
	switch kind {
	case "org":
		return again(record.ParseOrgID(text))
	case "node":
		return again(record.ParseNodeID(text))
	case "record":
		return again(record.ParseRecordID(text))
	case "digest":
		return again(record.ParseDigest(text))
	case "transfer":
		return again(record.ParseTransferID(text))
	case "fingerprint":
		return again(record.ParseFingerprint(text))
	case "account":
		return again(record.ParseAccount(text))
	case "hash":
		return again(record.ParseHash(text))
	case "epoch":
		return unmarshalled[record.Epoch](text)
	case "body-nonce":
		return unmarshalled[record.BodyNonce](text)
	case "public-key":
		return unmarshalled[record.PublicKey](text)
	}
	return "", fmt.Errorf("no identifier is called %q", kind)
}

func again[T fmt.Stringer](v T, err error) (string, error) {
	if err != nil {
		return "", err
	}
	return v.String(), nil
}

func unmarshalled[T any, P interface {
	*T
	UnmarshalText([]byte) error
	String() string
}](text string) (string, error) {
	v := P(new(T))
	if err := v.UnmarshalText([]byte(text)); err != nil {
		return "", err
	}
	return v.String(), nil
}

func TestOtherTextIsNoIdentifier(t *testing.T) {
	org, node := orgOf("a").String(), nodeOf("a node").String()
	digest, hash := record.Digest(seed("document")).String(), record.Hash(seed("block")).String()
	transfer := openingOf("").Transfer.String()
	var cases []refusal
	why := map[string]string{
		"org": "not an organisation's identifier", "node": "not a node's identifier", "record": "not a record's identifier",
		"digest": "not a digest", "transfer": "not a transfer's id", "fingerprint": "not a fingerprint",
		"account": "not an account's address", "hash": "not 32 bytes", "epoch": "not 16 bytes", "body-nonce": "not 16 bytes",
	}
	add := func(name, kind, text string) {
		cases = append(cases, refusal{kind + ": " + name, why[kind], []byte(kind + " " + text)})
	}
	for _, c := range []identifier{{"org", "", org}, {"node", "", node}, {"record", "", digest}, {"digest", "", digest}, {"transfer", "", transfer}, {"hash", "", hash}} {
		add("empty", c.Kind, "")
		add("a space behind it", c.Kind, c.Text+" ")
		add("a line break behind it", c.Kind, c.Text+"\n")
		add("cut short", c.Kind, c.Text[:len(c.Text)-1])
		add("in capitals", c.Kind, strings.ToUpper(c.Text))
		add("doubled", c.Kind, c.Text+c.Text)
	}
	add("a node", "org", node)
	add("a digest", "org", digest)
	add("in base58", "org", "z"+node)
	add("of a key of small order", "org", "bafzaajaiaejcaaiaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
	add("an organisation", "node", org)
	add("a CIDv0 of some hash", "node", "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG")
	add("an organisation", "digest", org)
	add("a CIDv0", "digest", "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG")
	add("of codec dag-pb", "digest", "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi")
	add("of version 4", "transfer", strings.Replace(transfer, "-7", "-4", 1))
	add("of another variant", "transfer", transfer[:19]+"c"+transfer[20:])
	add("without dashes", "transfer", strings.ReplaceAll(transfer, "-", ""))
	add("with dashes elsewhere", "transfer", "0"+transfer[:8]+transfer[9:])
	add("nil", "transfer", "00000000-0000-0000-0000-000000000000")
	add("without 0x", "hash", hash[2:])
	add("with 0X", "hash", "0X"+hash[2:])
	add("of 31 bytes", "hash", hash[:64])
	add("without 0x", "account", strings.Repeat("ab", 20))
	add("with 0X", "account", "0X"+strings.Repeat("ab", 20))
	add("of 19 bytes", "account", "0x"+strings.Repeat("ab", 19))
	add("too short", "fingerprint", "abcd-abcd")
	add("a digit that base32 lacks", "fingerprint", strings.Repeat("aaa1-", 7)+"aaaa")
	add("with 0x", "epoch", "0x"+strings.Repeat("ab", 16))
	add("in capitals", "body-nonce", strings.Repeat("AB", 16))
	refuse(t, "identifiers-refused.json", cases, func(input []byte) error {
		kind, text, _ := strings.Cut(string(input), " ")
		_, err := parseText(kind, text)
		return err
	})
}

func TestKeyCanBeReadBackFromAnIdentifier(t *testing.T) {
	if got := record.PublicKey(orgOf("a").Key()); got != publicOf("a root") {
		t.Errorf("the organisation's key is %s", got)
	}
	if got := record.PublicKey(nodeOf("a node").Key()); got != publicOf("a node") {
		t.Errorf("the node's key is %s", got)
	}
	if !strings.HasPrefix(nodeOf("a node").String(), "12D3KooW") {
		t.Errorf("%s does not look like a PeerID of an Ed25519 key", nodeOf("a node"))
	}
}

func TestFingerprintIsReadAsPeopleTypeIt(t *testing.T) {
	want := orgOf("a").Fingerprint()
	text := want.String()
	for _, typed := range []string{text, strings.ToUpper(text), strings.ReplaceAll(text, "-", ""), strings.ReplaceAll(text, "-", " "), " " + text} {
		if got, err := record.ParseFingerprint(typed); err != nil || got != want {
			t.Errorf("%q reads as %s: %v", typed, got, err)
		}
	}
	if orgOf("b").Fingerprint() == want {
		t.Error("two organisations have one fingerprint")
	}
}

func TestAccountIsReadInAnyCaseWhoseChecksumHolds(t *testing.T) {
	// The examples of EIP-55.
	for _, s := range []string{
		"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
		"0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
		"0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
		"0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
		"0x52908400098527886E0F7030069857D2E4169EE7",
		"0xde709f2102306220921060314715629080e2fb77",
	} {
		if a, err := record.ParseAccount(s); err != nil || a.String() != strings.ToLower(s) {
			t.Errorf("%s reads as %s: %v", s, a, err)
		}
	}
	for _, s := range []string{
		"0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", // one letter in the wrong case
		"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAee", // one digit wrong
	} {
		if a, err := record.ParseAccount(s); record.KindOf(err) != record.Invalid || !strings.Contains(err.Error(), "EIP-55") {
			t.Errorf("%s reads as %s: %v", s, a, err)
		}
	}
}
