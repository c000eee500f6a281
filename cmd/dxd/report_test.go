package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"dxd/hashanchor"
	"dxd/internal/config"
	"dxd/internal/daemon"
	"dxd/record"
)

// agreeable is a chain that has whatever it is asked for.
type agreeable struct{ beacon record.Beacon }

func (c agreeable) Lookup(_ context.Context, a hashanchor.Anchor) (hashanchor.Found, error) {
	return hashanchor.Found{Standing: hashanchor.Final, Block: a.Block, Time: a.Time, Head: a.Block + 100}, nil
}

func (c agreeable) Block(context.Context, int64) (record.Beacon, error) { return c.beacon, nil }

// specBeacon is the block that the worked example's records name.
func specBeacon(t *testing.T, evidence []byte) record.Beacon {
	e, err := hashanchor.ParseEvidence(evidence)
	if err != nil {
		t.Fatal(err)
	}
	if e.Record.Name() == "notarization" {
		n, err := record.Unverified[record.Notarization](e.Record)
		if err != nil {
			t.Fatal(err)
		}
		return n.Beacon
	}
	m, err := record.Unverified[record.Manifest](e.Record)
	if err != nil {
		t.Fatal(err)
	}
	return m.Beacon
}

// verification verifies an evidence file of the specification, as the command
// does, about a document of this text.
func verification(t *testing.T, name, text string, asked bool, known daemon.Known) verified {
	t.Helper()
	return verificationOf(t, specEvidence(t, name), text, asked, known)
}

func verificationOf(t *testing.T, evidence []byte, text string, asked bool, known daemon.Known) verified {
	t.Helper()
	o := hashanchor.Options{ChainID: known.ChainID, Cards: known.Cards, Sender: known.Sender, Recipient: known.Recipient}
	if asked {
		o.Chain = agreeable{specBeacon(t, evidence)}
		e, err := config.ParseEndpoint("https://rpc.example.com/v3/secret-key")
		if err != nil {
			t.Fatal(err)
		}
		known.RPC = []config.Endpoint{e}
	}
	digest := sha256.Sum256([]byte(text))
	report, err := hashanchor.Verify(t.Context(), hashanchor.Document{Digest: digest, Length: int64(len(text))}, evidence, o)
	if err != nil {
		t.Fatal(err)
	}
	c, err := claimsOf(evidence)
	if err != nil {
		t.Fatal(err)
	}
	return verified{report, known, input{"contract.txt", int64(len(text)), hex.EncodeToString(digest[:])}, inputOf("contract.evidence", evidence), c,
		time.Date(2026, 11, 28, 16, 0, 0, 0, time.UTC)}
}

// newest is the sender's card of the evidence once more, as a newer one would
// be given to --card.
func newest(t *testing.T) hashanchor.CardFile {
	t.Helper()
	e, err := hashanchor.ParseEvidence(specEvidence(t, "transfer"))
	if err != nil {
		t.Fatal(err)
	}
	card, err := record.OpenCard(e.Cards[0])
	if err != nil {
		t.Fatal(err)
	}
	return hashanchor.CardFile{OpenedCardFile: record.OpenedCardFile{Card: card}}
}

// revocation is a verification with newer cards, as the specification has it.
func revocation(t *testing.T, name string) verified {
	t.Helper()
	data, err := os.ReadFile(specData + "revocation-cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name, Evidence string
		Cards          []string
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		if c.Name != name {
			continue
		}
		card, err := hashanchor.OpenCardFile([]byte(c.Cards[0]))
		if err != nil {
			t.Fatal(err)
		}
		return verificationOf(t, []byte(c.Evidence), "hello", true, daemon.Known{Cards: []hashanchor.CardFile{card}})
	}
	t.Fatalf("the specification has no case %q", name)
	return verified{}
}

// askedTwice is a verification by one endpoint that was given under two paths.
func askedTwice(t *testing.T) verified {
	v := verification(t, "transfer", "hello", true, daemon.Known{})
	other, err := config.ParseEndpoint("https://rpc.example.com/v3/another-secret-key")
	if err != nil {
		t.Fatal(err)
	}
	v.known.RPC = append(v.known.RPC, other)
	return v
}

// forged is a verification of the transfer's evidence after a change.
func forged(t *testing.T, change func(e *hashanchor.Evidence) []byte) verified {
	t.Helper()
	e, err := hashanchor.ParseEvidence(specEvidence(t, "transfer"))
	if err != nil {
		t.Fatal(err)
	}
	return verificationOf(t, change(e), "hello", true, daemon.Known{})
}

