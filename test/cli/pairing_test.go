package cli

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
)

// waiting is a `dxd pair` that waits for the other side.
type waiting struct {
	cmd    *exec.Cmd
	stdout *bufio.Reader
	stderr bytes.Buffer
}

// ticket runs `dxd pair --dir DIR ARG…` in the background and sets a variable
// to the ticket that it prints: `ticket VARIABLE DIR ARG…`.
func ticket(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: ticket VARIABLE DIR ARG…")
	}
	w := &waiting{cmd: command(ts, dxd(), append([]string{"pair", "--dir", args[1]}, args[2:]...)...)}
	w.cmd.Stderr = &w.stderr
	out, err := w.cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(w.cmd.Start())
	ts.Defer(func() { w.cmd.Process.Kill() }) // it may have ended
	w.stdout = bufio.NewReader(out)
	line, err := w.stdout.ReadString('\n')
	if err != nil {
		ts.Fatalf("no ticket: %v\n%s", err, &w.stderr)
	}
	ts.Setenv(args[0], strings.TrimSpace(line))
	ts.Value(daemonsKey{}).(map[string]*process)[args[1]].pairing = w
}

// paired waits for the end of `dxd pair` on one side, which it may send a
// signal before, and wants an exit code: `paired DIR CODE [kill|interrupt]`.
// What it said is in DIR.out and DIR.err.
func paired(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: paired DIR CODE [kill|interrupt]")
	}
	w := ts.Value(daemonsKey{}).(map[string]*process)[args[0]].pairing
	if len(args) > 2 {
		ts.Check(w.cmd.Process.Signal(map[string]syscall.Signal{"kill": syscall.SIGKILL, "interrupt": syscall.SIGINT}[args[2]]))
	}
	out, err := io.ReadAll(w.stdout)
	ts.Check(err)
	w.cmd.Wait() // the exit code below says it
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".out"), out, 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".err"), w.stderr.Bytes(), 0o600))
	if code := strconv.Itoa(w.cmd.ProcessState.ExitCode()); code != args[1] {
		ts.Fatalf("exit code %s, want %s\n%s", code, args[1], &w.stderr)
	}
}
