package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

// A checker that finds nothing may be one that looks at nothing. These tests
// show it houses that break each rule.

func TestCheckerFindsForbiddenImports(t *testing.T) {
	table := []room{
		{"heart", "store words", "example.com/good"},
		{"store/...", "words", ""},
		{"words", "", ""},
		{"top", "*", ""},
	}
	for _, tt := range []struct {
		name string
		g    graph
		want string // in the one fault; "" for none
	}{
		{"allowed", graph{"dxd/heart": {"dxd/store", "dxd/words", "fmt", "net/http", "example.com/good/sub"}}, ""},
		{"everything from the top", graph{"dxd/top": {"dxd/heart", "dxd/store/disk"}}, ""},
		{"upwards", graph{"dxd/store/disk": {"dxd/heart"}}, "store/disk imports heart"},
		{"a package below an allowed one", graph{"dxd/heart": {"dxd/store/disk"}}, "heart imports store/disk"},
		{"an outside module", graph{"dxd/words": {"example.com/good"}}, "words imports example.com/good"},
		{"a module whose name begins like an allowed one", graph{"dxd/heart": {"example.com/goods"}}, "heart imports example.com/goods"},
		{"a room that nobody planned", graph{"dxd/util": {}}, "util has no row"},
	} {
		t.Run(tt.name, func(t *testing.T) { wantFault(t, checkImports(table, tt.g), tt.want) })
	}
}

func TestCheckerFindsDetours(t *testing.T) {
	g := graph{
		"dxd/cmd/dxd":            {"dxd/a"},
		"dxd/a":                  {"dxd/b", "example.com/lib"},
		"dxd/b":                  {"fmt"},
		"example.com/lib":        {"testing", "example.com/chain/eth/small"},
		"dxd/internal/devchain":  {"example.com/chain/eth"},
		"dxd/blobstore/suite":    {"testing"},
		"dxd/test/arch":          {"testing"},
		"example.com/chain/ethx": {},
	}
	const reach = "testing test/... internal/devchain example.com/chain/eth"
	for _, tt := range []struct{ name, from, imported, want string }{
		{"what outside modules do inside is theirs", "dxd/a", "example.com/chain/ethx", ""},
		{"testing behind two packages", "dxd/b", "dxd/blobstore/suite", "cmd/dxd → a → b → blobstore/suite → testing"},
		{"tests behind two packages", "dxd/b", "testing", "cmd/dxd → a → b → testing"},
		{"a package below test", "dxd/a", "dxd/test/e2e", "cmd/dxd → a → test/e2e"},
		{"the node behind a library", "example.com/lib", "example.com/chain/eth", "lib → example.com/chain/eth"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spoiled := graph{}
			for k, v := range g {
				spoiled[k] = v
			}
			spoiled[tt.from] = append([]string{tt.imported}, g[tt.from]...)
			wantFault(t, checkReach(spoiled, "cmd/dxd", reach), tt.want)
		})
	}
}

func TestCheckerFindsImpureRooms(t *testing.T) {
	g := graph{"dxd/record": {"os", "strings"}}
	wantFault(t, checkPure(g, "record", "net os"), "record imports os")
	wantFault(t, checkPure(g, "record", "net"), "")
}

const goodComment = "// Package p is.\n//\n// It never.\n"

func TestCheckerReadsSources(t *testing.T) {
	comment := source.checkComment
	exported := func(s source) []string { return s.checkExported("github.com/libp2p") }
	const lib = goodComment + "package p\nimport peer \"github.com/libp2p/go-libp2p/core/peer\"\n"
	const plain = goodComment + "package p\nimport \"github.com/libp2p/go-libp2p\"\n"
	for _, tt := range []struct {
		name  string
		check func(source) []string
		files map[string]string
		want  string
	}{
		{"good comment", comment, map[string]string{"a.go": goodComment + "package p", "b.go": "package p"}, ""},
		{"no comment", comment, map[string]string{"a.go": "package p"}, "0 files"},
		{"two comments", comment, map[string]string{"a.go": goodComment + "package p", "b.go": goodComment + "package p"}, "2 files"},
		{"one paragraph", comment, map[string]string{"a.go": "// Package p is.\npackage p"}, "second paragraph"},
		{"another opening", comment, map[string]string{"a.go": "// This is p.\n//\n// It never.\npackage p"}, "does not open"},
		{"command", comment, map[string]string{"a.go": "// Command p is.\n//\n// It never.\npackage main"}, ""},
		{"init", source.checkInit, map[string]string{"a.go": "package p\nfunc init() {}"}, "func init"},
		{"method called init", source.checkInit, map[string]string{"a.go": "package p\ntype T int\nfunc (T) init() {}"}, ""},
		{"testing in production", source.checkTesting, map[string]string{"a.go": "package p\nimport \"testing/synctest\""}, "imports testing"},
		{"testing in a test", source.checkTesting, map[string]string{"a_test.go": "package p\nimport \"testing\""}, ""},
		{"foreign type in a function", exported, map[string]string{"a.go": lib + "func F() peer.ID { return \"\" }"}, "peer.ID"},
		{"foreign type in a method", exported, map[string]string{"a.go": lib + "func (T) F(x []peer.ID) {}"}, "peer.ID"},
		{"foreign type in a field", exported, map[string]string{"a.go": lib + "type T struct { X map[peer.ID]int }"}, "peer.ID"},
		{"foreign type embedded", exported, map[string]string{"a.go": lib + "type T struct { peer.ID }"}, "peer.ID"},
		{"foreign type under a new name", exported, map[string]string{"a.go": lib + "type T = peer.ID"}, "peer.ID"},
		{"foreign type in an interface", exported, map[string]string{"a.go": lib + "type T interface { F(peer.ID) }"}, "peer.ID"},
		{"foreign value in a variable", exported, map[string]string{"a.go": lib + "var X = peer.ID(\"\")"}, "peer.ID"},
		{"foreign type by the package's own name", exported, map[string]string{"a.go": plain + "func F(libp2p.Option) {}"}, "libp2p.Option"},
		{"foreign types inside", exported, map[string]string{
			"a.go": lib + "type T struct { x peer.ID }\nfunc (t *T) f() peer.ID { return t.x }\nfunc (u) F() peer.ID { return \"\" }\nfunc G() { var _ peer.ID }"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := source{dir: "p", fset: token.NewFileSet(), files: map[string]*ast.File{}}
			for name, text := range tt.files {
				f, err := parser.ParseFile(s.fset, name, text, parser.ParseComments)
				if err != nil {
					t.Fatal(err)
				}
				s.files[name] = f
			}
			wantFault(t, tt.check(s), tt.want)
		})
	}
}

func wantFault(t *testing.T, faults []string, want string) {
	t.Helper()
	switch {
	case want == "" && len(faults) > 0:
		t.Errorf("found %q", faults)
	case want != "" && (len(faults) != 1 || !strings.Contains(faults[0], want)):
		t.Errorf("found %q, want one fault with %q", faults, want)
	}
}
