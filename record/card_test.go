package record_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"math/big"
	"strings"
	"testing"

	"dxd/record"
)

func TestCard(t *testing.T) {
	accept(t, "card.json", cardOf("a"), record.OpenCard)
	accept(t, "card-b.json", cardOf("b"), record.OpenCard)
}

// quoted is a JSON list of n different keys, in hex.
func quotedKeys(n int) string {
	var keys []string
	for i := range n {
		keys = append(keys, publicOf(strings.Repeat("x", i+1)).String())
	}
	return `"` + strings.Join(keys, `","`) + `"`
}

func TestCardThatBreaksARuleIsRefused(t *testing.T) {
	card := cardOf("a")
	root, signing := publicOf("a root").String(), publicOf("a signing").String()
	node, account, recipient := nodeOf("a node").String(), accountOf("a account").String(), recipientOf("a")
	notCanonical := "ee" + strings.Repeat("ff", 30) + "7f" // y = p + 1
	cases := changed(t, card.Envelope, []change{
		{"another type", "calls itself", `vnd.dxd.card.`, `vnd.dxd.presence.`},
		{"a newer type", "calls itself", `card.v1+json`, `card.v2+json`},
		{"a card that names a card", "does not name its signer's card", `,"created"`, `,"card":"` + card.ID().String() + `","created"`},
		{"no nonce", "without signer or nonce", `"nonce":"` + record.Nonce(seed("a card")).String(), `"nonce":"` + strings.Repeat("0", 64)},
		{"a time before 1970", "created is -1", `"created":1790000000000`, `"created":-1`},
		{"a time of 2^53", "not between", `"created":1790000000000`, `"created":9007199254740992`},
		{"no name", "name is empty", `"name":"Ångström & Söhne"`, `"name":""`},
		{"a name of 129 bytes", "129 bytes long", `Ångström & Söhne`, strings.Repeat("n", 129)},
		{"a name with an escape sequence", "cannot be shown", `Ångström`, `\u001b[31m`},
		{"a name with a bidi override", "cannot be shown", `Ångström`, "\u202e"},
		{"serial 0", "serial is 0", `"serial":1`, `"serial":0`},
		{"serial 2 without predecessor", "all cards but the first", `"serial":1`, `"serial":2`},
		{"serial 1 with a predecessor", "all cards but the first", `"serial":1`, `"serial":1,"previous":"` + card.ID().String() + `"`},
		{"expired when made", "expires is", `"expires":1821536000000`, `"expires":1790000000000`},
		{"no signing key", "from 1 to 16 keys", `["` + signing + `"]`, `[]`},
		{"17 signing keys", "from 1 to 16 keys", `"` + signing + `"`, quotedKeys(17)},
		{"no node", "from 1 to 16 keys", `["` + node + `"]`, `[]`},
		{"no recipient", "from 1 to 16 keys", `["` + recipient + `"]`, `[]`},
		{"17 accounts", "at most 16 accounts", `"` + account + `"`, `"` + strings.Repeat(account+`","`, 16) + account + `"`},
		{"the root as signing key", "one key twice", signing, root},
		{"a node's key as signing key", "one key twice", signing, publicOf("a node").String()},
		{"one account twice", "one key twice", `"` + account + `"`, `"` + account + `","` + account + `"`},
		{"one recipient twice", "one key twice", `"` + recipient + `"`, `"` + recipient + `","` + recipient + `"`},
		{"a signing key of small order", "small order", signing, "01" + strings.Repeat("0", 62)},
		{"a signing key that is not canonical", "canonical", signing, notCanonical},
		{"a signing key in capitals", "lower-case hex", signing, strings.ToUpper(signing)},
		{"a signing key of 31 bytes", "lower-case hex", signing, signing[2:]},
		{"an account without 0x", "lower-case hex", `"` + account, `"` + account[2:]},
		{"an account in mixed case", "lower-case hex", account, "0x" + strings.ToUpper(account[2:])},
		{"a recipient without post-quantum key", "not a post-quantum", recipient, "age1" + recipient[7:60]},
		{"a recipient in capitals", "not a post-quantum", recipient, strings.ToUpper(recipient)},
		{"a recipient with a line break", "not a post-quantum", recipient, recipient + `\n`},
		{"a node that is no PeerID", "not a node's identifier", node, "Qm" + node[2:]},
	}, cardSigners("a")...)
	refuse(t, "card-refused.json", append(cases, badSignatures(t, card.Envelope)...), parsed(record.OpenCard))
}

