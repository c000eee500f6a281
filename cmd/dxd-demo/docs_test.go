package main

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestEveryFlagIsInTheDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/demo.md")
	if err != nil {
		t.Fatal(err)
	}
	command(io.Discard, new(bool)).Flags().VisitAll(func(f *pflag.Flag) {
		if row := "\n| `--" + f.Name + "` | "; !strings.Contains(string(page), row) {
			t.Errorf("docs/demo.md has no row that begins %q", strings.TrimSpace(row))
		}
	})
}
