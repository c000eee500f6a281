package badger

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"testing"

	"dxd/blobstore"
	"dxd/record"
)

// crashDir, in the environment, makes the test binary write to the journal
// there until it is killed.
const crashDir = "DXD_TEST_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		if err := writeUntilKilled(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeUntilKilled prints each number after the journal confirmed it.
func writeUntilKilled(dir string) error {
	aead, err := newAEAD(1)
	if err != nil {
		return err
	}
	s, err := Open(dir, aead, Options{})
	if err != nil {
		return err
	}
	var next atomic.Int64
	failed := make(chan error)
	for range 8 {
		go func() {
			for {
				n := next.Add(1)
				err := s.Update(context.Background(), func(tx blobstore.Tx) error { return setCounted(tx, n) })
				if err != nil {
					failed <- err
					return
				}
				fmt.Println(n)
			}
		}()
	}
	return <-failed
}

// setCounted sets two keys, which are to be there both or neither. Some are
// large, so that memtables are flushed under way.
func setCounted(tx blobstore.Tx, n int64) error {
	key := fmt.Sprintf("%016d", n)
	size := 100
	if n%8 == 0 {
		size = 200 << 10
	}
	if err := tx.Set(blobstore.Key("a/"+key), make([]byte, size)); err != nil {
		return err
	}
	return tx.Set(blobstore.Key("b/"+key), []byte(key))
}

func TestWhatWasConfirmedSurvivesAKill(t *testing.T) {
	dir := t.TempDir()
	confirmed := map[int64]bool{}
	for round := range 3 {
		for _, n := range runWriter(t, dir, 400, (*os.Process).Kill) {
			confirmed[n] = true
		}
		s := open(t, dir, Options{})
		err := s.View(context.Background(), func(tx blobstore.ReadTx) error { return checkCounted(tx, confirmed) })
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		closeStore(t, s)
	}
}

// runWriter starts a writer, does to it what ends it after so many
// confirmations, and returns all that it confirmed.
func runWriter(t *testing.T, dir string, limit int, end func(*os.Process) error) (confirmed []int64) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		n, err := strconv.ParseInt(lines.Text(), 10, 64)
		if err != nil {
			break // cut by the kill
		}
		confirmed = append(confirmed, n)
		if len(confirmed) == limit {
			if err := end(cmd.Process); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || len(confirmed) < limit {
		t.Fatalf("the writer ended by itself after %d: %v", len(confirmed), err)
	}
	return confirmed
}

// checkCounted finds both keys of each confirmed number, and of no number one.
func checkCounted(tx blobstore.ReadTx, confirmed map[int64]bool) error {
	for n := range confirmed {
		key := fmt.Sprintf("%016d", n)
		if v, err := tx.Get(blobstore.Key("b/" + key)); err != nil || string(v) != key {
			return fmt.Errorf("confirmed number %d: %q, %w", n, v, err)
		}
	}
	for e, err := range tx.Scan("a/", "", false) {
		if err != nil {
			return err
		}
		if _, err := tx.Get("b" + e.Key[1:]); err != nil {
			return record.Errorf(record.Internal, "%s has lost its other half: %w", e.Key, err)
		}
	}
	return nil
}
