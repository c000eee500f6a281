package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// source is the parsed files of one directory, by name, whatever their build tags.
type source struct {
	dir   string // "record", "cmd/dxd"
	fset  *token.FileSet
	files map[string]*ast.File
}

func (s source) names() []string {
	var names []string
	for name := range s.files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func isTest(file string) bool { return strings.HasSuffix(file, "_test.go") }

// checkComment wants one package comment in the form that STYLE gives it.
func (s source) checkComment() (faults []string) {
	var comments []string
	for _, name := range s.names() {
		f := s.files[name]
		if f.Doc == nil || strings.HasSuffix(f.Name.Name, "_test") {
			continue
		}
		comments = append(comments, name)
		start := "Package " + f.Name.Name + " "
		if f.Name.Name == "main" {
			start = "Command " + path.Base(s.dir) + " "
		}
		text := f.Doc.Text()
		if !strings.HasPrefix(text, start) {
			faults = append(faults, fmt.Sprintf("%s/%s: the package comment does not open with %q", s.dir, name, start))
		}
		if !strings.Contains(strings.TrimSpace(text), "\n\n") {
			faults = append(faults, fmt.Sprintf("%s/%s: the package comment has no second paragraph on what it never does", s.dir, name))
		}
	}
	if len(comments) != 1 {
		faults = append(faults, fmt.Sprintf("%s: %d files have a package comment %v, not one", s.dir, len(comments), comments))
	}
	return faults
}

// checkInit wants no init function: what a package does stands where it is called.
func (s source) checkInit() (faults []string) {
	for _, name := range s.names() {
		for _, decl := range s.files[name].Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				faults = append(faults, fmt.Sprintf("%s/%s: func init", s.dir, name))
			}
		}
	}
	return faults
}

// checkTesting wants no import of testing in production files. A package whose
// name ends in "test" is a suite for others' tests.
func (s source) checkTesting() (faults []string) {
	if strings.HasSuffix(s.dir, "test") || within("test/...", s.dir) {
		return nil
	}
	for _, name := range s.names() {
		for _, spec := range s.files[name].Imports {
			if p := importPath(spec); !isTest(name) && (p == "testing" || strings.HasPrefix(p, "testing/")) {
				faults = append(faults, fmt.Sprintf("%s/%s: imports %s", s.dir, name, p))
			}
		}
	}
	return faults
}

// checkExported wants no type of a hidden module in what other rooms can name.
func (s source) checkExported(hidden string) (faults []string) {
	for _, name := range s.names() {
		file := s.files[name]
		foreign := foreignNames(file, hidden)
		if isTest(name) || len(foreign) == 0 {
			continue
		}
		for _, decl := range file.Decls {
			for _, node := range visible(decl) {
				ast.Inspect(node, func(n ast.Node) bool {
					if id, ok := n.(*ast.SelectorExpr); ok {
						if x, ok := id.X.(*ast.Ident); ok && foreign[x.Name] {
							faults = append(faults, fmt.Sprintf("%s: %s.%s stands in the exported API", s.fset.Position(id.Pos()), x.Name, id.Sel.Name))
						}
					}
					return true
				})
			}
		}
	}
	return faults
}

func importPath(spec *ast.ImportSpec) string {
	p, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		panic(err) // the parser took it
	}
	return p
}

// foreignNames gives the names by which a file calls packages of the modules.
func foreignNames(file *ast.File, modules string) map[string]bool {
	names := map[string]bool{}
	for _, spec := range file.Imports {
		p := importPath(spec)
		if !partOf(modules, p) {
			continue
		}
		// The last element, or, as in go-multiaddr or badger/v4, what is left
		// of it: a name too many does no harm.
		for p := p; len(names) < 64 && p != "."; p = path.Dir(p) {
			names[strings.TrimPrefix(path.Base(p), "go-")] = true
			if !strings.HasPrefix(path.Base(p), "v") {
				break
			}
		}
		if spec.Name != nil {
			names[spec.Name.Name] = true
		}
	}
	return names
}

// visible gives the parts of a declaration that another package can see.
func visible(decl ast.Decl) (nodes []ast.Node) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && (d.Recv == nil || ast.IsExported(receiver(d))) {
			nodes = append(nodes, d.Type)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() {
					nodes = append(nodes, visibleType(s.Type)...)
				}
			case *ast.ValueSpec:
				if slices.ContainsFunc(s.Names, (*ast.Ident).IsExported) {
					nodes = append(nodes, s)
				}
			}
		}
	}
	return nodes
}

func receiver(f *ast.FuncDecl) string {
	name := ""
	ast.Inspect(f.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && name == "" {
			name = id.Name
		}
		return name == ""
	})
	return name
}

// visibleType leaves out the fields of a struct that are not exported.
func visibleType(t ast.Expr) (nodes []ast.Node) {
	s, ok := t.(*ast.StructType)
	if !ok {
		return []ast.Node{t}
	}
	for _, f := range s.Fields.List {
		// An embedded type lends its methods, so it is seen whatever its name.
		if len(f.Names) == 0 || slices.ContainsFunc(f.Names, (*ast.Ident).IsExported) {
			nodes = append(nodes, f.Type)
		}
	}
	return nodes
}

func TestEachPackageHasOneCommentThatSaysWhatItNeverDoes(t *testing.T) {
	for _, s := range parse(t) {
		report(t, s.checkComment())
	}
}

func TestNoPackageHasInit(t *testing.T) {
	for _, s := range parse(t) {
		report(t, s.checkInit())
	}
}

func TestProductionImportsNoTesting(t *testing.T) {
	for _, s := range parse(t) {
		report(t, s.checkTesting())
	}
}

func TestExportedAPIsHideTheirParts(t *testing.T) {
	for _, s := range parse(t) {
		report(t, s.checkExported(hidden))
	}
}

func report(t *testing.T, faults []string) {
	t.Helper()
	for _, fault := range faults {
		t.Error(fault)
	}
}

// parseDir reads a directory's Go files; none is no error.
func parseDir(root, dir string) (source, error) {
	s := source{dir: dir, fset: token.NewFileSet(), files: map[string]*ast.File{}}
	paths, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
	if err != nil {
		return s, err
	}
	for _, p := range paths {
		f, err := parser.ParseFile(s.fset, p, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return s, err
		}
		s.files[filepath.Base(p)] = f
	}
	return s, nil
}
