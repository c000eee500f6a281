package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// threats is the page that says what is promised and what shows it.
const threats = "../../docs/threats.md"

// evidence finds the files, tests and fuzz targets that a line names.
var evidence = regexp.MustCompile("`([a-z0-9/_-]+(?:_test\\.go|\\.txtar))`|\\b((?:Test|Fuzz)[A-Z]\\w*)")

// fileTests are the tests and fuzz targets of a file, each with whether it is
// given a seed.
type fileTests map[string]bool

func testsOf(t *testing.T, path string) fileTests {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	found := fileTests{}
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if ok && f.Recv == nil && (strings.HasPrefix(f.Name.Name, "Test") || strings.HasPrefix(f.Name.Name, "Fuzz")) {
			found[f.Name.Name] = seeds(f)
		}
	}
	return found
}

// seeds tells whether a fuzz target calls Add, or hands itself to somebody who
// does.
func seeds(f *ast.FuncDecl) (yes bool) {
	ast.Inspect(f.Body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if s, ok := call.Fun.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == "f" && s.Sel.Name == "Add" {
				yes = true
			}
		}
		for _, a := range call.Args {
			if x, ok := a.(*ast.Ident); ok && x.Name == "f" {
				yes = true
			}
		}
		return true
	})
	return yes
}

// TestEachPromiseNamesATestThatExists holds docs/threats.md to the code.
func TestEachPromiseNamesATestThatExists(t *testing.T) {
	page, err := os.ReadFile(threats)
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range unshown(t, string(page)) {
		t.Error(fault)
	}
}

// unshown lists what a page names that is not there, and the rows of its tables
// of promises that name nothing.
func unshown(t *testing.T, page string) (faults []string) {
	t.Helper()
	known := map[string]fileTests{}
	promises := false
	for line := range strings.Lines(page) {
		row := strings.HasPrefix(line, "| ")
		if !row {
			promises = false
		}
		file, shown := "", false
		for _, m := range evidence.FindAllStringSubmatch(line, -1) {
			if m[1] != "" {
				file = m[1]
				shown = shown || strings.HasSuffix(file, ".txtar")
				if _, err := os.Stat(filepath.Join("../..", file)); err != nil {
					faults = append(faults, fmt.Sprintf("%s: there is no such file", file))
					file = ""
				}
				continue
			}
			if file == "" || strings.HasSuffix(file, ".txtar") {
				faults = append(faults, fmt.Sprintf("%s: no file is named before it", m[2]))
				continue
			}
			if known[file] == nil {
				known[file] = testsOf(t, filepath.Join("../..", file))
			}
			if _, ok := known[file][m[2]]; !ok {
				faults = append(faults, fmt.Sprintf("%s has no %s", file, m[2]))
				continue
			}
			shown = true
		}
		if promises && !shown && !strings.HasPrefix(line, "| ---") {
			faults = append(faults, fmt.Sprintf("nothing shows %.100q", line))
		}
		if strings.HasPrefix(line, "| promise ") || strings.HasPrefix(line, "| bytes of ") {
			promises = true
		}
	}
	return faults
}

// TestEachFuzzTargetIsOnThePageAndHasSeeds goes the other way: a target that is
// not on the page is one of a parser that is not.
func TestEachFuzzTargetIsOnThePageAndHasSeeds(t *testing.T) {
	page, err := os.ReadFile(threats)
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for line := range strings.Lines(string(page)) {
		file := ""
		for _, m := range evidence.FindAllStringSubmatch(line, -1) {
			if m[1] != "" {
				file = m[1]
			}
			listed[file+" "+m[2]] = true
		}
	}
	targets := 0
	err = filepath.WalkDir("../..", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		for name, seeded := range testsOf(t, path) {
			if !strings.HasPrefix(name, "Fuzz") {
				continue
			}
			targets++
			at := filepath.ToSlash(strings.TrimPrefix(path, filepath.Join("..", "..")+string(filepath.Separator)))
			if !listed[at+" "+name] {
				t.Errorf("docs/threats.md does not list %s of %s", name, at)
			}
			if !seeded {
				t.Errorf("%s of %s has no seed", name, at)
			}
		}
		return nil
	})
	if err != nil || targets == 0 {
		t.Errorf("%d fuzz targets (%v)", targets, err)
	}
}

func TestAPageThatNamesWhatIsNotThereIsTold(t *testing.T) {
	for what, c := range map[string]struct {
		page string
		want int
	}{
		"a test that is there":    {"| promise | shown by |\n| --- | --- |\n| a | `test/arch/threats_test.go` TestAPageThatNamesWhatIsNotThereIsTold |\n", 0},
		"a script":                {"| promise | shown by |\n| a | `test/cli/testdata/backup.txtar` |\n", 0},
		"a test that is not":      {"`test/arch/threats_test.go` TestOfNothing\n", 1},
		"a file that is not":      {"`test/arch/none_test.go`\n", 1},
		"a test of no file":       {"TestOfNothing\n", 1},
		"a row that names a file": {"| promise | shown by |\n| a | `test/arch/threats_test.go` |\n", 1},
		"a row that names nobody": {"| promise | shown by |\n| a | the fault suite |\n", 1},
		"a row of another table":  {"| who | trusted |\n| a | not |\n", 0},
	} {
		if got := unshown(t, c.page); len(got) != c.want {
			t.Errorf("%s: %q", what, got)
		}
	}
}
