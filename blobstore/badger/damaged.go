package badger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"dxd/record"
)

// checkLogs refuses a journal whose logs (NNNNN.mem) are damaged. Badger takes
// whatever does not hold for the end of a commit that a crash tore, and throws
// it away with all that was committed after it (memtable.go, UpdateSkipList):
// one flipped bit could undo what was promised. So it is asked before Badger
// looks, and Badger's format is read here.
//
// Each commit is on the disk before the next begins. A crash can therefore
// tear the last one alone; where a later one follows, it was no crash.
func checkLogs(dir string) error {
	unlock, err := lockJournal(dir)
	if err != nil || unlock == nil {
		return err
	}
	defer unlock()
	if err := removeEmpty(dir); err != nil {
		return err
	}
	logs, err := filepath.Glob(filepath.Join(dir, "*.mem"))
	if err != nil {
		return record.Errorf(record.Internal, "couldn't look for the journal's logs: %w", err)
	}
	for _, path := range logs {
		data, err := os.ReadFile(path) // as large as a memtable
		if err != nil {
			return diskError(err, "couldn't read the journal's log: %w", err)
		}
		if lostCommits(data) {
			return errDamaged(errors.New("a commit in its log does not hold, and others follow"))
		}
	}
	return nil
}

// removeEmpty removes logs without a size: the process died between making one
// and giving it a size, or the power went before that was on the disk. Nothing
// is in them, and Badger fails over them, once.
func removeEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return diskError(err, "couldn't look for the journal's logs: %w", err)
	}
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); ext != ".mem" && ext != ".vlog" {
			continue
		}
		info, err := e.Info()
		if err == nil && info.Size() == 0 {
			err = os.Remove(filepath.Join(dir, e.Name()))
		}
		if err != nil {
			return diskError(err, "couldn't remove an empty log of the journal: %w", err)
		}
	}
	return nil
}

// lockJournal takes the lock that Badger takes. It gives nil if there is
// nothing to look at, or another process has it, whom Badger will report.
func lockJournal(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, diskError(err, "couldn't open the journal: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, nil
	}
	return func() {
		// Closing is not enough: a process that is being started at this moment
		// shares the open file, and would keep the lock until it runs.
		syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
		f.Close()
	}, nil
}

// logHeader is how many bytes a log has before its first entry.
const logHeader = 20

// lastOfCommit is set in the entry that ends a commit. Its key is commitMark
// and the commit's number, as Badger writes numbers, its value the number in
// decimal.
const (
	lastOfCommit = 1 << 7
	commitMark   = "!badger!txn"
)

// lostCommits tells whether a log, read from its beginning, stops to hold
// before a commit that was complete when a later one was written.
func lostCommits(data []byte) bool {
	if len(data) < logHeader {
		return false
	}
	rest := data[logHeader:]
	last := uint64(0) // the last commit that holds; commits count from 1
	for {
		e, size := firstEntry(rest)
		if size == 0 {
			break
		}
		rest = rest[size:]
		if n, ok := e.commit(); ok {
			last = n
		}
	}
	torn := last + 1
	for _, n := range marks(rest) {
		if last == 0 { // nothing holds, and the first mark may be of the torn one
			last, torn = n-1, n
		}
		if n > torn {
			return true
		}
	}
	return false
}

// logEntry is what a log says of one write.
type logEntry struct {
	meta       byte
	key, value []byte
}

// commit is the number of the commit that the entry ends.
func (e logEntry) commit() (uint64, bool) {
	if e.meta&lastOfCommit == 0 {
		return 0, false
	}
	n, err := strconv.ParseUint(string(e.value), 10, 64)
	return n, err == nil
}

// firstEntry reads the entry at the beginning: two bytes of which the first
// says what it is, the lengths of key and value, when it expires, key, value,
// and a checksum. Its size is 0 if there is none that holds.
func firstEntry(b []byte) (e logEntry, size int) {
	if len(b) < 2 {
		return e, 0
	}
	at := 2
	var lengths [3]uint64 // of key and value; and the time of expiry
	for i := range lengths {
		v, n := binary.Uvarint(b[at:])
		if n <= 0 || v > math.MaxUint32 {
			return e, 0
		}
		lengths[i] = v
		at += n
	}
	key, value := at+int(lengths[0]), at+int(lengths[0]+lengths[1])
	if lengths[0] == 0 || value+crc32.Size > len(b) {
		return e, 0
	}
	if crc32.Checksum(b[:value], crc32.MakeTable(crc32.Castagnoli)) != binary.BigEndian.Uint32(b[value:]) {
		return e, 0
	}
	return logEntry{b[0], b[at:key], b[key:value]}, value + crc32.Size
}

// marks are the numbers of the commits whose ends stand in the bytes, in
// their order.
func marks(b []byte) (all []uint64) {
	for {
		_, after, found := bytes.Cut(b, []byte(commitMark))
		if !found || len(after) < 8 {
			return all
		}
		n := math.MaxUint64 - binary.BigEndian.Uint64(after)
		if bytes.HasPrefix(after[8:], strconv.AppendUint(nil, n, 10)) {
			all = append(all, n)
		}
		b = after
	}
}
