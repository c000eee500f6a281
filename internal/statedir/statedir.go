// Package statedir keeps a daemon's state directory: where each thing lies in
// it, that one daemon uses it at a time, and that a file in it is either whole
// and durable or as it was before.
//
// It never looks into a file that it keeps, holds no key, and knows nothing of
// the journal and the payloads but the directory that they share.
package statedir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"dxd/record"
)

// Version of the directory's layout. A directory of a newer one is refused.
const Version = 1

// Names of the files in the directory.
const (
	versionName    = "version"
	configName     = "dxd.toml"
	keyringName    = "keyring"
	lockName       = "lock"
	socketName     = "api.sock"
	unfinishedName = "unfinished"
	restoredName   = "restored"
)

// Names of the directories beside them, which the store makes and fills.
const (
	JournalName  = "journal"
	PayloadsName = "payloads"
)

// maxSmallFile bounds what Keyring and Config read, in bytes.
const maxSmallFile = 1 << 20

// Dir is a state directory. It is a path and holds nothing open.
type Dir struct{ path string }

// Path is the directory itself, absolute. The journal and the payloads are
// below it.
func (d Dir) Path() string { return d.path }

func (d Dir) join(name string) string { return filepath.Join(d.path, name) }

// ConfigPath is the path of dxd.toml.
func (d Dir) ConfigPath() string { return d.join(configName) }

// KeyringPath is the path of the locked keyring.
func (d Dir) KeyringPath() string { return d.join(keyringName) }

// SocketPath is where the daemon's Unix socket is unless the configuration
// says otherwise.
func (d Dir) SocketPath() string { return d.join(socketName) }

// Keyring reads the locked keyring.
func (d Dir) Keyring() ([]byte, error) { return ReadFile(d.KeyringPath(), maxSmallFile) }

// WriteKeyring replaces the locked keyring, whole and durable.
func (d Dir) WriteKeyring(content []byte) error {
	return WriteFile(d.KeyringPath(), content, 0o600)
}

// Config reads dxd.toml.
func (d Dir) Config() ([]byte, error) { return ReadFile(d.ConfigPath(), maxSmallFile) }

// WriteConfig replaces dxd.toml, whole and durable.
func (d Dir) WriteConfig(content []byte) error {
	return WriteFile(d.ConfigPath(), content, 0o600)
}

// CheckWritable tells whether a file can be made in the directory, by making
// one that does not stay.
func (d Dir) CheckWritable() error {
	f, err := NewFile(d.join("probe"), 0o600)
	if err != nil {
		return err
	}
	return f.Abort()
}

// Open finds a state directory. The error is of kind NotFound if there is
// none, Damaged if its keyring is gone, Invalid if a newer dxd made it, and
// Refused if others may read it.
func Open(path string) (Dir, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return Dir{}, record.Errorf(record.Internal, "couldn't tell where %q is: %w", path, err)
	}
	d := Dir{abs}
	if _, err := os.Stat(d.KeyringPath()); err != nil {
		return Dir{}, d.notStateDir(err)
	}
	if err := d.checkVersion(); err != nil {
		return Dir{}, err
	}
	if err := checkPrivate(abs, "chmod 700"); err != nil {
		return Dir{}, err
	}
	return d, checkPrivate(d.KeyringPath(), "chmod 600")
}

// notStateDir explains why there is no keyring to be seen.
func (d Dir) notStateDir(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist) && d.has(JournalName) && !d.has(unfinishedName):
		return record.WithHint(record.Errorf(record.Damaged, "the keyring of the state directory %q is gone", d.path),
			"put "+d.KeyringPath()+" back from a copy, or `dxd restore` a backup into another directory: without it nothing that is here opens")
	case errors.Is(err, fs.ErrNotExist):
		return record.WithHint(record.Errorf(record.NotFound, "there is no state directory at %q", d.path),
			"`dxd init --name NAME` makes one; --dir or DXD_DIR says where it is")
	case errors.Is(err, syscall.ENOTDIR):
		return record.Errorf(record.Invalid, "%q is a file, not a state directory", d.path)
	}
	return fileError("couldn't open state directory %q: %w", d.path, err)
}

// has tells whether something of this name is in the directory.
func (d Dir) has(name string) bool {
	_, err := os.Lstat(d.join(name))
	return err == nil
}

func (d Dir) checkVersion() error {
	path := d.join(versionName)
	content, err := ReadFile(path, 32)
	if err != nil {
		return err
	}
	version, err := strconv.Atoi(strings.TrimSpace(string(content)))
	switch {
	case err != nil || version < 1:
		return record.Errorf(record.Damaged, "%q does not hold a version: %q", path, record.Printable(string(content), 32))
	case version > Version:
		return record.WithHint(
			record.Errorf(record.Invalid, "the state directory %q was made by a newer dxd (version %d, this dxd knows %d)", d.path, version, Version),
			"install the dxd that made it, or a later one")
	}
	return nil
}

// checkPrivate refuses what a group or everyone may touch: the keyring is only
// as safe as its passphrase, and who reaches the socket is an administrator.
func checkPrivate(path, remedy string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fileError("couldn't look at %q: %w", path, err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return record.WithHint(record.Errorf(record.Refused, "%q is open to others (mode %#o)", path, mode),
			remedy+" "+path)
	}
	return nil
}

// fileError gives an error of the file system the kind that a caller can act on.
func fileError(format, path string, err error) error {
	kind := record.Internal
	switch {
	case errors.Is(err, fs.ErrNotExist):
		kind = record.NotFound
	case errors.Is(err, fs.ErrPermission):
		kind = record.Refused
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		kind = record.Full
	case errors.Is(err, syscall.EROFS):
		return record.WithHint(record.Errorf(record.Unavailable, format, path, reason(err)),
			"the disk that holds the state directory is read-only: the kernel's log may say why; see to it, then start dxd again")
	}
	return record.Errorf(kind, format, path, reason(err))
}

// reason drops the operation and path that a PathError repeats.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
