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

// Lock says that a process has the state directory for itself. The kernel drops
// it when the process ends, however it ends.
type Lock struct{ file *os.File }

// Lock takes the directory for this process alone. While another process has
// it, the error is of kind Conflict.
func (d Dir) Lock() (*Lock, error) {
	path := d.join(lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fileError("couldn't lock %q: %w", path, err)
	}
	l := &Lock{f}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		defer f.Close()
		return nil, d.inUse(owner(f))
	}
	if err == nil {
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

// owner is the process that has the directory, or 0.
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
func (l *Lock) Unlock() error { return errors.Join(l.file.Truncate(0), l.file.Close()) }
