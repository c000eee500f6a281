package record_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"dxd/record"
)

// shows tells whether the specification quotes each of the texts as they are.
func shows(t *testing.T, spec string, texts ...string) {
	t.Helper()
	b, err := os.ReadFile("../docs/spec/" + spec)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range texts {
		if !strings.Contains(string(b), s) {
			t.Errorf("%s does not show %s", spec, s)
		}
	}
}

func TestExampleOfTheRecordsSpecificationIsTheGoldenOne(t *testing.T) {
	data, err := os.ReadFile(testdata + "notarization.json")
	if err != nil {
		t.Fatal(err)
	}
	e, err := record.ParseEnvelope(data)
	if err != nil {
		t.Fatal(err)
	}
	o := openingOf("Protokoll.txt")
	o.Kind = record.Notarized
	opening, err := o.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	_, payload := parts(e)
	shows(t, "records.md", string(data), payload, fmt.Sprintf("%d bytes", len(payload)), string(opening),
		record.LeafHash(opening).String(), e.ID().String(), e.Leaf().String(), string(e.PAE()[:61]))
}

func TestExamplesOfTheIdentifiersSpecificationAreTheGoldenOnes(t *testing.T) {
	b, err := os.ReadFile(testdata + "identifiers.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []identifier
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	for _, i := range list[:7] {
		shows(t, "identifiers.md", fmt.Sprintf("| %s | `%s` | `%s` |", i.Kind, i.Bytes, i.Text))
	}
}

func TestHeadsOfTheRecordsSpecificationAreTheGoldenOnes(t *testing.T) {
	_, payload := parts(headsOf(t).Envelope)
	shows(t, "records.md", payload, fmt.Sprintf("%d bytes", len(payload)))
}
