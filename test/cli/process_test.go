package cli

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
)

type daemonsKey struct{}

// process is a daemon in the background.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed once its log is read to the end and it is gone
	err  error         // of Wait; to be read after done

	pairing *waiting // that a script began with this daemon
}

// envGuard makes the test binary a guard of the program that it names.
const envGuard = "DXD_CLI_GUARD"

// guard runs a program that ends with the test, however that ends: then
// nobody holds the other end of standard input any more. What the program has
// started ends with it.
func guard(binary string) int {
	cmd := exec.Command(binary, os.Args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM)
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go func() {
		io.Copy(io.Discard, os.Stdin) // ends with the test, or with the process
		killGroup(cmd.Process.Pid)
	}()
	go func() {
		for s := range told {
			cmd.Process.Signal(s) // it may have ended already
		}
	}()
	cmd.Wait() // the exit code says it
	killGroup(cmd.Process.Pid)
	return cmd.ProcessState.ExitCode()
}

// killGroup ends a program and what it has started, as far as that still runs.
func killGroup(pid int) { syscall.Kill(-pid, syscall.SIGKILL) }

// command makes a command with a script's environment.
func command(ts *testscript.TestScript, binary string, args ...string) *exec.Cmd {
	cmd := exec.Command(binary, args...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "DXD_PASSPHRASE", "DXD_DIR", "DXD_LOG_LEVEL", "DXD_API", "DXD_ANCHOR_FINALITY", "DXD_ANCHOR_INTERVAL", "DXD_RETAIN_SENT"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	return cmd
}

// dxd is the built binary.
func dxd() string { return filepath.Join(binaries, "dxd") }

// daemon runs `dxd run --dir DIR ARG…` and waits until it is ready: `daemon DIR ARG…`.
// Its log is in DIR.log when it has ended.
func daemon(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: daemon DIR [ARG…]")
	}
	self, err := os.Executable()
	ts.Check(err)
	cmd := command(ts, self, append([]string{"run", "--dir", args[0]}, args[1:]...)...)
	cmd.Env = append(cmd.Env, envGuard+"="+dxd())
	in, err := cmd.StdinPipe()
	ts.Check(err)
	logged, err := cmd.StderrPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	p := &process{cmd: cmd, done: make(chan struct{})}
	ready := make(chan struct{})
	go p.follow(logged, ready, ts.MkAbs(args[0])+".log")
	ts.Value(daemonsKey{}).(map[string]*process)[args[0]] = p
	ts.Defer(func() {
		in.Close() // which the guard sees; the daemon may have ended already
		<-p.done
	})
	select {
	case <-ready:
	case <-p.done:
		ts.Fatalf("the daemon ended before it was ready: %v\n%s", p.err, ts.ReadFile(args[0]+".log"))
	}
}

// follow reads the log to its end and waits for the process.
func (p *process) follow(logged io.Reader, ready chan<- struct{}, path string) {
	defer close(p.done)
	var all bytes.Buffer
	for lines := bufio.NewScanner(io.TeeReader(logged, &all)); lines.Scan(); {
		if ready != nil && strings.Contains(lines.Text(), "daemon ready") {
			close(ready)
			ready = nil
		}
	}
	p.err = p.cmd.Wait()
	if err := os.WriteFile(path, all.Bytes(), 0o600); err != nil && p.err == nil {
		p.err = err
	}
}

// halt ends a daemon with SIGTERM and wants exit code 0: `halt DIR`. (By the
// name of stop testscript has a command of its own, which ends the script.)
func halt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: halt DIR")
	}
	p := ts.Value(daemonsKey{}).(map[string]*process)[args[0]]
	if p == nil {
		ts.Fatalf("no daemon runs in %s", args[0])
	}
	ts.Check(p.cmd.Process.Signal(syscall.SIGTERM))
	<-p.done
	ts.Check(p.err)
}

// interrupt sends from a pipe that does not end, stops that with SIGINT once
// the daemon reads, and wants exit code 130: `interrupt DIR ARG…`.
func interrupt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: interrupt DIR ARG…")
	}
	cmd := command(ts, dxd(), append([]string{"send", "-", "--dir", args[0]}, args[1:]...)...)
	in, err := cmd.StdinPipe()
	ts.Check(err)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	ts.Check(cmd.Start())
	// More than all the buffers on the way hold: so the daemon has read some.
	_, err = in.Write(make([]byte, 16<<20))
	ts.Check(err)
	ts.Check(cmd.Process.Signal(os.Interrupt))
	cmd.Wait() // the exit code below says it
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		ts.Fatalf("exit code %d, want 130\n%s", code, said.String())
	}
}
