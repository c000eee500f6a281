//go:build fault

package badger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"dxd/blobstore"
	"dxd/record"
)

// smallDisk mounts a tmpfs, which needs root.
func smallDisk(t *testing.T, mib int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+strconv.Itoa(mib)+"m"); err != nil {
		t.Fatalf("couldn't mount a tmpfs (run as root): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill takes all of the disk but so many bytes, as another program might.
func fill(t *testing.T, dir string, leave int64) (empty func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	free, err := freeSpace(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(f, io.LimitReader(zeros{}, free-leave))
	if err != nil && (leave > 0 || !errors.Is(err, syscall.ENOSPC)) {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAFullDiskRefusesAndRecovers(t *testing.T) {
	dir := smallDisk(t, 150)
	s := open(t, filepath.Join(dir, "store"), Options{Reserve: 4 * floor}) // half of which only deletions may touch
	set(t, s, "b", []byte("1"))
	empty := fill(t, dir, 0)
	wantKind(t, s.Update(context.Background(), func(tx blobstore.Tx) error { return tx.Set("a", nil) }), record.Full)
	wantKind(t, s.Update(context.Background(), func(tx blobstore.Tx) error { return tx.Delete("b") }), record.Full)
	empty()
	empty = fill(t, dir, floor+1<<20)
	wantKind(t, s.Update(context.Background(), func(tx blobstore.Tx) error { return tx.Set("a", nil) }), record.Full)
	if err := s.Update(context.Background(), func(tx blobstore.Tx) error { return tx.Delete("b") }); err != nil {
		t.Errorf("a deletion with some room: %v", err)
	}
	empty()
	set(t, s, "a", []byte("1"))
	closeStore(t, s)
}

// TestTheJournalItselfFillsNoDisk writes and overwrites until the store wants
// no more, with all the compactions that follow from it.
func TestTheJournalItselfFillsNoDisk(t *testing.T) {
	dir := smallDisk(t, 250)
	s := open(t, filepath.Join(dir, "store"), Options{})
	updateUntilFull(t, s)
	closeStore(t, s)
	if free, err := freeSpace(dir); err != nil || free < floor {
		t.Errorf("%d bytes left, %v", free, err)
	}
	closeStore(t, open(t, filepath.Join(dir, "store"), Options{}))
}

// TestWhatWasConfirmedSurvivesAFullDisk takes the disk away from a writer at
// once. If that is in the middle of a compaction, the writer is killed.
func TestWhatWasConfirmedSurvivesAFullDisk(t *testing.T) {
	dir := smallDisk(t, 250)
	store := filepath.Join(dir, "store")
	var empty func()
	confirmed := map[int64]bool{}
	for _, n := range runWriter(t, store, 400, func(*os.Process) error {
		empty = fill(t, dir, 0)
		return nil
	}) {
		confirmed[n] = true
	}
	_, err := Open(store, newSealer(t, 1), Options{})
	wantKind(t, err, record.Full)
	empty()
	s := open(t, store, Options{})
	defer closeStore(t, s)
	if err := s.View(context.Background(), func(tx blobstore.ReadTx) error { return checkCounted(tx, confirmed) }); err != nil {
		t.Fatal(err)
	}
	set(t, s, "a", []byte("1"))
}

// updateUntilFull writes until the store wants no more, and finds all of it.
func updateUntilFull(t *testing.T, s *Store) {
	t.Helper()
	n := 0
	var err error
	for err == nil {
		err = s.Update(context.Background(), func(tx blobstore.Tx) error {
			return tx.Set(blobstore.Key(fmt.Sprintf("k/%08d", n)), make([]byte, 100<<10))
		})
		if err == nil {
			n++
		}
	}
	wantKind(t, err, record.Full)
	if n < 200 {
		t.Errorf("full after %d updates of 100 KiB", n)
	}
	for i := range n {
		if _, err := get(s, blobstore.Key(fmt.Sprintf("k/%08d", i))); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAFullDiskRefusesToOpen(t *testing.T) {
	dir := smallDisk(t, 200)
	path := filepath.Join(dir, "store")
	s := open(t, path, Options{})
	set(t, s, "a", []byte("1"))
	closeStore(t, s)
	empty := fill(t, dir, 1<<20)
	_, err := Open(path, newSealer(t, 1), Options{})
	wantKind(t, err, record.Full)
	empty()
	s = open(t, path, Options{})
	defer closeStore(t, s)
	if v, err := get(s, "a"); string(v) != "1" {
		t.Errorf("%q, %v", v, err)
	}
}

// TestAPayloadStopsAtTheReserve also has the disk fill up under the writer,
// between two looks at it.
func TestAPayloadStopsAtTheReserve(t *testing.T) {
	dir := smallDisk(t, 400)
	s := open(t, filepath.Join(dir, "store"), Options{})
	defer closeStore(t, s)
	id := blobstore.NewFileID()
	p := errorless(t)(s.Create(id))
	chunk := make([]byte, 64<<10)
	_, err := io.Copy(p, io.LimitReader(zeros{}, 1<<30))
	wantKind(t, err, record.Full)
	free, err := freeSpace(dir)
	if err != nil || free < DefaultReserve-1<<20 || free > DefaultReserve+1<<20 {
		t.Errorf("%d bytes left (%v), the reserve is %d", free, err, DefaultReserve)
	}
	if err := p.Truncate(1 << 20); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write(chunk); err != nil {
		t.Fatal(err)
	}
	empty := fill(t, dir, 0)
	for err = nil; err == nil; {
		_, err = p.Write(chunk)
	}
	wantKind(t, err, record.Full)
	empty()
	if _, err := p.Write(chunk); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// TestAFillingDiskKillsNobody has another program take the disk while updates
// run. Whatever of them was confirmed is there.
func TestAFillingDiskKillsNobody(t *testing.T) {
	dir := smallDisk(t, 200)
	s := open(t, filepath.Join(dir, "store"), Options{})
	done := make(chan int)
	go func() {
		n := 0
		for ; ; n++ {
			err := s.Update(context.Background(), func(tx blobstore.Tx) error {
				return tx.Set(blobstore.Key(fmt.Sprintf("k/%08d", n)), make([]byte, 2000))
			})
			if err != nil {
				if record.KindOf(err) != record.Full {
					t.Error(err)
				}
				break
			}
		}
		done <- n
	}()
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(f, zeros{})
	if !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
	n := <-done
	if err := errors.Join(f.Close(), os.Remove(f.Name())); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if _, err := get(s, blobstore.Key(fmt.Sprintf("k/%08d", i))); err != nil {
			t.Fatal(err)
		}
	}
	set(t, s, "a", []byte("1"))
	closeStore(t, s)
}
