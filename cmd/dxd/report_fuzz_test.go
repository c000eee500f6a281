package main

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dxd/hashanchor"
	"dxd/hashanchor/evm"
	"dxd/internal/daemon"
	"dxd/record"
)

// FuzzThePageOfAnyEvidence wants a page about any file, whether it is evidence
// or not, with no tag but the page's own and no character that does more than
// show itself.
func FuzzThePageOfAnyEvidence(f *testing.F) {
	files, err := filepath.Glob(specData + "evidence-*.json")
	if err != nil || len(files) < 4 {
		f.Fatalf("%q, %v", files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	doc := hashanchor.Document{Digest: sha256.Sum256([]byte("hello")), Length: 5}
	o := hashanchor.Options{Chain: agreeable{}, CheckState: evm.CheckState}
	f.Fuzz(func(t *testing.T, evidence []byte) {
		report, err := hashanchor.Verify(t.Context(), doc, evidence, o)
		if err != nil {
			t.Fatal(err)
		}
		v := verified{report: report, known: daemon.Known{}, document: input{Name: "hello"}, evidence: inputOf("e", evidence), at: time.Now()}
		v.claims, _ = claimsOf(evidence)
		page, _ := render(t, v)
		if rest := allowed.ReplaceAllString(page, ""); strings.ContainsAny(rest, "<>") {
			t.Errorf("the page has a tag that is not its own: %q", rest)
		}
		for line := range strings.Lines(page) {
			if line = strings.TrimSuffix(line, "\n"); record.Printable(line, len(line)) != line {
				t.Errorf("%q does more than show itself", line)
			}
		}
	})
}
