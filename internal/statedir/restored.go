package statedir

import (
	"os"
	"strings"
	"time"

	"dxd/record"
)

// MarkRestored notes that the directory was made of a backup of that time, and
// that nobody has looked at it yet.
func (d Dir) MarkRestored(made time.Time) error {
	return WriteFile(d.join(restoredName), []byte(made.UTC().Format(time.RFC3339)+"\n"), 0o600)
}

// Restored tells whether there is such a mark, and of which time the backup is.
func (d Dir) Restored() (made time.Time, restored bool, err error) {
	path := d.join(restoredName)
	content, err := ReadFile(path, 64)
	if record.KindOf(err) == record.NotFound {
		return made, false, nil
	}
	if err != nil {
		return made, false, err
	}
	if made, err = time.Parse(time.RFC3339, strings.TrimSpace(string(content))); err != nil {
		return made, false, record.Errorf(record.Damaged, "%q does not say of when the backup is", path)
	}
	return made, true, nil
}

// ConfirmRestored removes the mark, for good.
func (d Dir) ConfirmRestored() error {
	if err := os.Remove(d.join(restoredName)); err != nil {
		return fileError("couldn't remove %q: %w", d.join(restoredName), err)
	}
	return syncDir(d.path)
}
