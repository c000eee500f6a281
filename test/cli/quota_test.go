package cli

import (
	"crypto/rand"
	"os"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"
)

// random makes a file of so many random bytes: random FILE BYTES.
func random(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: random FILE BYTES")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	content := make([]byte, n)
	rand.Read(content)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), content, 0o600))
}
