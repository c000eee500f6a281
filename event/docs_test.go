package event

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"
)

func TestEveryTypeIsInTheSpec(t *testing.T) {
	spec, err := os.ReadFile("../docs/spec/events.md")
	if err != nil {
		t.Fatal(err)
	}
	types := typesInTheCode(t)
	if len(types) < 12 {
		t.Errorf("only %d types were found in the code: %q", len(types), types)
	}
	for _, name := range types {
		if !strings.Contains(string(spec), "`"+name+"`") {
			t.Errorf("docs/spec/events.md does not say when %s is told", name)
		}
	}
}

// typesInTheCode reads the constants of type Type.
func typesInTheCode(t *testing.T) (types []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "event.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		c, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if of, ok := c.Type.(*ast.Ident); !ok || of.Name != "Type" {
			return true
		}
		for _, v := range c.Values {
			name, err := strconv.Unquote(v.(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			types = append(types, name)
		}
		return true
	})
	return types
}
