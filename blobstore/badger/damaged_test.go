package badger

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"dxd/blobstore"
	"dxd/record"
)

// killed is the directory of a store as kill -9 leaves it: n commits, each of
// one row, lie in its log. ends are where they end there.
func killed(t *testing.T, n int) (dir, log string, ends []int) {
	t.Helper()
	live := t.TempDir()
	s := open(t, live, Options{})
	log = filepath.Join("journal", "00001.mem")
	for i := range n {
		set(t, s, row(i), bytes.Repeat([]byte("v"), 10*i))
		content, err := os.ReadFile(filepath.Join(live, log))
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, len(bytes.TrimRight(content, "\x00")))
	}
	dir = t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "store"), os.DirFS(live)); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	return filepath.Join(dir, "store"), log, ends
}

func row(i int) blobstore.Key { return blobstore.Key(fmt.Sprintf("row/%02d", i)) }

// reopened opens a copy of the directory with another log, and counts its
// rows, which have to be the first ones.
func reopened(t *testing.T, dir, log string, content []byte) (rows int, err error) {
	t.Helper()
	other := filepath.Join(t.TempDir(), "store")
	if err := os.CopyFS(other, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other, log), content, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(other, newSealer(t, 1), Options{})
	if err != nil {
		return 0, err
	}
	defer closeStore(t, s)
	for ; ; rows++ {
		if _, err := get(s, row(rows)); record.KindOf(err) == record.NotFound {
			break
		} else if err != nil {
			return rows, err
		}
	}
	for i := rows; i < 20; i++ {
		if _, err := get(s, row(i)); err == nil {
			t.Errorf("row %d is there without row %d", i, rows)
		}
	}
	return rows, nil
}

func TestALogThatWasTornKeepsWhatWasConfirmed(t *testing.T) {
	dir, log, ends := killed(t, 6)
	whole, err := os.ReadFile(filepath.Join(dir, log))
	if err != nil {
		t.Fatal(err)
	}
	begin, end := ends[4], ends[5]
	for at := begin; at <= end; at++ {
		// Pages of the last commit reach the disk in any order.
		for name, hole := range map[string][2]int{"from": {at, end}, "up to": {begin, at}} {
			torn := bytes.Clone(whole)
			clear(torn[hole[0]:hole[1]])
			if lostCommits(torn) {
				t.Errorf("torn %s %d of %d: taken for damaged", name, at-begin, end-begin)
			}
			if at%40 != 0 {
				continue
			}
			if rows, err := reopened(t, dir, log, torn); err != nil || rows < 5 {
				t.Errorf("torn %s %d of %d: %d rows, %v", name, at-begin, end-begin, rows, err)
			}
		}
	}
}

func TestALogWithAFlippedBitIsRefused(t *testing.T) {
	dir, log, ends := killed(t, 6)
	whole, err := os.ReadFile(filepath.Join(dir, log))
	if err != nil {
		t.Fatal(err)
	}
	if lostCommits(whole) {
		t.Error("a whole log is taken for damaged")
	}
	for at := logHeader; at < ends[4]; at++ {
		for bit := range 8 {
			flipped := bytes.Clone(whole[:ends[5]])
			flipped[at] ^= 1 << bit
			if !lostCommits(flipped) {
				t.Errorf("bit %d of byte %d of %d is not seen", bit, at, ends[4])
			}
		}
	}
	whole[ends[2]+10] ^= 1
	_, err = reopened(t, dir, log, whole)
	wantKind(t, err, record.Damaged)
	if record.Hint(err) == "" {
		t.Error("no hint")
	}
}

func TestALogIsReadWithoutTrust(t *testing.T) {
	for _, data := range [][]byte{
		nil, make([]byte, 19), make([]byte, 20), make([]byte, 1000), bytes.Repeat([]byte{0xff}, 1000),
		append(make([]byte, 20), commitMark...), append(make([]byte, 20), commitMark+"\xff\xff\xff\xff\xff\xff\xff\xfe"...),
	} {
		if lostCommits(data) {
			t.Errorf("%x lost something", data)
		}
	}
}

func TestALogThatADeathLeftEmptyIsNoObstacle(t *testing.T) {
	dir, log, ends := killed(t, 3)
	content, err := os.ReadFile(filepath.Join(dir, log))
	if err != nil {
		t.Fatal(err)
	}
	// Badger makes the next logs before it gives them a size, and of the empty
	// value log nobody syncs that.
	for _, next := range []string{"00099.mem", "000099.vlog"} {
		if err := os.WriteFile(filepath.Join(dir, "journal", next), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := reopened(t, dir, log, content)
	if err != nil || rows != len(ends) {
		t.Errorf("%d of %d rows, %v", rows, len(ends), err)
	}
}
