package party

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
)

// Patience is how long anything may take that should take a moment.
const Patience = 60 * time.Second

// PatienceFor is how long so many bytes may take on a machine that is slow and
// has more to do.
func PatienceFor(size int64) time.Duration {
	return Patience + time.Duration(size>>23)*time.Second
}

// Process is a running daemon.
type Process struct {
	Cmd   *exec.Cmd
	begun time.Time
	life  io.Closer     // its standard input, whose end ends it
	Log   *watchedLog   // its standard error
	Gone  chan struct{} // closed when it has ended and its log is whole
}

// launch starts a daemon and does not wait for it. It dies with the test.
func launch(t testing.TB, logFile string, command []string, env ...string) *Process {
	t.Helper()
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	Check(t, err)
	p := &Process{Cmd: exec.Command(command[0], command[1:]...), Log: &watchedLog{file: log, Ready: make(chan struct{})}, Gone: make(chan struct{})}
	p.Cmd.Env = append(os.Environ(), env...)
	p.Cmd.Stderr = p.Log
	p.life, err = p.Cmd.StdinPipe()
	Check(t, err)
	p.begun = time.Now()
	Check(t, p.Cmd.Start())
	go func() { // ends with the process, for which kill waits
		defer close(p.Gone)
		if err := errors.Join(IgnoreExit(p.Cmd.Wait()), log.Close()); err != nil {
			panic(err)
		}
	}()
	t.Cleanup(p.Kill)
	return p
}

// IgnoreExit drops the error that only says how a process ended.
func IgnoreExit(err error) error {
	if _, ok := err.(*exec.ExitError); ok {
		return nil
	}
	return err
}

// Kill ends the process with SIGKILL, if it still runs.
func (p *Process) Kill() {
	_ = p.Cmd.Process.Kill() // fails if it has ended
	<-p.Gone
	_ = p.life.Close() // Wait has closed it
}

// Died tells whether the process was ended by SIGKILL; it must have ended.
func (p *Process) Died() bool {
	status, ok := p.Cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// watchedLog writes a log to a file and sees when the daemon is ready.
type watchedLog struct {
	mu    sync.Mutex // guards what follows
	file  *os.File
	all   bytes.Buffer
	Ready chan struct{}
	said  bool
	since time.Time
}

func (l *watchedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all.Write(p)
	if !l.said && bytes.Contains(l.all.Bytes(), []byte("daemon ready")) {
		l.said, l.since = true, time.Now()
		close(l.Ready)
	}
	return l.file.Write(p)
}

func (l *watchedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

// Within waits for a channel to be closed.
func Within(t testing.TB, limit time.Duration, what string, c <-chan struct{}) {
	t.Helper()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-c:
	case <-timer.C:
		t.Fatalf("%s: not within %s", what, limit)
	}
}

// Until asks again and again until the answer is "", which is what is amiss.
func Until(t testing.TB, what string, amiss func() string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(Patience); ; {
		said := amiss()
		if said == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s: %s", what, Patience, said)
		}
		<-tick.C
	}
}

// Check ends the test on an error.
func Check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