// message is a verification of the second message of a bundle, which the
// recipient refused.
func message(t *testing.T) verified {
	v := verification(t, "transfer", "hello", true, daemon.Known{})
	v.claims.Opening.Kind, v.claims.Opening.Name, v.claims.Opening.Index, v.claims.Record.Items = "message", "", 1, 3
	v.claims.Receipts[1].Status, v.claims.Receipts[1].Reason, v.report.Receipt = "refused", "page 3 is missing", "refused"
	return v
}

// hostile is a verification of evidence whose texts want to be more than text.
func hostile(t *testing.T, text string) verified {
	v := verification(t, "transfer", "hello", true, daemon.Known{})
	v.report.Sender.Name, v.report.Recipient.Name = text, text
	v.claims.Opening.Name, v.claims.Opening.MediaType, v.claims.Receipts[1].Reason, v.claims.Receipts[1].Status = text, text, text, text
	v.document.Name, v.evidence.Name = text, text
	for i := range v.report.Checks {
		v.report.Checks[i].Detail, v.report.Checks[i].Mend = text, text
	}
	return v
}

func fingerprintOf(t *testing.T, s string) record.Fingerprint {
	f, err := record.ParseFingerprint(s)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

const alphaPrint, betaPrint = "oko7-aulq-7ggm-3fae-tz6x-4zlh-ick4-rzxw", "6rxl-n6y2-npmt-4kqo-2hhg-chyw-u27x-rowj"

// outcomes are verifications of each sort, and what their pages have to say.
func outcomes(t *testing.T) map[string]struct {
	v    verified
	says []string
} {
	all := daemon.Known{Sender: fingerprintOf(t, alphaPrint), Recipient: fingerprintOf(t, betaPrint), ChainID: 1337}
	broken := verification(t, "transfer", "hello", false, daemon.Known{})
	broken.report, broken.claims = hashanchor.Report{Checks: []hashanchor.Check{
		{Name: "file", Detail: "not an evidence file", Meaning: hashanchor.Meaning("file"), Mend: "take it again"}}}, nil
	return map[string]struct {
		v    verified
		says []string
	}{
		"valid": {verification(t, "transfer", "hello", true, all), []string{
			"✓ Valid", "The document in hand is, to the last byte, the one that “Alpha” signed for “Beta”.",
			"It was signed between 21 September 2026, 14:14:10 UTC and 21 September 2026, 14:14:20 UTC.", "“Beta” confirmed that it received and accepted it.",
			"Confirmed: whoever had this page made named this very fingerprint.", "A single source could lie", "the chain with the number 1337",
			"dxd verify DOCUMENT EVIDENCE --rpc URL --sender " + alphaPrint + " --recipient " + betaPrint + " --chain 1337", "5 bytes, of the type text/plain",
			"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824", "40772b6a3f038a5ca0a575a577d2662df4da971ef9680db6c739f9e9c96ef99e",
			"of contract.txt with contract.evidence, made on 28 November 2026, 16:00:00 UTC with dxd", "https://rpc.example.com", "That the keys had not been withdrawn by then.", "docs/spec/evidence.md", "– not made state-proof",
		}},
		"claimed": {verification(t, "transfer", "hello", true, daemon.Known{}), []string{
			"Both names are only claimed until", "– not compared", compareByVoice, alphaPrint, betaPrint, "Decide whether the chain that the file names is one that counts.",
			"– not made sender: whether the sender is the organisation", "– one source",
		}},
		"undecided": {verification(t, "transfer", "hello", false, all), []string{
			"? Not decided", "What is not shown is when it was signed: no chain was asked whether the root stands in block 50 of chain 1337.",
			"What can be done: ask a chain", "no one was asked", "? not known", "Not later than not shown",
		}},
		"invalid": {verification(t, "transfer", "jello", true, all), []string{
			"✗ Not valid", "What is wrong: the document has the SHA-256", "This was to find out whether the document in hand is, to the last byte,", "Who can mend it: look for the file that was sent", "What the file claims",
			"nothing in this table is to be relied on", "✗ fails", "A check failed before the chain's turn came.",
		}},
		"another sender": {verification(t, "transfer", "hello", true, daemon.Known{Sender: fingerprintOf(t, betaPrint)}), []string{
			"✗ Not valid", "✗ differs", "the sender is " + alphaPrint + ", not " + betaPrint,
		}},
		"asked twice": {askedTwice(t), []string{"✓ Valid", "– one source https://rpc.example.com A single source could lie"}},
		"forged answer": {forged(t, func(e *hashanchor.Evidence) []byte {
			e.Receipts[1] = e.Receipts[0]
			data, err := e.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			return data
		}), []string{"✗ Not valid", "Recipient's answer received Nothing shows that the recipient signed this: the check of it failed."}},
		"unreadable answer": {forged(t, func(e *hashanchor.Evidence) []byte {
			return withPayload(t, specEvidence(t, "transfer"), e.Receipts[1], `{}`)
		}), []string{"✗ Not valid", "Recipient's answer can't be read What stands in its place in the file is no receipt."}},
		"notarisation": {verification(t, "notarization", "hello", true, daemon.Known{}), []string{
			"✓ Valid", "the one that “Alpha” signed. It was signed not later than", "Not earlier than not known", "The signer's name is only claimed until", "Sent to nobody", "Notarised document contract.txt",
		}},
		"message": {message(t), []string{
			"The message in hand", "a message, which has no name", "item 1 of 3, counted from 0", "“Beta” confirmed that it received it, and refused it.", "Reason given: page 3 is missing",
		}},
		"newer card": {verification(t, "transfer", "hello", true, daemon.Known{Cards: []hashanchor.CardFile{newest(t)}}), []string{
			"✓ Valid", "Withdrawn keys ✓ agrees", alphaPrint + ": card 1", "withdraw no key from before it signed", "--rpc URL --card CARD",
		}},
		"newer card without an anchor": {revocation(t, "a newer card without an anchor revokes nothing"), []string{
			"✓ Valid", "Withdrawn keys – not counted", "card 2 revocation is known up to serial 1 of the sender", "revokes nothing: its file has no proof that it is anchored.",
		}},
		"no evidence": {broken, []string{"✗ Not valid", "What is wrong: not an evidence file.", "Who can mend it: take it again."}},
	}
}

// render makes the page and its text alone.
func render(t *testing.T, v verified) (page, text string) {
	t.Helper()
	data, err := renderReport(v)
	if err != nil {
		t.Fatal(err)
	}
	page = string(data)
	text = page[strings.Index(page, "<body"):]
	text = regexp.MustCompile(`</(p|td|th|tr|li|h1|h2)>|<span class="(note|code)">`).ReplaceAllString(text, " ")
	text = regexp.MustCompile(`<[^>]*>`).ReplaceAllString(text, "")
	text = strings.NewReplacer("&#39;", "'", "&#34;", `"`, "&lt;", "<", "&gt;", ">", "&#43;", "+", "&amp;", "&").Replace(text)
	return page, strings.Join(strings.Fields(text), " ")
}

func TestThePageSaysInWordsWhatTheReportComesTo(t *testing.T) {
	for name, tt := range outcomes(t) {
		_, text := render(t, tt.v)
		for _, want := range tt.says {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q is not on the page", name, want)
			}
		}
		for _, c := range tt.v.report.Checks {
			if !strings.Contains(text, c.Name+": "+c.Meaning) || !strings.Contains(text, "Found: "+c.Detail) {
				t.Errorf("%s: the check %s is not on the page", name, c.Name)
			}
		}
		if strings.Contains(text, "secret-key") || strings.Contains(text, "<no value>") || strings.Contains(text, "..") {
			t.Errorf("%s: the page holds what it must not", name)
		}
		if t.Failed() {
			t.Log(name, text)
		}
	}
}

