package statedir

import (
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"dxd/record"
)

// Lock says that a process uses the state directory. The kernel drops it when
// the process ends, however it ends.
type Lock struct {
	file      *os.File
	exclusive bool
}

// passing is how long Lock waits for commands that only look: a daemon that
// starts is not to fail over one.
const passing = 2 * time.Second

// Lock takes the directory for this process alone. While another process has
// it for itself, and if others go on sharing it, the error is of kind Conflict.
func (d Dir) Lock() (*Lock, error) { return d.lock(syscall.LOCK_EX) }

// LockShared keeps others from taking the directory alone; any number of
// processes may hold it so. The error is of kind Conflict while one has it
// for itself.
func (d Dir) LockShared() (*Lock, error) { return d.lock(syscall.LOCK_SH) }

func (d Dir) lock(how int) (*Lock, error) {
	path := d.join(lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fileError("couldn't lock %q: %w", path, err)
	}
	l := &Lock{file: f, exclusive: how == syscall.LOCK_EX}
	err = l.take(how)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		defer f.Close()
		return nil, d.inUse(owner(f))
	}
	if err == nil && l.exclusive {
		err = l.writePID()
	}
	if err != nil {
		f.Close() // which drops the lock, if there is one
		return nil, fileError("couldn't lock %q: %w", path, err)
	}
	return l, nil
}

// writePID tells the one who comes next whom to ask. It is read by people
// only: what counts is the kernel's lock.
func (l *Lock) writePID() error {
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	_, err := l.file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// take asks the kernel. Who shares the directory left no number in the file.
func (l *Lock) take(how int) (err error) {
	for begun := time.Now(); ; time.Sleep(passing / 100) {
		err = syscall.Flock(int(l.file.Fd()), how|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) || !l.exclusive || owner(l.file) > 0 || time.Since(begun) > passing {
			return err
		}
	}
}

// owner is the process that has the directory for itself, or 0.
func owner(f *os.File) int {
	content, err := io.ReadAll(io.NewSectionReader(f, 0, 32))
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(content))) // 0, too
	return pid
}

func (d Dir) inUse(pid int) error {
	who := "another dxd"
	if pid > 0 {
		who += " (pid " + strconv.Itoa(pid) + ")"
	}
	return record.WithHint(
		record.Errorf(record.Conflict, "the state directory %q is in use by %s", d.path, who),
		"stop that one first; two organisations on one machine need two directories (--dir)")
}

// Unlock gives the directory free.
func (l *Lock) Unlock() error {
	var err error
	if l.exclusive {
		err = l.file.Truncate(0)
	}
	return errors.Join(err, l.file.Close())
}
