package hashanchor_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dxd/hashanchor"
)

// checkNames reads the names of all checks out of the source, so that none is
// forgotten here.
func checkNames(t *testing.T) (names []string) {
	file, err := parser.ParseFile(token.NewFileSet(), "report.go", nil, 0)
	must(t, err)
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if ok && strings.HasPrefix(spec.Names[0].Name, "Check") {
			name, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			must(t, err)
			names = append(names, name)
		}
		return true
	})
	return names
}

func TestEachCheckHasAMeaningOfItsOwn(t *testing.T) {
	names, seen := checkNames(t), map[string]string{}
	if got := hashanchor.Checks(); !slices.Equal(got, names) {
		t.Fatalf("the checks are %q, and %q in the source", got, names)
	}
	for _, name := range names {
		m := hashanchor.Meaning(name)
		if m == "" || seen[m] != "" {
			t.Errorf("the check %s means %q, as does %q", name, m, seen[m])
		}
		seen[m] = name
		for _, jargon := range []string{"SHA", "Merkle", "leaf", "digest", "opening", "root"} {
			if strings.Contains(m, jargon) {
				t.Errorf("the meaning of %s speaks of a %s, which its reader does not know", name, jargon)
			}
		}
	}
	if m := hashanchor.Meaning("no such check"); m != "" {
		t.Errorf("what is no check means %q", m)
	}
}

func TestEachCheckThatFailsSaysWhoCanMendIt(t *testing.T) {
	for _, v := range verdicts(t) {
		s := tell(t, "hello")
		o := hashanchor.Options{Chain: s.chain}
		v.tale(t, s, &o)
		for _, c := range verify(t, s.doc(), s.file(t), o).Checks {
			if c.Meaning == "" || c.Detail == "" {
				t.Errorf("%s: the check %s means %q and finds %q", v.name, c.Name, c.Meaning, c.Detail)
			}
			if (c.Mend == "") != c.OK {
				t.Errorf("%s: the check %s is mended by %q, and ok is %v", v.name, c.Name, c.Mend, c.OK)
			}
		}
	}
}