// allowed are all the tags of the page.
var allowed = regexp.MustCompile(`</?(html|head|meta|title|style|body|header|main|footer|section|h1|h2|p|strong|bdi|span|code|pre|table|thead|tbody|tr|th|td|ul|ol|li)( (charset|name|content|http-equiv|lang|class|scope)="[^"<>]*")*>|<!DOCTYPE html>`)

func TestAnOptionOnThePageIsNotBrokenBehindItsHyphens(t *testing.T) {
	page, _ := render(t, verification(t, "transfer", "hello", false, daemon.Known{}))
	if n := strings.Count(page, "or, of a file with a state proof, whoever knows the block&#39;s hash: <code>--block-hash</code>."); n != 2 {
		t.Errorf("--block-hash stands as code %d times, not in the verdict and in the list of checks", n)
	}
	if loose := regexp.MustCompile(`[^>{(]--[a-z]+[^;:a-z]`).FindAllString(page[strings.Index(page, "<body"):strings.Index(page, "How to check it again</h2>")], -1); len(loose) > 0 {
		t.Errorf("as text stand %q", loose)
	}
}

func TestThePageRunsNothingAndFetchesNothing(t *testing.T) {
	for name, tt := range outcomes(t) {
		page, _ := render(t, tt.v)
		if rest := allowed.ReplaceAllString(page, ""); strings.ContainsAny(rest, "<>") {
			t.Errorf("%s: a tag that is not one of the page's: %q", name, rest[strings.IndexAny(rest, "<>"):])
		}
		if regexp.MustCompile(`(?i)url\(|@import|javascript:|\b(src|href|action|on[a-z]+)=`).MatchString(page) {
			t.Errorf("%s: the page refers to something outside", name)
		}
		if !strings.Contains(page, `content="default-src 'none'; style-src 'unsafe-inline'"`) {
			t.Errorf("%s: the page does not forbid to fetch", name)
		}
	}
}

