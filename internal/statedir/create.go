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

// Create makes a state directory. The directory may exist if it is empty, as
// a mounted volume does; if it holds a state directory already, or anything
// else, the error is of kind Conflict. fill, which may be nil, puts in what
// has its own form: the journal.
//
// A directory counts as a state directory once its keyring is there, which is
// written last and never over another. Until then a mark says that all of it
// is to be thrown away: so a crash leaves nothing that Open takes, and nothing
// that keeps a second Create from succeeding.
func Create(path string, keyring, config []byte, fill func(Dir) error) (Dir, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return Dir{}, record.Errorf(record.Internal, "couldn't tell where %q is: %w", path, err)
	}
	made, err := makeDir(abs)
	if err != nil {
		return Dir{}, err
	}
	d := Dir{abs}
	if err := d.create(keyring, config, fill); err != nil {
		if made {
			// Fails, as it should, if something is left in it.
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
	has := func(name string) bool {
		return slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == name })
	}
	if has(keyringName) {
		return record.WithHint(record.Errorf(record.Conflict, "%q holds a state directory already", path),
			"--dir or DXD_DIR names another place; a state directory holds keys that can't be made again")
	}
	for _, e := range entries {
		// A journal whose keyring is gone is no leftover: its keyring may be
		// in a backup.
		harmless := slices.Contains([]string{unfinishedName, lockName, "lost+found"}, e.Name())
		if !harmless && !(has(unfinishedName) && isOurs(e.Name())) {
			return record.WithHint(record.Errorf(record.Conflict, "%q is not empty", path),
				"--dir or DXD_DIR names an empty or new directory")
		}
	}
	return nil
}

// isOurs tells whether an unfinished Create may have left a file of this name.
func isOurs(name string) bool {
	return isTemporary(name) || slices.Contains([]string{versionName, configName, JournalName, PayloadsName, lockName, unfinishedName, restoredName}, name)
}

// makeDir makes the directory, and its parents, or keeps others out of one
// that exists.
func makeDir(path string) (made bool, err error) {
	if err := CanCreate(path); err != nil {
		return false, err
	}
	if err := makeAbove(filepath.Dir(path)); err != nil {
		return false, err
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

// makeAbove makes a directory and those above it, durably: a loss of power must
// not take away the way to a state directory.
func makeAbove(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil // what else is amiss, the next step says
	}
	if err := makeAbove(filepath.Dir(path)); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fileError("couldn't make the directory %q: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

func (d Dir) create(keyring, config []byte, fill func(Dir) error) error {
	lock, err := d.Lock()
	if err != nil {
		return err
	}
	// Again, now that nobody else can begin.
	err = CanCreate(d.path)
	if err == nil {
		if err = d.begin(); err == nil {
			err = d.finish(keyring, config, fill)
		}
		if err != nil {
			err = errors.Join(err, d.clear())
		}
	}
	return errors.Join(err, lock.Unlock())
}

// begin puts the mark in, and then throws out what an earlier Create left.
func (d Dir) begin() error {
	if err := WriteFile(d.join(unfinishedName), nil, 0o600); err != nil {
		return err
	}
	return d.remove(func(name string) bool { return name != unfinishedName && name != lockName })
}

func (d Dir) finish(keyring, config []byte, fill func(Dir) error) error {
	version := []byte(strconv.Itoa(Version) + "\n")
	if err := WriteFile(d.join(versionName), version, 0o600); err != nil {
		return err
	}
	if err := d.WriteConfig(config); err != nil {
		return err
	}
	if fill != nil {
		if err := fill(d); err != nil {
			return err
		}
	}
	if err := writeNew(d.KeyringPath(), keyring, 0o600); err != nil {
		if !errors.Is(err, fs.ErrExist) {
			// It may be in place and not durable, and what it opens goes now.
			err = errors.Join(err, removeIfThere(d.KeyringPath()))
		}
		return err
	}
	// At this point the state directory exists and is durable. The mark says
	// nothing beside a keyring: that it can't be removed does no harm.
	os.Remove(d.join(unfinishedName))
	return nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fileError("couldn't clear %q: %w", path, err)
	}
	return nil
}

// clear removes what a Create that failed has made, the mark at the end.
func (d Dir) clear() error {
	if err := d.remove(func(name string) bool { return name != unfinishedName }); err != nil {
		return err
	}
	return d.remove(func(string) bool { return true })
}

func (d Dir) remove(which func(name string) bool) error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return fileError("couldn't clear %q: %w", d.path, err)
	}
	for _, e := range entries {
		if !isOurs(e.Name()) || !which(e.Name()) {
			continue
		}
		if err := os.RemoveAll(d.join(e.Name())); err != nil {
			return fileError("couldn't clear %q: %w", d.path, err)
		}
	}
	return nil
}
