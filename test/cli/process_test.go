package cli

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
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
}

// command makes a command of the binary with a script's environment.
func command(ts *testscript.TestScript, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(binaries, "dxd"), args...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "DXD_PASSPHRASE", "DXD_DIR", "DXD_LOG_LEVEL", "DXD_API", "DXD_ANCHOR_FINALITY", "DXD_ANCHOR_INTERVAL"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	return cmd
}

// daemon runs `dxd run --dir DIR ARG…` and waits until it is ready: `daemon DIR ARG…`.
// Its log is in DIR.log when it has ended.
func daemon(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: daemon DIR [ARG…]")
	}
	cmd := command(ts, append([]string{"run", "--dir", args[0]}, args[1:]...)...)
	logged, err := cmd.StderrPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	p := &process{cmd: cmd, done: make(chan struct{})}
	ready := make(chan struct{})
	go p.follow(logged, ready, ts.MkAbs(args[0])+".log")
	ts.Value(daemonsKey{}).(map[string]*process)[args[0]] = p
	ts.Defer(func() {
		cmd.Process.Kill() // it may have ended already
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

// stop ends a daemon with SIGTERM and wants exit code 0: `stop DIR`.
func stop(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: stop DIR")
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
	cmd := command(ts, append([]string{"send", "-", "--dir", args[0]}, args[1:]...)...)
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
