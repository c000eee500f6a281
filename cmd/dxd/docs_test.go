package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "write docs/commands.md anew")

const commandsPage = "../../docs/commands.md"

// TestEveryCommandAndFlagIsInTheDocs holds docs/commands.md to what the program
// itself says.
func TestEveryCommandAndFlagIsInTheDocs(t *testing.T) {
	want := pageOf((&app{}).root())
	if *update {
		if err := os.WriteFile(commandsPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(commandsPage)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) == want {
		return
	}
	have := map[string]bool{}
	for line := range strings.Lines(string(got)) {
		have[line] = true
	}
	for line := range strings.Lines(want) {
		if !have[line] {
			t.Errorf("docs/commands.md lacks %q", strings.TrimSpace(line))
		}
	}
	t.Error("docs/commands.md is not of this program: `go test ./cmd/dxd -run InTheDocs -update` writes it")
}

// pageOf writes the page of all commands.
func pageOf(root *cobra.Command) string {
	var page strings.Builder
	page.WriteString(`# Commands

What ` + "`dxd COMMAND --help`" + ` says, on one page; a test writes it and holds it to the program. [tutorial.md](tutorial.md) shows the commands at
work, [configuration.md](configuration.md) lists what can be configured.

Every command takes these flags, too:

`)
	root.InitDefaultHelpFlag()
	writeFlags(&page, root.PersistentFlags())
	for _, group := range root.Groups() {
		fmt.Fprintf(&page, "\n## %s\n", strings.TrimSuffix(group.Title, ":"))
		for _, c := range root.Commands() {
			if c.GroupID == group.ID {
				writeCommand(&page, c)
			}
		}
	}
	return page.String()
}

// writeCommand writes a command, and all below it.
func writeCommand(page *strings.Builder, c *cobra.Command) {
	if !c.IsAvailableCommand() {
		return
	}
	fmt.Fprintf(page, "\n### %s\n\n", c.CommandPath())
	text := c.Long
	if text == "" {
		text = c.Short + "."
	}
	fmt.Fprintf(page, "%s\n", strings.ReplaceAll(text, "<", "\\<"))
	if c.Runnable() {
		fmt.Fprintf(page, "\n```text\n%s\n```\n", c.UseLine())
	}
	if c.Example != "" {
		fmt.Fprintf(page, "\n```sh\n%s\n```\n", unindent(c.Example))
	}
	if c.HasAvailableLocalFlags() {
		page.WriteString("\n")
		writeFlags(page, c.LocalNonPersistentFlags())
	}
	for _, sub := range c.Commands() {
		writeCommand(page, sub)
	}
}

// writeFlags writes a table of flags; help is no news.
func writeFlags(page *strings.Builder, flags *pflag.FlagSet) {
	var rows strings.Builder
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		name := "`--" + f.Name + "`"
		if f.Shorthand != "" {
			name = "`-" + f.Shorthand + "`, " + name
		}
		takes, usage := pflag.UnquoteUsage(f)
		usage = strings.NewReplacer("|", "\\|", "<", "\\<").Replace(usage)
		fmt.Fprintf(&rows, "| %s | %s | %s |\n", name, takes, usage)
	})
	if rows.Len() > 0 {
		page.WriteString("| flag | takes | |\n| --- | --- | --- |\n" + rows.String())
	}
}

// unindent takes the two spaces away with which examples begin.
func unindent(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], "  ")
	}
	return strings.Join(lines, "\n")
}