// badSignatures are cards whose payload is right.
func badSignatures(t *testing.T, card record.Envelope) (out []refusal) {
	t.Helper()
	payloadType, payload := parts(card)
	right := cardSigners("a")
	root, signing, node, account := right[0], right[1], right[2], right[3]
	type sign = func([]byte) ([]byte, error)
	for _, c := range []struct {
		name, why string
		signers   []sign
	}{
		{"signed by another root", "not by the root key", []sign{signWith("b root"), signing, node, account}},
		{"no countersignature", "each key on it make 4", []sign{root}},
		{"no countersignature by the node", "each key on it make 4", []sign{root, signing, account}},
		{"no countersignature by the account", "each key on it make 4", []sign{root, signing, node}},
		{"a signature too many", "each key on it make 4", []sign{root, signing, node, account, root}},
		{"two countersignatures swapped", "not countersigned by its signing key", []sign{root, node, signing, account}},
		{"the root signs for the signing key", "not countersigned by its signing key", []sign{root, root, node, account}},
		{"countersigned by another node", "not countersigned by its node", []sign{root, signing, signWith("b node"), account}},
		{"countersigned by another account", "not countersigned by its account", []sign{root, signing, node, countersign("b account")}},
		{"an account's signature with the larger s", "not countersigned by its account", []sign{root, signing, node, edited(account, highS)}},
		{"an account's signature with v 0 or 1", "not countersigned by its account", []sign{root, signing, node, edited(account, func(s []byte) []byte { s[64] -= 27; return s })}},
		{"an account's signature with the other v", "not countersigned by its account", []sign{root, signing, node, edited(account, func(s []byte) []byte { s[64] ^= 7; return s })}},
		{"an account's signature without v", "not countersigned by its account", []sign{root, signing, node, edited(account, func(s []byte) []byte { return s[:64] })}},
		{"an account's signature of zeros", "not countersigned by its account", []sign{root, signing, node, edited(account, func(s []byte) []byte { return append(make([]byte, 64), 27) })}},
		{"an empty countersignature", "not countersigned by its node", []sign{root, signing, edited(node, func([]byte) []byte { return nil }), account}},
		{"an Ed25519 signature with s + L", "not by the root key", []sign{edited(root, sPlusL), signing, node, account}},
		{"a flipped bit in the root's signature", "not by the root key", []sign{edited(root, func(s []byte) []byte { s[5] ^= 4; return s }), signing, node, account}},
	} {
		out = append(out, refusal{c.name, c.why, forge(payloadType, payload, c.signers...)})
	}
	return out
}

// edited changes a signature after it was made.
func edited(sign func([]byte) ([]byte, error), edit func([]byte) []byte) func([]byte) ([]byte, error) {
	return func(pae []byte) ([]byte, error) {
		sig, err := sign(pae)
		return edit(sig), err
	}
}

