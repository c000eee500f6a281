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
	if err := syscall.Fallocate(int(f.Fd()), 0, 0, free-leave); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAFullDiskRefusesAndRecovers(t *testing.T) {
	dir := smallDisk(t, 200)
	s := open(t, filepath.Join(dir, "store"), Options{})
	kept := updateUntilFull(t, s)
	if free, err := freeSpace(dir); err != nil || free < floor {
		t.Errorf("%d bytes left, %v", free, err)
	}
	empty := fill(t, dir, 0)
	wantKind(t, s.Update(context.Background(), func(tx blobstore.Tx) error { return tx.Set("a", nil) }), record.Full)
	wantKind(t, s.Update(context.Background(), func(tx blobstore.Tx) error { return tx.Delete("a") }), record.Full)
	empty()
	for i := range kept { // room comes of what is deleted, sooner or later
		err := s.Update(context.Background(), func(tx blobstore.Tx) error {
			return tx.Delete(blobstore.Key(fmt.Sprintf("k/%08d", i)))
		})
		if err != nil {
			t.Fatalf("deletion %d of %d: %v", i, kept, err)
		}
	}
	closeStore(t, s)
	s = open(t, filepath.Join(dir, "store"), Options{})
	defer closeStore(t, s)
	set(t, s, "a", []byte("1"))
}

// updateUntilFull writes until the store wants no more, and finds all of it.
func updateUntilFull(t *testing.T, s *Store) (n int) {
	t.Helper()
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
	return n
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
