package main

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"hash"
	"html/template"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"dxd/hashanchor"
	"dxd/internal/daemon"
	"dxd/record"
)

//go:embed report.html
var reportPage string

// verified is a verification and all that it was made of.
type verified struct {
	report   hashanchor.Report
	known    daemon.Known
	document input
	evidence input
	claims   *claims // nil if the file is no evidence
	at       time.Time
}

// input is a file that was verified.
type input struct {
	Name   string
	Size   int64
	SHA256 string
}

// tally counts and hashes what passes by.
type tally struct {
	hash hash.Hash
	size int64
}

func newTally() *tally { return &tally{hash: sha256.New()} }

func (t *tally) Write(p []byte) (int, error) {
	t.size += int64(len(p))
	return t.hash.Write(p)
}

func (t *tally) input(path string) input {
	name := filepath.Base(path) // the folders above are nobody's affair
	if path == "-" {
		name = "(standard input)"
	}
	return input{name, t.size, hex.EncodeToString(t.hash.Sum(nil))}
}

func inputOf(path string, content []byte) input {
	t := newTally()
	t.Write(content)
	return t.input(path)
}

// mayReport finds out before a long verification whether the page can be
// written, and keeps it from taking the place of what it is about.
func mayReport(path string, inputs ...string) error {
	if path == "-" {
		return usagef("--report needs a file: standard output has the verdict")
	}
	page, err := os.Stat(path)
	for _, in := range inputs {
		if info, inErr := os.Stat(in); err == nil && inErr == nil && os.SameFile(page, info) {
			return usagef("--report would replace %q, which is to be verified", path)
		}
	}
	return mayPlace(path, true)
}

// writeReport writes the page whole or not at all. One that is there is
// replaced, as evidence is.
func writeReport(path string, v verified) error {
	page, err := renderReport(v)
	if err != nil {
		return err
	}
	file, err := newOutput(path, true)
	if err != nil {
		return err
	}
	return file.fill(bytes.NewReader(page))
}

// renderReport makes the page. All of it is made printable in the end, not
// each of its texts: so none can be forgotten.
func renderReport(v verified) ([]byte, error) {
	t, err := template.New("report").Funcs(template.FuncMap{"pieces": pieces}).Parse(reportPage)
	if err != nil {
		return nil, record.Errorf(record.Internal, "couldn't read the page's template: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, newPage(v)); err != nil {
		return nil, record.Errorf(record.Internal, "couldn't write the page: %w", err)
	}
	var page strings.Builder
	for line := range strings.Lines(b.String()) {
		line = strings.TrimSuffix(line, "\n")
		page.WriteString(record.Printable(line, len(line)) + "\n")
	}
	return []byte(page.String()), nil
}

// piece is a part of a text: an option of the command line, or what is between.
type piece struct {
	Text   string
	Option bool
}

// pieces finds the options in a text, which a browser would break behind their
// first hyphen.
func pieces(text string) (all []piece) {
	for text != "" {
		at := optionPattern.FindStringIndex(text)
		if at == nil {
			return append(all, piece{text, false})
		}
		all = append(all, piece{text[:at[0]], false}, piece{text[at[0]:at[1]], true})
		text = text[at[1]:]
	}
	return all
}

var optionPattern = regexp.MustCompile(`--[a-z]+(-[a-z]+)*`)

// page is what the template shows.
type page struct {
	Outcome   string // "valid", "invalid", "undecided": the page's look follows it
	Verdict   string
	Noun      string // what it is about: "document" or "message"
	Sender    *hashanchor.Party
	Recipient *hashanchor.Party
	Receipt   string
	Earliest  string // "" if the chain did not confirm one
	Latest    string
	ChainID   int64
	Broken    hashanchor.Check // the first check that does not hold
	Genuine   bool             // the document is the one that was signed
	Facts     []row
	Compared  []row
	Checks    []checkRow
	Revoked   bool     // whether keys had been withdrawn was checked
	Command   []string // its words, those that belong together in one
	Document  input
	Evidence  input
	Numbers   []row
	Made      string
	With      versionJSON
}

// row is a line of a table: a value, something to be compared character by
// character, and what to think of both.
type row struct {
	Label string
	Value string
	Code  string
	Note  string
	Good  bool // of a comparison: it was made and holds
}

// checkRow is a check, whether there was an occasion to make it or not.
type checkRow struct {
	hashanchor.Check
	Made bool
}

// checkRows are all checks in their order.
func checkRows(r hashanchor.Report) (rows []checkRow) {
	for _, name := range hashanchor.Checks() {
		if c := checkOf(r, name); c != nil {
			rows = append(rows, checkRow{*c, true})
		} else {
			rows = append(rows, checkRow{hashanchor.Check{Name: name, Meaning: hashanchor.Meaning(name)}, false})
		}
	}
	return rows
}

// moment is a time as the page has it.
func moment(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04:05 UTC") }

// momentOf reads what claims have.
func momentOf(s string) string {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return s // a year with five digits, for one
	}
	return moment(t)
}

func newPage(v verified) page {
	r := v.report
	p := page{
		Noun: "document", Sender: r.Sender, Recipient: r.Recipient, Receipt: r.Receipt, ChainID: r.ChainID, Checks: checkRows(r),
		Genuine: held(r, hashanchor.CheckDocument) && held(r, hashanchor.CheckOpening),
		Revoked: checkOf(r, hashanchor.CheckRevocation) != nil,
		Command: v.command(), Document: v.document, Evidence: v.evidence, Made: moment(v.at), With: version(),
	}
	switch r.ExitCode() {
	case hashanchor.ExitValid:
		p.Outcome, p.Verdict = "valid", "Valid"
	case hashanchor.ExitUndecided:
		p.Outcome, p.Verdict, p.Broken = "undecided", "Not decided", broken(r)
	default:
		p.Outcome, p.Verdict, p.Broken = "invalid", "Not valid", broken(r)
	}
	if v.claims != nil && v.claims.Opening.Kind == string(record.Message) {
		p.Noun = "message"
	}
	if r.NotBefore != nil {
		p.Earliest = moment(*r.NotBefore)
	}
	if r.AnchoredAt != nil {
		p.Latest = moment(*r.AnchoredAt)
	}
	p.Facts, p.Compared, p.Numbers = v.facts(), v.compared(), v.numbers()
	return p
}

// command is the command line that was given, with words for the files and for
// the endpoints, whose addresses may hold keys.
func (v verified) command() []string {
	words := []string{"dxd verify DOCUMENT EVIDENCE"}
	for range v.known.RPC {
		words = append(words, "--rpc URL")
	}
	for _, hash := range v.known.Blocks {
		words = append(words, "--block-hash "+hash.String())
	}
	if v.known.Finality.Blocks > 0 {
		words = append(words, "--finality "+v.known.Finality.String())
	}
	if v.known.Sender != (record.Fingerprint{}) {
		words = append(words, "--sender "+v.known.Sender.String())
	}
	if v.known.Recipient != (record.Fingerprint{}) {
		words = append(words, "--recipient "+v.known.Recipient.String())
	}
	if v.known.ChainID != 0 {
		words = append(words, "--chain "+fmt.Sprint(v.known.ChainID))
	}
	for range v.known.Cards {
		words = append(words, "--card CARD")
	}
	return words
}
