package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// root is the module's directory: `go test` runs a test in its package's.
const root = "../.."

// load asks the go command for the import graph.
func load(t *testing.T) graph {
	t.Helper()
	list := exec.Command("go", "list", "-deps", "-json=ImportPath,Imports", "./...")
	list.Dir = root
	var stderr bytes.Buffer
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	g := graph{}
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		g[p.ImportPath] = p.Imports
	}
	if len(g.own()) < 5 {
		t.Fatalf("go list names only %v", g.own())
	}
	return g
}

// parse reads the module's own packages, test files and files behind build
// tags included.
func parse(t *testing.T) []source {
	t.Helper()
	list := exec.Command("go", "list", "-e", "-f", "{{.Dir}}", "./...")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	base, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	var all []source
	for dir := range strings.Lines(string(out)) {
		name, err := filepath.Rel(base, strings.TrimSpace(dir))
		if err != nil {
			t.Fatal(err)
		}
		s, err := parseDir(base, filepath.ToSlash(name))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}