func TestNoTextBreaksOutOfThePage(t *testing.T) {
	want, _ := render(t, hostile(t, "x"))
	shape := func(page string) string { return strings.Join(allowed.FindAllString(page, -1), "\n") }
	for _, text := range []string{
		"<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, "</title></style></bdi><h1>Valid", "{{.Verdict}}", "<!--", "]]>", "javascript:alert(1)",
		"&#8238;&lt;script&gt;", "\u202egnp.exe", "\x1b[2J\x00", "a\nb\r\n", strings.Repeat("Ä", 300), strings.Repeat("\u200f", 300), "\xff\xfe", "</p>\u2028<p>",
	} {
		page, _ := render(t, hostile(t, text))
		if shape(page) != shape(want) {
			t.Errorf("%q changes the tags of the page", text)
		}
		if rest := allowed.ReplaceAllString(page, ""); strings.ContainsAny(rest, "<>") {
			t.Errorf("%q brings a tag along", text)
		}
		if i := strings.IndexFunc(strings.ReplaceAll(page, "\n", ""), func(r rune) bool { return record.Printable(string(r), 1) != string(r) }); i >= 0 {
			t.Errorf("%q brings a character that does more than show itself", text)
		}
	}
}

func TestThePageIsWrittenWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "page.html")
	v := verification(t, "transfer", "hello", true, daemon.Known{})
	for range 2 { // one that is there is replaced
		if err := writeReport(path, v); err != nil {
			t.Fatal(err)
		}
	}
	want, _ := render(t, v)
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%d bytes of %d, error %v", len(got), len(want), err)
	}
	if err := writeReport(filepath.Join(dir, "no", "such", "page.html"), v); err == nil {
		t.Error("a page was written into a folder that is not there")
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
		t.Errorf("left behind: %v, error %v", names, err)
	}
}

func TestThePageTakesThePlaceOfNothingThatWasVerified(t *testing.T) {
	dir := t.TempDir()
	for _, flag := range []string{"--card", "--sender", "--recipient"} {
		card := filepath.Join(dir, "a.card")
		if err := os.WriteFile(card, []byte("a card"), 0o600); err != nil {
			t.Fatal(err)
		}
		var out, stderr bytes.Buffer
		code := run([]string{"verify", "-", specData + "evidence-transfer.json", flag, card, "--report", card}, strings.NewReader("hello"), &out, &stderr)
		if code != exitUsage || !strings.Contains(stderr.String(), "would replace") {
			t.Errorf("%s: exit code %d, %s", flag, code, stderr.String())
		}
	}
}

// TestVerifyWritesThePageWhateverTheOutcome runs the command itself. The
// specification's evidence names another contract than the genuine one, so it
// can't be valid here.
func TestVerifyWritesThePageWhateverTheOutcome(t *testing.T) {
	dir := t.TempDir()
	document, page := filepath.Join(dir, "d.txt"), filepath.Join(dir, "page.html")
	if err := os.WriteFile(document, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name     string
		evidence string
		page     string
		code     int
		written  bool
	}{
		{"evidence that does not hold", specData + "evidence-transfer.json", page, 3, true},
		{"no evidence", document, page, 3, true},
		{"standard output", specData + "evidence-transfer.json", "-", exitUsage, false},
		{"the document's place", specData + "evidence-transfer.json", document, exitUsage, false},
		{"a folder's place", specData + "evidence-transfer.json", dir, 1, false},
		{"a folder that is not there", specData + "evidence-transfer.json", filepath.Join(dir, "no", "such", "page.html"), 1, false},
	} {
		if err := os.RemoveAll(page); err != nil {
			t.Fatal(err)
		}
		var out, stderr bytes.Buffer
		code := run([]string{"verify", document, tt.evidence, "--report", tt.page}, strings.NewReader(""), &out, &stderr)
		got, err := os.ReadFile(page)
		if code != tt.code || (err == nil) != tt.written {
			t.Errorf("%s: exit code %d, %v, said %q", tt.name, code, err, stderr.String())
		}
		if tt.written && !strings.Contains(string(got), "Not valid") {
			t.Errorf("%s: the page is %q", tt.name, got)
		}
	}
	if got, err := os.ReadFile(document); err != nil || string(got) != "hello" {
		t.Errorf("the document is %q, error %v", got, err)
	}
}
