package crypto_test

import (
	"bytes"
	"strings"
	"testing"

	"filippo.io/age"

	"dxd/crypto"
	"dxd/record"
)

func TestHeaderOpensForItsRecipientOnly(t *testing.T) {
	k, other := generate(t), generate(t)
	key, body := sealed(t, []byte("x"))
	header, err := crypto.SealHeader(key, k.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	again, err := k.OpenHeader(header)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := crypto.OpenBodyAt(again, bytes.NewReader(body), int64(len(body))); err != nil {
		t.Error(err)
	}
	if key, err := other.OpenHeader(header); record.KindOf(err) != record.Refused || !key.IsZero() {
		t.Errorf("for another the error is %v", err)
	}
}

func TestHeaderOfAnotherPayloadGivesAnotherKey(t *testing.T) {
	k := generate(t)
	_, body := sealed(t, []byte("x"))
	otherKey, _ := sealed(t, []byte("y"))
	header, err := crypto.SealHeader(otherKey, k.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	key, err := k.OpenHeader(header)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := crypto.OpenBodyAt(key, bytes.NewReader(body), int64(len(body))); record.KindOf(err) != record.Damaged {
		t.Errorf("the error is %v", err)
	}
}

func TestChangedHeaderIsRefused(t *testing.T) {
	k := generate(t)
	key, _ := sealed(t, nil)
	header, err := crypto.SealHeader(key, k.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	// Every byte, though not with every bit: that a key exchange takes place
	// for each makes it slow.
	for i := range header {
		bad := bytes.Clone(header)
		bad[i] ^= 1
		if _, err := k.OpenHeader(bad); record.KindOf(err) != record.Invalid && record.KindOf(err) != record.Refused {
			t.Fatalf("with byte %d changed the error is %v", i, err)
		}
	}
	for name, bad := range map[string][]byte{
		"empty":                {},
		"cut":                  header[:len(header)-1],
		"a byte behind it":     append(bytes.Clone(header), 0),
		"a second one":         append(bytes.Clone(header), header...),
		"CRLF":                 bytes.ReplaceAll(header, []byte("\n"), []byte("\r\n")),
		"the MAC alone":        header[bytes.LastIndex(header, []byte("---")):],
		"larger than allowed":  bytes.Repeat(header, 3),
		"a stanza taken out":   append([]byte("age-encryption.org/v1\n"), header[bytes.LastIndex(header, []byte("---")):]...),
		"a stanza twice":       bytes.Replace(header, []byte("---"), append(header[bytes.Index(header, []byte("->")):bytes.LastIndex(header, []byte("---"))], "---"...), 1),
		"a newer version":      bytes.Replace(header, []byte("/v1\n"), []byte("/v2\n"), 1),
		"an age file in armor": []byte("-----BEGIN AGE ENCRYPTED FILE-----\n"),
	} {
		if key, err := k.OpenHeader(bad); record.KindOf(err) != record.Invalid || !key.IsZero() {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
}

func TestTwoHeadersForOneRecipientHaveNothingInCommon(t *testing.T) {
	k := generate(t)
	key, _ := sealed(t, nil)
	a, errA := crypto.SealHeader(key, k.Recipient())
	b, errB := crypto.SealHeader(key, k.Recipient())
	if errA != nil || errB != nil || bytes.Equal(a, b) {
		t.Errorf("%v, %v, equal: %v", errA, errB, bytes.Equal(a, b))
	}
	if len(a) != len(b) {
		t.Error("headers differ in length")
	}
}

func TestOnlyPostQuantumRecipientsAreRecipients(t *testing.T) {
	classic, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	good := generate(t).Recipient()
	if err := crypto.CheckRecipient(good); err != nil {
		t.Error(err)
	}
	key, _ := sealed(t, nil)
	for name, s := range map[string]string{
		"empty":                   "",
		"a classic recipient":     classic.Recipient().String(),
		"an SSH key":              "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl",
		"in capitals":             strings.ToUpper(good),
		"a letter changed":        good[:100] + flipLetter(good[100]) + good[101:],
		"cut":                     good[:len(good)-1],
		"a letter too many":       good + "q",
		"a space behind it":       good + " ",
		"a secret key":            "AGE-SECRET-KEY-PQ-1HZLGZUPT4ETPKDEV8HSGFDCYZ4E522W0A7PU2LHT8EH9W6YLNC3SW78XKG",
		"a recipient of a plugin": "age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t",
	} {
		if err := crypto.CheckRecipient(s); record.KindOf(err) != record.Invalid {
			t.Errorf("%s: the error is %v", name, err)
		}
		if _, err := crypto.SealHeader(key, s); record.KindOf(err) != record.Invalid {
			t.Errorf("%s: sealing, the error is %v", name, err)
		}
	}
}

func TestKeyThatWasNeverSetSealsAndOpensNothing(t *testing.T) {
	var none crypto.FileKey
	if _, err := crypto.SealHeader(none, generate(t).Recipient()); err == nil {
		t.Error("a header is sealed")
	}
	if _, err := crypto.OpenBody(none, bytes.NewReader(nil)); err == nil {
		t.Error("a body is opened")
	}
	if _, _, err := crypto.OpenBodyAt(none, bytes.NewReader(nil), 32); err == nil {
		t.Error("a body is opened at any place")
	}
}

func flipLetter(c byte) string {
	if c == 'q' {
		return "p"
	}
	return "q"
}
