package api

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"dxd/record"
)

// Listen opens a listener: unix:PATH or host:port.
func Listen(api string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(api, "unix:"); ok {
		return listenUnix(path)
	}
	l, err := net.Listen("tcp", api)
	if err != nil {
		return nil, record.WithHint(record.Errorf(record.Unavailable, "couldn't listen for the API: %w", err),
			"`api` in dxd.toml is unix:PATH or host:port")
	}
	return l, nil
}

// maxSocketPath is the longest name that a Unix socket can have on Linux,
// without the NUL at its end.
const maxSocketPath = 107

// listenUnix makes the socket. Between its making and its chmod only the
// directory's mode keeps others out, so that must be 0700.
func listenUnix(path string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, record.WithHint(record.Errorf(record.Invalid, "the path of the API's socket has %d bytes; a socket's can have %d", len(path), maxSocketPath),
			"set `api` to unix:PATH with a shorter path, in a directory of mode 0700")
	}
	if err := privateDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, record.Errorf(record.Unavailable, "couldn't listen for the API: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, record.Errorf(record.Internal, "couldn't make the API's socket private: %w", err)
	}
	return l, nil
}

// privateDir makes the directory, or checks that nobody else can enter it.
func privateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return record.Errorf(record.Invalid, "couldn't make the directory of the API's socket: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return record.Errorf(record.Invalid, "couldn't look at the directory of the API's socket: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return record.WithHint(record.Errorf(record.Invalid, "others can enter the directory of the API's socket, %s", dir),
			"give the socket a directory of its own with mode 0700")
	}
	return nil
}

// removeStale removes a socket that a daemon left behind. One at which
// somebody answers, and what is no socket, stays.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return record.Errorf(record.Invalid, "couldn't look at the API's socket: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return record.Errorf(record.Conflict, "%s is not a socket", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		conn.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return record.WithHint(record.Errorf(record.Conflict, "another daemon answers on %s", path), "stop it first")
	}
	if err := os.Remove(path); err != nil {
		return record.Errorf(record.Internal, "couldn't remove the socket that an earlier daemon left: %w", err)
	}
	return nil
}
