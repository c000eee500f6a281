package hashanchor_test

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"dxd/hashanchor"
	"dxd/record"
)

var update = flag.Bool("update", false, "write the files under docs/spec/testdata anew")

const testdata = "../docs/spec/testdata"

// golden compares with the committed bytes of the specification.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join(testdata, name)
	if *update {
		must(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what this code writes", path)
	}
}

// specCase is one case of docs/spec/testdata/evidence-cases.json: what a
// verifier in any language must say of the evidence, given the document
// "hello" and a chain with these anchors.
type specCase struct {
	Name     string              `json:"name"`
	Exit     int                 `json:"exit"`
	Check    string              `json:"check,omitempty"`
	Anchors  []hashanchor.Anchor `json:"anchors"`
	Cards    []string            `json:"cards,omitempty"` // card files that the verifier brings, in revocation-cases.json
	Evidence string              `json:"evidence"`
}

func TestTheSpecificationsExamplesAreWhatTheCodeWrites(t *testing.T) {
	s := tell(t, "hello")
	golden(t, "evidence-transfer.json", s.file(t))
	proof, err := s.evidence.Proofs[0].Bytes()
	must(t, err)
	golden(t, "proof.json", append(proof, '\n'))
	s.notarise(t)
	golden(t, "evidence-notarization.json", s.file(t))
}

func TestTheSpecificationsCasesAreJudgedAsItSays(t *testing.T) {
	cases := []specCase{}
	for _, v := range verdicts(t) {
		s, o := tell(t, "hello"), hashanchor.Options{}
		v.tale(t, s, &o)
		if !reflect.ValueOf(o).IsZero() || string(s.document) != "hello" || s.chain.final != newChain().final || v.name == "no chain was asked" {
			continue // not a matter of the evidence alone
		}
		c := specCase{Name: v.name, Exit: v.exit, Check: v.check, Evidence: string(s.file(t))}
		for _, a := range s.chain.entries {
			c.Anchors = append(c.Anchors, a)
		}
		slices.SortFunc(c.Anchors, func(a, b hashanchor.Anchor) int { return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		cases = append(cases, c)
	}
	data, err := json.MarshalIndent(cases, "", " ")
	must(t, err)
	golden(t, "evidence-cases.json", append(data, '\n'))
}

func TestTheEvidenceFileIsStrict(t *testing.T) {
	s := tell(t, "hello")
	file := string(bytes.TrimSpace(s.file(t)))
	for name, data := range map[string]string{
		"nothing":                 "",
		"an empty object":         "{}",
		"no state proofs":         file[:len(file)-1] + `,"state_proof":[]}`,
		"an empty state proof":    file[:len(file)-1] + `,"state_proof":[{"header":"","account":[],"slots":[]}]}`,
		"an unknown member":       file[:len(file)-1] + `,"note":"trust me"}`,
		"a member twice":          file[:len(file)-1] + `,"path":[]}`,
		"white space":             " " + file,
		"two files":               file + file,
		"a missing member":        file[:len(file)-len(`}`)-len(proofs(file))] + "}",
		"null for a list":         string(bytes.Replace([]byte(file), []byte(`"path":[]`), []byte(`"path":null`), 1)),
		"another case of a name":  string(bytes.Replace([]byte(file), []byte(`"path"`), []byte(`"Path"`), 1)),
		"another version":         string(bytes.Replace([]byte(file), []byte(`evidence.v1`), []byte(`evidence.v2`), 1)),
		"too large":               string(make([]byte, hashanchor.MaxEvidence+1)),
		"an index with a decimal": string(bytes.Replace([]byte(file), []byte(`"index":0,"path"`), []byte(`"index":0.0,"path"`), 1)),
	} {
		e, err := hashanchor.ParseEvidence([]byte(data))
		if err == nil || e != nil {
			t.Errorf("%s is taken for evidence", name)
		}
	}
	if _, err := hashanchor.ParseEvidence([]byte(file)); err != nil {
		t.Errorf("without its last line break: %v", err)
	}
}

// proofs is the last member of the file.
func proofs(file string) string {
	return file[bytes.LastIndex([]byte(file), []byte(`,"proofs"`)) : len(file)-1]
}

// TestTheSpecificationsValuesAreRight looks for each value in the text.
func TestTheSpecificationsValuesAreRight(t *testing.T) {
	s := tell(t, "hello")
	digest := sha256.Sum256(s.file(t))
	l := []record.Hash{record.LeafHash([]byte("a")), record.LeafHash([]byte("b")), record.LeafHash([]byte("c"))}
	seed := nonce("padding")
	padded := hashanchor.Pad(l, seed)
	shuffled, places := hashanchor.Shuffle(l, seed)
	for doc, values := range map[string][]string{
		"evidence.md": {
			s.alpha.id(t).String(), s.beta.id(t).String(), s.manifest.ID().String(), leafOf(t, s.opening).String(), s.manifest.Leaf().String(),
			s.evidence.Proofs[0].Path[0].String(), s.evidence.Proofs[0].Anchor.Root.String(), hex.EncodeToString(digest[:]),
		},
		"anchoring.md": {
			seed.String(), l[0].String(), l[1].String(), l[2].String(), padded[3].String(), fmt.Sprint(places), hashanchor.NewBatch(shuffled).Root().String(),
		},
	} {
		text, err := os.ReadFile(filepath.Join("../docs/spec", doc))
		must(t, err)
		for i, v := range values {
			if !bytes.Contains(text, []byte("`"+v+"`")) {
				t.Errorf("%s lacks value %d: %s", doc, i, v)
			}
		}
	}
}
