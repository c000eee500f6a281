package statedir

import (
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"dxd/record"
)

// Lock says that a process uses the state directory. The kernel drops it when
// the process ends, however it ends.
type Lock struct {
	file      *os.File
	exclusive bool
}

// Lock takes the directory for this process alone, without waiting. While
// another process holds it in either way, the error is of kind Conflict.
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
	err = syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		defer f.Close()
		return nil, d.inUse(f)
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

func (d Dir) inUse(f *os.File) error {
	who := "another dxd"
	content, err := io.ReadAll(io.LimitReader(f, 32))
	if pid, convErr := strconv.Atoi(strings.TrimSpace(string(content))); err == nil && convErr == nil && pid > 0 {
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
