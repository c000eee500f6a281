package exchange

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dxd/record"
)

func TestAHelloIsAsTheSpecificationSays(t *testing.T) {
	data := filepath.Join("..", "docs", "spec", "testdata")
	raw, err := os.ReadFile(filepath.Join(data, "card-file.json"))
	if err != nil {
		t.Fatal(err)
	}
	opened, err := record.OpenCardFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	heads := goldenRecord(t, data, "heads.json")
	manifest := goldenRecord(t, data, "manifest.json")
	card := opened.Card // stands for the card before it, too: nobody looks here
	frame := goldenOf(t, "", frameHello, hello{
		Version: 1, File: opened.File(), Heads: heads, Shown: []record.Envelope{manifest},
		Has: card.ID(), History: []record.Envelope{card.Envelope}, Yours: []record.Envelope{card.Envelope}, Unanchored: true, Restored: record.Epoch{7},
	})
	got, err := hex.DecodeString(frame.Hex)
	if err != nil {
		t.Fatal(err)
	}
	content := string(got[frameHeader:]) + "\n"
	path := filepath.Join(data, "hello.json")
	if *update {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if content != string(want) || strings.Count(content, "\n") != 1 {
		t.Errorf("the content of the frame is\n%s", content)
	}
}

// goldenRecord reads a record of the specification.
func goldenRecord(t *testing.T, dir, file string) record.Envelope {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	e, err := record.ParseEnvelope(raw)
	if err != nil {
		t.Fatal(err)
	}
	return e
}
