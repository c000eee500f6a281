package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"dxd/hashanchor"
	"dxd/record"
)

const specData = "../../docs/spec/testdata/"

// specEvidence is the evidence file of the specification's worked example.
func specEvidence(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(specData + "evidence-" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// showText is what `dxd evidence show -` prints.
func showText(t *testing.T, data []byte, args ...string) (out, stderr string, code int) {
	var o, e bytes.Buffer
	code = run(append([]string{"evidence", "show", "-"}, args...), bytes.NewReader(data), &o, &e)
	return o.String(), e.String(), code
}

func TestEvidenceIsShownWithoutBeingBelieved(t *testing.T) {
	out, stderr, code := showText(t, specEvidence(t, "transfer"))
	if code != 0 || stderr != "" || !strings.HasPrefix(out, "Nothing here was checked: `dxd verify` does that.") {
		t.Fatalf("exit code %d, said %q, printed %q", code, stderr, out)
	}
	for _, want := range []string{
		"size    6896 bytes", "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824", "contract.txt", "item 0 of the 1",
		"Sender, as claimed\nname         Alpha", "Recipient, as claimed\nname         Beta", "oko7-aulq-7ggm-3fae-tz6x-4zlh-ick4-rzxw", "says     received",
		"application  8 bytes: order 17", "0 of a batch of 4", "the sender's\n", "the recipient's\n", "block     50 at 2026-09-21T14:14:20Z", "not before  block 40 of chain 1337",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not shown", want)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}

func TestShownEvidenceIsOneJSONObject(t *testing.T) {
	for _, name := range []string{"transfer", "notarization"} {
		out, _, code := showText(t, specEvidence(t, name), "--json")
		var c struct {
			Checked   *bool
			Record    struct{ Kind string }
			Recipient *struct{ Name string }
			Proofs    []struct{ Of string }
		}
		if err := json.Unmarshal([]byte(out), &c); err != nil || code != 0 {
			t.Fatalf("%s: exit code %d, %v", name, code, err)
		}
		if c.Checked == nil || *c.Checked || (c.Recipient == nil) != (name == "notarization") || c.Proofs[0].Of != "record" {
			t.Errorf("%s: %s", name, out)
		}
	}
}

// TestWhatCantBeReadOfEvidenceIsSaid changes the payloads of the records,
// whose envelopes stay well-formed: nobody checks their signatures here.
func TestWhatCantBeReadOfEvidenceIsSaid(t *testing.T) {
	data := specEvidence(t, "transfer")
	for _, payload := range []string{`{}`, "\x1b[2J", `{"name":"\u202e"}`, "{\"\u202e\":1}"} {
		changed := withPayloads(t, data, payload)
		out, stderr, code := showText(t, changed)
		if code != 0 || stderr != "" || strings.Count(out, "unreadable  not ") != 5 { // two cards, the manifest, two receipts
			t.Errorf("%q: exit code %d, said %q, printed %s", payload, code, stderr, out)
		}
		if strings.ContainsAny(out, "\x1b\u202e") {
			t.Errorf("%q reaches the terminal", payload)
		}
		if _, _, code := showText(t, changed, "--json"); code != 0 {
			t.Errorf("%q: exit code %d with --json", payload, code)
		}
	}
}

// withPayloads gives every record of the evidence this payload.
func withPayloads(t *testing.T, data []byte, payload string) []byte {
	e, err := hashanchor.ParseEvidence(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range append(append([]record.Envelope{e.Record}, e.Cards...), e.Receipts...) {
		data = withPayload(t, data, r, payload)
	}
	return data
}

// withPayload gives one of them another payload.
func withPayload(t *testing.T, data []byte, r record.Envelope, payload string) []byte {
	t.Helper()
	var envelope struct{ Payload string }
	if err := json.Unmarshal(r.Bytes(), &envelope); err != nil {
		t.Fatal(err)
	}
	return bytes.Replace(data, []byte(envelope.Payload), []byte(base64.StdEncoding.EncodeToString([]byte(payload))), 1)
}

func TestWhatIsNoEvidenceIsNotShown(t *testing.T) {
	data := specEvidence(t, "transfer")
	card, err := os.ReadFile(specData + "card.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"nothing": nil, "a text": []byte("\x1b[2Jhello"), "half of it": data[:len(data)/2], "a card": card,
		"too much": bytes.Repeat([]byte(" "), hashanchor.MaxEvidence+1), "more than any file": bytes.Repeat([]byte(" "), maxEvidence+1),
	} {
		out, stderr, code := showText(t, content)
		if code != 1 || out != "" || !strings.HasPrefix(stderr, "dxd: error: ") || strings.Contains(stderr, "\x1b") {
			t.Errorf("%s: exit code %d, printed %q, said %q", name, code, out, stderr)
		}
	}
}

// FuzzWhatIsShownOfEvidence wants an answer to any file, in text that does no
// more than show itself.
func FuzzWhatIsShownOfEvidence(f *testing.F) {
	for _, name := range []string{"evidence-transfer.json", "evidence-notarization.json", "card.json"} {
		data, err := os.ReadFile(specData + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		out, stderr, code := showText(t, data)
		if code != 0 && code != 1 || (code == 0) != (stderr == "") || (code == 0) != (out != "") {
			t.Errorf("exit code %d, printed %q, said %q", code, out, stderr)
		}
		for line := range strings.Lines(out + stderr) {
			if line = strings.TrimSuffix(line, "\n"); record.Printable(line, len(line)) != line {
				t.Errorf("%q reaches the terminal", line)
			}
		}
	})
}

// TestAnyEvidenceIsShown holds for all cases of the specification: whatever is
// evidence by its form is shown, whether it verifies or not.
func TestAnyEvidenceIsShown(t *testing.T) {
	data, err := os.ReadFile(specData + "evidence-cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct{ Name, Evidence, Check string }
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		_, stderr, code := showText(t, []byte(c.Evidence))
		if (code == 0) == (c.Check == "file") {
			t.Errorf("%s: exit code %d, said %q", c.Name, code, stderr)
		}
	}
}
