package cli

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dxd/test/party"

	"github.com/rogpeppe/go-internal/testscript"
)

// binaries is the directory with the built dxd and dxd-demo.
var binaries string

func TestMain(m *testing.M) {
	if binary := os.Getenv(envGuard); binary != "" {
		os.Exit(guard(binary))
	}
	os.Exit(build(m))
}

func build(m *testing.M) int {
	var err error
	if binaries, err = os.MkdirTemp("", "dxd-cli-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(binaries)
	out, err := exec.Command("go", "build", "-o", binaries, "dxd/cmd/dxd", "dxd/cmd/dxd-demo").CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "couldn't build dxd: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// touch looks at the sources. The go command keeps a test's result until a
// file changes that the test itself has opened, and the compiler is not it.
func touch(module string) error {
	return filepath.WalkDir(module, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != module {
			return fs.SkipDir
		}
		return err
	})
}

func TestScripts(t *testing.T) {
	if err := touch("../.."); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup:               setup,
		Condition:           condition,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "daemon": daemon, "halt": halt, "chain": chain, "await": await, "until": until, "let": let, "cards": cards, "anchored": anchored, "interrupt": interrupt, "event": event,
			"ticket": ticket, "paired": paired, "random": random,
		},
	})
}

// condition knows who may read every file, whatever its mode.
func condition(name string) (bool, error) {
	if name != "root" {
		return false, fmt.Errorf("unknown condition %q", name)
	}
	return os.Geteuid() == 0, nil
}

// setup gives a script the binary, and an address for each of two daemons.
func setup(e *testscript.Env) error {
	e.Setenv("PATH", binaries+string(filepath.ListSeparator)+e.Getenv("PATH"))
	for _, name := range []string{"A", "B", "C"} {
		port, err := party.NewPort()
		if err != nil {
			return err
		}
		e.Setenv(name+"_ADDR", fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", port))
		e.Setenv(name+"_PORT", fmt.Sprint(port))
	}
	e.Setenv("BREAK", "line\nbreak")
	e.Setenv("ESCAPE", "\x1b]0;title")
	e.Values[daemonsKey{}] = map[string]*process{}
	return nil
}