// highS is the other signature that ECDSA holds for as good.
func highS(sig []byte) []byte {
	order, _ := new(big.Int).SetString("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16)
	new(big.Int).Sub(order, new(big.Int).SetBytes(sig[32:64])).FillBytes(sig[32:64])
	sig[64] ^= 7 // 27 and 28 change places
	return sig
}

// sPlusL is the signature that a careless verifier of Ed25519 takes, too.
func sPlusL(sig []byte) []byte {
	order, _ := hex.DecodeString("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
	carry := 0
	for i := range 32 {
		carry += int(sig[32+i]) + int(order[i])
		sig[32+i] = byte(carry)
		carry >>= 8
	}
	return sig
}

func TestCardOfSixteenKeysOfEachSortOpens(t *testing.T) {
	body := cardOf("a").Body
	body.SigningKeys, body.Nodes, body.Accounts = nil, nil, nil
	signers := []func([]byte) ([]byte, error){signWith("a root")}
	names := strings.Split("abcdefghijklmnop", "")
	for _, n := range names {
		body.SigningKeys = append(body.SigningKeys, publicOf("many signing "+n))
		signers = append(signers, signWith("many signing "+n))
	}
	for _, n := range names {
		body.Nodes = append(body.Nodes, nodeOf("many node "+n))
		signers = append(signers, signWith("many node "+n))
	}
	for _, n := range names {
		body.Accounts = append(body.Accounts, accountOf("many account "+n))
		signers = append(signers, countersign("many account "+n))
	}
	card, err := record.Sign(body, signers...)
	if err != nil {
		t.Fatal(err)
	}
	if err := parsed(record.OpenCard)(card.Bytes()); err != nil {
		t.Error(err)
	}
}

func TestRecordThatBreaksARuleIsNotSigned(t *testing.T) {
	body := cardOf("a").Body
	body.Serial = 0
	if s, err := record.Sign(body, cardSigners("a")...); record.KindOf(err) != record.Invalid || !s.IsZero() {
		t.Errorf("the error is %v", err)
	}
	if _, err := record.Sign(cardOf("a").Body); err == nil {
		t.Error("a card that nobody signs is made")
	}
	body = cardOf("a").Body
	body.Nodes = []record.NodeID{{}}
	if _, err := record.Sign(body, cardSigners("a")...); err == nil {
		t.Error("a card without a node's key is made")
	}
}

func TestKeysOfACardAreTheSameStringInEachRole(t *testing.T) {
	body := cardOf("a").Body
	p := publicOf("a signing")
	node, err := record.MakeNodeID(ed25519.PublicKey(p[:]))
	if err != nil {
		t.Fatal(err)
	}
	body.Nodes = []record.NodeID{node}
	if keys := body.Keys(); len(keys) != 5 || keys[1] != keys[2] {
		t.Errorf("the keys are %q", keys)
	}
}

func presenceOf(org string) record.Presence {
	return record.Presence{
		Header:    header[record.Presence](org, cardOf(org).ID(), org+" presence"),
		Node:      nodeOf(org + " node"),
		Addresses: []string{"/ip4/192.0.2.7/tcp/4001", "/dns/dxd.example/udp/4001/quic-v1"},
		Expires:   created + 3600*1000,
	}
}

func openPresence(e record.Envelope) (record.Signed[record.Presence], error) {
	return record.OpenPresence(e, cardOf("a"))
}

func TestPresence(t *testing.T) {
	s, err := record.Sign(presenceOf("a"), signWith("a node"))
	if err != nil {
		t.Fatal(err)
	}
	accept(t, "presence.json", s, openPresence)

	node := nodeOf("a node").String()
	cases := changed(t, s.Envelope, []change{
		{"of another organisation", "not of a node on this card", orgOf("a").String(), orgOf("b").String()},
		{"under another card", "not of a node on this card", cardOf("a").ID().String(), cardOf("b").ID().String()},
		{"of a node that is not on the card", "not of a node on this card", node, nodeOf("b node").String()},
		{"no card", "does not name its signer's card", `"card":"` + cardOf("a").ID().String() + `",`, ``},
		{"an address with a line break", "cannot be shown", `/ip4/192.0.2.7/tcp/4001`, `/ip4/192.0.2.7\n`},
		{"an empty address", "address is empty", `/ip4/192.0.2.7/tcp/4001`, ``},
		{"an address of 257 bytes", "257 bytes", `/ip4/192.0.2.7/tcp/4001`, strings.Repeat("a", 257)},
		{"17 addresses", "17 addresses", `"/ip4/192.0.2.7/tcp/4001",`, strings.Repeat(`"/ip4/192.0.2.7/tcp/4001",`, 16)},
		{"expired when made", "expires is", `"expires":1790003600000`, `"expires":1790000000000`},
	}, signWith("a node"))
	payloadType, payload := parts(s.Envelope)
	cases = append(cases,
		refusal{"signed by the root", "not signed by its node", forge(payloadType, payload, signWith("a root"))},
		refusal{"signed by a signing key", "not signed by its node", forge(payloadType, payload, signWith("a signing"))},
		refusal{"signed twice", "not signed by its node", forge(payloadType, payload, signWith("a node"), signWith("a node"))},
		refusal{"a card in its place", "was expected, not a card", cardOf("a").Bytes()},
	)
	refuse(t, "presence-refused.json", cases, parsed(openPresence))
}

func TestCardFile(t *testing.T) {
	presence, err := record.Sign(presenceOf("a"), signWith("a node"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := record.Sign(presenceOf("b"), signWith("b node"))
	if err != nil {
		t.Fatal(err)
	}
	file := func(presences ...record.Envelope) []byte {
		b, err := record.CardFile{Card: cardOf("a").Envelope, Presence: presences}.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	whole := file(presence.Envelope)
	proven := func(proof string) []byte {
		return bytes.Replace(whole, []byte("]}\n"), []byte(`],"proof":`+proof+"}\n"), 1)
	}
	golden(t, "card-file.json", whole)
	for name, data := range map[string][]byte{
		"as it is":               whole,
		"without its line break": bytes.TrimSpace(whole),
		"with a Windows one":     append(bytes.Clone(bytes.TrimSpace(whole)), "\r\n"...),
		"with no presence":       file(),
		"with sixteen presences": file(repeat(presence.Envelope, 16)...),
		"with a proof":           proven(`{"record":"x"}`),
	} {
		t.Run(name, func(t *testing.T) {
			f, err := record.OpenCardFile(data)
			if err != nil || f.Card.ID() != cardOf("a").ID() {
				t.Error(err)
			}
		})
	}
	refuse(t, "card-file-refused.json", []refusal{
		{"empty", "not a card file", nil},
		{"a card alone", "not a card file", cardOf("a").Bytes()},
		{"another's presence", "not of a node on this card", file(other.Envelope)},
		{"17 presences", "17 presences", file(repeat(presence.Envelope, 17)...)},
		{"an unknown member", "not a card file", bytes.Replace(whole, []byte(`"presence":`), []byte(`"more":1,"presence":`), 1)},
		{"a presence in the card's place", "a card was expected", bytes.Replace(whole, cardOf("a").Bytes(), presence.Bytes(), 1)},
		{"white space in it", "not a card file", bytes.Replace(whole, []byte(`,"presence":`), []byte(`, "presence":`), 1)},
		{"a proof that is null", "something else than a proof", proven(`null`)},
		{"a proof that is a list", "something else than a proof", proven(`[]`)},
		{"a proof that is too long", "something else than a proof", proven(`{"record":"` + strings.Repeat("x", 8<<10) + `"}`)},
		{"white space in the proof", "not a card file", proven(`{"record": "x"}`)},
		{"an escape too many in the proof", "not a card file", proven(`{"record":"\u0078"}`)},
		{"a member of the proof twice", "not a card file", proven(`{"record":"x","record":"x"}`)},
		{"two proofs", "not a card file", proven(`{},"proof":{}`)},
	}, func(input []byte) error {
		_, err := record.OpenCardFile(input)
		return err
	})
	if _, err := record.OpenCardFile(append(whole, make([]byte, record.MaxCardFile)...)); record.KindOf(err) != record.Invalid {
		t.Errorf("of a large file the error is %v", err)
	}
}

func repeat[T any](v T, n int) (out []T) {
	for range n {
		out = append(out, v)
	}
	return out
}
