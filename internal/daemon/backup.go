package daemon

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"dxd/blobstore"
	"dxd/blobstore/badger"
	"dxd/event"
	"dxd/exchange"
	"dxd/internal/statedir"
	"dxd/record"
)

// Backup takes a snapshot of the state directory, and gives what writes it as
// a backup; the caller has to call it, and once. Everything in it is sealed,
// and the keyring locked, as on the disk.
func (o *Organisation) Backup(ctx context.Context) (func(io.Writer) error, error) {
	config, err := o.Dir.Config()
	if err != nil {
		return nil, err
	}
	snapshot, keyring, err := o.moment()
	if err != nil {
		return nil, err
	}
	return func(w io.Writer) error {
		return errors.Join(pack(ctx, newPacker(w, time.Now().UTC().Truncate(time.Second)), keyring, config, snapshot), snapshot.Close())
	}, nil
}

// moment takes a snapshot, and the keyring that was there before it as after
// it: the two must know the same keys.
func (o *Organisation) moment() (*badger.Snapshot, []byte, error) {
	before, err := o.Dir.Keyring()
	for range 5 {
		if err != nil {
			return nil, nil, err
		}
		snapshot, err := o.Store.Snapshot()
		if err != nil {
			return nil, nil, err
		}
		after, err := o.Dir.Keyring()
		if err == nil && bytes.Equal(before, after) {
			return snapshot, after, nil
		}
		if err := errors.Join(err, snapshot.Close()); err != nil {
			return nil, nil, err
		}
		before = after
	}
	return nil, nil, record.WithHint(record.Errorf(record.Unavailable, "keys are being changed"), "try again in a moment")
}

func pack(ctx context.Context, p *packer, keyring, config []byte, s *badger.Snapshot) error {
	for _, e := range []struct {
		name    string
		content []byte
	}{
		{entryFormat, []byte(backupFormat)}, {entryVersion, fmt.Appendln(nil, statedir.Version)}, {entryKeyring, keyring}, {entryConfig, config},
	} {
		if err := p.add(e.name, e.content); err != nil {
			return err
		}
	}
	n := 0
	for chunk, err := range s.Journal() {
		if err = errors.Join(err, ctx.Err()); err == nil {
			err = p.add(fmt.Sprintf("%s%08d", entryJournal, n), chunk)
		}
		if err != nil {
			return err
		}
		n++
	}
	for f, err := range s.Payloads() {
		if err = errors.Join(err, ctx.Err()); err == nil {
			err = packPayload(p, s, f)
		}
		if err != nil {
			return err
		}
	}
	return p.end()
}

func packPayload(p *packer, s *badger.Snapshot, f blobstore.FileInfo) error {
	r, err := s.Open(f.ID)
	if err != nil {
		return err
	}
	return errors.Join(p.addFrom(entryPayloads+f.ID.String(), f.Size, r), r.Close())
}

// Restore makes a state directory of a backup. It needs no passphrase. The
// daemon does not start on it before ConfirmRestore.
func Restore(r io.Reader, path string) (dir statedir.Dir, made time.Time, err error) {
	u := newUnpacker(r)
	if err := u.checkFormat(); err != nil {
		return dir, made, err
	}
	version, err := u.small(entryVersion)
	if err != nil {
		return dir, made, err
	}
	if want := fmt.Sprintln(statedir.Version); string(version) != want {
		return dir, made, record.WithHint(record.Errorf(record.Invalid, "the backup is of a state directory of another version: %q", record.Printable(string(version), 32)),
			"restore it with the dxd that made it, or a later one")
	}
	keyring, err := u.small(entryKeyring)
	if err != nil {
		return dir, made, err
	}
	config, err := u.small(entryConfig)
	if err != nil {
		return dir, made, err
	}
	dir, err = statedir.Create(path, keyring, config, func(d statedir.Dir) error {
		if err := unpack(u, d.Path()); err != nil {
			return err
		}
		return d.MarkRestored(u.made)
	})
	return dir, u.made, err
}

// unpack fills the journal and the payloads. It ends well only at the mark
// that says that all of the backup is as it was written.
func unpack(u *unpacker, dir string) error {
	l, err := badger.NewLoader(dir)
	if err != nil {
		return err
	}
	if err := load(u, l); err != nil {
		return errors.Join(err, l.Abort())
	}
	return l.Close()
}

func load(u *unpacker, l *badger.Loader) error {
	chunks := 0
	for {
		name, content, err := u.next()
		if err != nil {
			return err
		}
		payload, isPayload := strings.CutPrefix(name, entryPayloads)
		switch {
		case name == entryEnd && chunks == 0:
			return badBackup("it lacks the journal")
		case name == entryEnd:
			return nil
		case name == fmt.Sprintf("%s%08d", entryJournal, chunks):
			chunks++
			err = l.Journal(content)
		case isPayload:
			var id blobstore.FileID
			if id, err = blobstore.ParseFileID(payload); err == nil {
				err = l.Payload(id, content)
			}
		default:
			err = badBackup("it holds what is no part of one")
		}
		// It is the backup that ends, not the disk that fails.
		if errors.Is(err, io.ErrUnexpectedEOF) || record.KindOf(err) == record.Damaged && record.Hint(err) == "" {
			err = badBackup("it ends early, or is not as it was written")
		}
		if err != nil {
			return err
		}
	}
}

// checkConfirmed refuses to run what was restored before somebody has looked at
// it: what a backup says of partners may not be true any more.
func checkConfirmed(dir statedir.Dir) error {
	made, restored, err := dir.Restored()
	if err != nil || !restored {
		return err
	}
	return record.WithHint(
		record.Errorf(record.Refused, "this state directory was restored from a backup of %s, and nobody has confirmed yet that its partners are still right", made.Format(time.DateTime)),
		"`dxd restore confirm` shows them and asks")
}

// ConfirmRestore lets a restored state directory run. Its numbers go on in
// another epoch, since those after the backup may have been used.
func (o *Organisation) ConfirmRestore(ctx context.Context) error {
	made, restored, err := o.Dir.Restored()
	if err != nil {
		return err
	}
	if !restored {
		return record.Errorf(record.Conflict, "this state directory was not restored, or somebody has confirmed it")
	}
	var epoch record.Epoch
	rand.Read(epoch[:])
	if err := o.Store.Update(ctx, func(tx blobstore.Tx) error {
		text := "this state directory was restored from a backup of " + made.Format(time.DateTime) + "; what is sent from now on is numbered in another epoch"
		if err := event.Append(tx, event.Event{Type: event.Alarm, Time: time.Now().UnixMilli(), Text: text}); err != nil {
			return err
		}
		return exchange.Restored(tx, epoch, made)
	}); err != nil {
		return err
	}
	// At this point the epoch is another one, for good. A crash before the
	// mark is gone asks once more, and begins one more.
	return o.Dir.ConfirmRestored()
}
