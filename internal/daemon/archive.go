package daemon

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"io"
	"time"

	"dxd/record"
)

// A backup is a tar file (docs/spec/backup.md). Its last entry holds a hash of
// all before it, so that one that was cut, or that a disk has changed, is not
// taken for whole. It is no signature: whoever can write a backup can make one.

// The names of its entries, in their order.
const (
	entryFormat   = "dxd-backup"
	entryVersion  = "version"
	entryKeyring  = "keyring"
	entryConfig   = "dxd.toml"
	entryJournal  = "journal/"  // then eight digits, from 00000000 on
	entryPayloads = "payloads/" // then the payload's name
	entryEnd      = "end"
)

// backupFormat is the content of the first entry.
const backupFormat = "dxd backup, version 1\n"

// packer writes a backup.
type packer struct {
	tar  *tar.Writer
	hash hash.Hash
	made time.Time
}

func newPacker(w io.Writer, made time.Time) *packer {
	return &packer{tar.NewWriter(w), sha256.New(), made}
}

func (p *packer) add(name string, content []byte) error {
	return p.addFrom(name, int64(len(content)), bytes.NewReader(content))
}

func (p *packer) addFrom(name string, size int64, r io.Reader) error {
	hashEntry(p.hash, name, size)
	err := p.tar.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: size, ModTime: p.made, Format: tar.FormatPAX})
	if err != nil {
		return err
	}
	_, err = io.CopyN(io.MultiWriter(p.tar, p.hash), r, size)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// end writes the last entry.
func (p *packer) end() error {
	if err := p.add(entryEnd, []byte(hex.EncodeToString(p.hash.Sum(nil))+"\n")); err != nil {
		return err
	}
	return p.tar.Close()
}

// hashEntry hashes what sets an entry apart from its neighbours; its content
// follows.
func hashEntry(h hash.Hash, name string, size int64) {
	var head []byte
	head = binary.BigEndian.AppendUint64(head, uint64(len(name)))
	head = append(head, name...)
	h.Write(binary.BigEndian.AppendUint64(head, uint64(size)))
}

// unpacker reads a backup.
type unpacker struct {
	tar  *tar.Reader
	hash hash.Hash
	name string // of the entry that is read
	made time.Time
}

func newUnpacker(r io.Reader) *unpacker { return &unpacker{tar: tar.NewReader(r), hash: sha256.New()} }

// next goes on to the next entry, and is its content. At the end the name is
// entryEnd, and everything before it has the hash that it says.
func (u *unpacker) next() (name string, content io.Reader, err error) {
	sum := hex.EncodeToString(u.hash.Sum(nil)) + "\n"
	h, err := u.tar.Next()
	if err != nil {
		return "", nil, badBackup("it ends early, or is no backup")
	}
	if h.Typeflag != tar.TypeReg {
		return "", nil, badBackup("it holds more than files")
	}
	u.name, u.made = h.Name, h.ModTime
	hashEntry(u.hash, h.Name, h.Size)
	if h.Name != entryEnd {
		return h.Name, io.TeeReader(u.tar, u.hash), nil
	}
	said, err := io.ReadAll(io.LimitReader(u.tar, 100))
	if err != nil || string(said) != sum {
		return "", nil, badBackup("it is not as it was written")
	}
	if _, err := u.tar.Next(); err != io.EOF {
		return "", nil, badBackup("something stands behind its end")
	}
	return entryEnd, nil, nil
}

// small reads the entry that has to come next.
func (u *unpacker) small(name string) ([]byte, error) {
	got, content, err := u.next()
	if err != nil {
		return nil, err
	}
	if got != name {
		return nil, badBackup("it lacks " + name)
	}
	data, err := io.ReadAll(io.LimitReader(content, maxSmall+1))
	if err != nil || len(data) > maxSmall {
		return nil, badBackup("its " + name + " is not to be read")
	}
	return data, nil
}

// maxSmall bounds keyring and configuration, in bytes.
const maxSmall = 1 << 20

func badBackup(why string) error {
	return record.WithHint(record.Errorf(record.Damaged, "this backup can't be used: %s", why), "take another one; each `dxd backup` is whole in itself")
}

// CheckBackup reads a backup to its end and tells whether it is whole.
func CheckBackup(r io.Reader) error {
	u := newUnpacker(r)
	if err := u.checkFormat(); err != nil {
		return err
	}
	for {
		name, content, err := u.next()
		if err != nil || name == entryEnd {
			return err
		}
		if _, err := io.Copy(io.Discard, content); err != nil {
			return badBackup("it ends early")
		}
	}
}

func (u *unpacker) checkFormat() error {
	format, err := u.small(entryFormat)
	if err != nil {
		return err
	}
	if string(format) != backupFormat {
		return record.WithHint(record.Errorf(record.Invalid, "not a backup that this dxd can read: %q", record.Printable(string(format), 80)),
			"a newer dxd may have written it")
	}
	return nil
}
