package e2e

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"dxd/exchange"
)

// patience is how long anything may take that should take a moment.
const patience = 60 * time.Second

// patienceFor is how long so many bytes may take on a machine that is slow and
// has more to do.
func patienceFor(size int64) time.Duration {
	return patience + time.Duration(size>>23)*time.Second
}

// process is a running daemon.
type process struct {
	cmd   *exec.Cmd
	begun time.Time
	life  io.Closer     // its standard input, whose end ends it
	log   *watchedLog   // its standard error
	gone  chan struct{} // closed when it has ended and its log is whole
}

// launch starts a daemon and does not wait for it. It dies with the test.
func launch(t testing.TB, dir, logFile string, point exchange.Point) *process {
	t.Helper()
	self, err := os.Executable()
	check(t, err)
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	check(t, err)
	p := &process{cmd: exec.Command(self), log: &watchedLog{file: log, ready: make(chan struct{})}, gone: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), envDir+"="+dir, envPoint+"="+string(point))
	p.cmd.Stderr = p.log
	p.life, err = p.cmd.StdinPipe()
	check(t, err)
	p.begun = time.Now()
	check(t, p.cmd.Start())
	go func() { // ends with the process, for which kill waits
		defer close(p.gone)
		if err := errors.Join(ignoreExit(p.cmd.Wait()), log.Close()); err != nil {
			panic(err)
		}
	}()
	t.Cleanup(p.kill)
	return p
}

// ignoreExit drops the error that only says how a process ended.
func ignoreExit(err error) error {
	if _, ok := err.(*exec.ExitError); ok {
		return nil
	}
	return err
}

// kill ends the process with SIGKILL, if it still runs.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // fails if it has ended
	<-p.gone
	_ = p.life.Close() // Wait has closed it
}

// died tells whether the process was ended by SIGKILL; it must have ended.
func (p *process) died() bool {
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// watchedLog writes a log to a file and sees when the daemon is ready.
type watchedLog struct {
	mu    sync.Mutex // guards what follows
	file  *os.File
	all   bytes.Buffer
	ready chan struct{}
	said  bool
	since time.Time
}

func (l *watchedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all.Write(p)
	if !l.said && bytes.Contains(l.all.Bytes(), []byte("daemon ready")) {
		l.said, l.since = true, time.Now()
		close(l.ready)
	}
	return l.file.Write(p)
}

func (l *watchedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

// within waits for a channel to be closed.
func within(t testing.TB, limit time.Duration, what string, c <-chan struct{}) {
	t.Helper()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-c:
	case <-timer.C:
		t.Fatalf("%s: not within %s", what, limit)
	}
}

// until asks again and again until the answer is "", which is what is amiss.
func until(t testing.TB, what string, amiss func() string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; {
		said := amiss()
		if said == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s: %s", what, patience, said)
		}
		<-tick.C
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
