package statedir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"dxd/record"
)

// Create makes a state directory with these two files in it. The directory
// may exist if it is empty, as a mounted volume does. The error is of kind
// Conflict if it holds a state directory already, or anything else.
//
// A directory counts as a state directory once its keyring is there, which is
// written last and never over another. So a crash before leaves nothing that
// Open takes, and nothing that keeps a second Create from succeeding.
func Create(path string, keyring, config []byte) (Dir, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return Dir{}, record.Errorf(record.Internal, "couldn't tell where %q is: %w", path, err)
	}
	made, err := prepare(abs)
	if err != nil {
		return Dir{}, err
	}
	d := Dir{abs}
	if err := d.fill(keyring, config); err != nil {
		if made {
			// Only what is empty but for our own files: others may have come since.
			os.Remove(filepath.Join(abs, versionName))
			os.Remove(d.ConfigPath())
			os.Remove(abs)
		}
		return Dir{}, err
	}
	return d, nil
}

// CanCreate tells early what Create would refuse, before a person has been
// asked for a passphrase.
func CanCreate(path string) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fileError("couldn't use %q as a state directory: %w", path, err)
	}
	for _, e := range entries {
		switch {
		case e.Name() == keyringName:
			return record.WithHint(record.Errorf(record.Conflict, "%q holds a state directory already", path),
				"--dir or DXD_DIR names another place; a state directory holds keys that can't be made again")
		case !leftover(e.Name()):
			return record.WithHint(record.Errorf(record.Conflict, "%q is not empty", path),
				"--dir or DXD_DIR names an empty or new directory")
		}
	}
	return nil
}

// leftover tells whether a file may lie in a directory in which Create did not
// get to its end, or in a volume that has just been made.
func leftover(name string) bool {
	return slices.Contains([]string{versionName, configName, "lost+found"}, name) || isTemporary(name)
}

// prepare makes the directory, and its parents, or checks the one that exists.
func prepare(path string) (made bool, err error) {
	if err := CanCreate(path); err != nil {
		return false, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return false, fileError("couldn't make the directory above %q: %w", path, err)
	}
	err = os.Mkdir(path, 0o700)
	if err == nil {
		return true, syncDir(filepath.Dir(path))
	}
	if !errors.Is(err, fs.ErrExist) {
		return false, fileError("couldn't make the state directory %q: %w", path, err)
	}
	if err := os.Chmod(path, 0o700); err != nil {
		return false, fileError("couldn't keep others out of %q: %w", path, err)
	}
	return false, nil
}

func (d Dir) fill(keyring, config []byte) error {
	version := []byte(strconv.Itoa(Version) + "\n")
	if err := WriteFile(filepath.Join(d.path, versionName), version, 0o600); err != nil {
		return err
	}
	if err := d.WriteConfig(config); err != nil {
		return err
	}
	err := writeNew(d.KeyringPath(), keyring, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return record.Errorf(record.Conflict, "%q holds a state directory already", d.path)
	}
	// At this point the state directory exists and is durable.
	return err
}
