package main

import (
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/schollz/progressbar/v3"
)

// The bar follows a file that another process reads, which has the same place
// in it.
func TestTheBarFollowsAFileThatIsReadElsewhere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "document")
	if err := os.WriteFile(path, make([]byte, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		p := &progress{ended: make(chan struct{}), bar: progressbar.NewOptions64(1000, progressbar.OptionSetWriter(io.Discard))}
		p.follow(f)
		for _, at := range []int64{0, 400, 1000} {
			if _, err := f.Seek(at, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			time.Sleep(barPace)
			synctest.Wait()
			if got := p.bar.State().CurrentNum; got != at {
				t.Errorf("the bar is at %d, not %d", got, at)
			}
		}
		p.done() // and nothing goes on, or the bubble would not end
	})
}
