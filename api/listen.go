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
		l, err := listenUnix(path)
		if err != nil {
			return nil, err
		}
		return descriptorListener{l}, nil
	}
	l, err := net.Listen("tcp", api)
	if err != nil {
		hint := "`api` in dxd.toml is unix:PATH or host:port"
		if errors.Is(err, syscall.EADDRINUSE) {
			hint = "another program, perhaps another dxd, listens there; stop it or set `api` in dxd.toml to another port"
		}
		return nil, record.WithHint(record.Errorf(record.Unavailable, "couldn't listen for the API: %w", err), hint)
	}
	return l, nil
}

// maxSocketPath is the longest name that a Unix socket can have on Linux,
// without the NUL at its end.
const maxSocketPath = 107

// listenUnix makes the socket, which only its owner may use.
func listenUnix(path string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, errSocketPath(path)
	}
	private, err := checkDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	if !private {
		return listenAside(path)
	}
	return bind(path)
}

// bind makes the socket in a directory that nobody else can enter: between
// its making and its chmod only that keeps others out.
func bind(path string) (*net.UnixListener, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, record.Errorf(record.Unavailable, "couldn't listen for the API: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, record.Errorf(record.Internal, "couldn't make the API's socket private: %w", err)
	}
	return l, nil
}

// listenAside makes the socket in a private directory beside its place, and
// moves it there when nobody else can use it any more.
func listenAside(path string) (net.Listener, error) {
	aside, err := os.MkdirTemp(filepath.Dir(path), ".dxd")
	if err != nil {
		return nil, record.Errorf(record.Invalid, "couldn't make the API's socket: %w", err)
	}
	defer os.RemoveAll(aside)
	made := filepath.Join(aside, "s")
	if len(made) > maxSocketPath {
		return nil, errSocketPath(path)
	}
	l, err := bind(made)
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // it would look for it at its old place
	if err := os.Rename(made, path); err != nil {
		l.Close()
		return nil, record.Errorf(record.Invalid, "couldn't make the API's socket: %w", err)
	}
	return &movedListener{l, path}, nil
}

// movedListener removes the socket where it is now.
type movedListener struct {
	*net.UnixListener
	path string
}

// Close closes the listener; closing it twice is an error, as of any listener.
func (m *movedListener) Close() error {
	if err := m.UnixListener.Close(); err != nil {
		return err
	}
	return os.Remove(m.path)
}

func errSocketPath(path string) error {
	return record.WithHint(record.Errorf(record.Invalid, "the path of the API's socket is too long, with %d bytes: %s", len(path), path),
		"set `api` to unix:PATH with a shorter path, such as unix:/run/dxd/api.sock")
}

// checkDir makes the directory where there is none, and tells whether nobody
// else can enter it. One in which others could put a socket of their own into
// the place of ours is refused.
func checkDir(dir string) (private bool, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false, record.Errorf(record.Invalid, "couldn't make the directory of the API's socket: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return false, record.Errorf(record.Invalid, "couldn't look at the directory of the API's socket: %w", err)
	}
	mode := info.Mode()
	if mode.Perm()&0o022 != 0 && mode&fs.ModeSticky == 0 {
		return false, record.WithHint(record.Errorf(record.Invalid, "others can write to the directory of the API's socket, %s", dir),
			"give the socket a directory of its own")
	}
	return mode.Perm()&0o077 == 0, nil
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
