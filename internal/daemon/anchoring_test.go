package daemon

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dxd/blobstore"
	"dxd/hashanchor/queue"
	"dxd/internal/config"
	"dxd/internal/devchain"
	"dxd/record"
)

func TestAContractThatCantBeWrittenDownIsNotUsed(t *testing.T) {
	dir, keys, err := Create(t.Context(), filepath.Join(t.TempDir(), "state"), "Acme", nil, nil)
	check(t, err)
	o, err := Open(t.Context(), dir, config.Default(), keys, slog.New(slog.DiscardHandler), Watcher{})
	check(t, err)
	defer func() { check(t, o.Close()) }()
	dev, err := devchain.Start(devchain.Config{Fund: []record.Account{keys.Account()}})
	check(t, err)
	defer func() { check(t, dev.Close()) }()
	file := filepath.Join(dir.Path(), "dxd.toml")
	aside := filepath.Join(t.TempDir(), "aside")
	check(t, os.Rename(file, aside))
	if _, err := o.Deploy(t.Context(), dev.URL()); err == nil || o.anchors() {
		t.Errorf("it anchors in a contract that the next start will not know: %v", err)
	}
	check(t, os.Rename(aside, file))
	if _, err := o.Deploy(t.Context(), dev.URL()); err != nil || !o.anchors() {
		t.Errorf("and once it can be written down: %v", err)
	}
}

func TestARotationBesideADeploymentLeavesTheQueueItsChain(t *testing.T) {
	dir, keys, err := Create(t.Context(), filepath.Join(t.TempDir(), "state"), "Acme", nil, nil)
	check(t, err)
	o, err := Open(t.Context(), dir, config.Default(), keys, slog.New(slog.DiscardHandler), Watcher{})
	check(t, err)
	defer func() { check(t, o.Close()) }()
	d := &Daemon{Organisation: o, log: slog.New(slog.DiscardHandler)}
	check(t, d.openAnchoring())
	endpoint, err := config.ParseEndpoint("http://127.0.0.1:1")
	check(t, err)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // so that who is woken comes second
	d.anchoring.mu.Lock()
	var rotation sync.WaitGroup
	rotation.Go(func() { check(t, d.setChain()) }) // of the account, before there is a chain
	untilLocked(t, "setChain")
	o.mu.Lock()
	o.Config.Anchor.RPC = []config.Endpoint{endpoint}
	o.mu.Unlock()
	d.anchoring.mu.Unlock()
	check(t, d.setChain()) // of a deployment
	rotation.Wait()
	if d.Queue().Chain == nil {
		t.Error("a chain is configured, and the queue has none")
	}
}

// untilLocked waits until a goroutine waits for a mutex in this function.
func untilLocked(t *testing.T, function string) {
	t.Helper()
	stacks := make([]byte, 1<<20)
	for end := time.Now().Add(time.Minute); time.Now().Before(end); runtime.Gosched() {
		for one := range strings.SplitSeq(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
			if strings.Contains(one, "[sync.Mutex.Lock") && strings.Contains(one, function) {
				return
			}
		}
	}
	t.Fatalf("nothing waits for a mutex in %s", function)
}

// counted is a journal that counts updates, and keeps nothing.
type counted struct {
	blobstore.Journal
	n atomic.Int64
}

func (c *counted) Update(context.Context, func(blobstore.Tx) error) error {
	c.n.Add(1)
	return nil
}

func TestEachQueueIsRunOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &Daemon{anchoring: anchoring{next: make(chan *queue.Queue, 1)}}
		var first, second counted
		d.anchoring.next <- queue.Open(queue.Config{Journal: &first})
		go func() { d.anchoring.next <- queue.Open(queue.Config{Journal: &second}) }() // right behind it
		synctest.Wait()
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- d.runAnchoring(ctx) }()
		synctest.Wait()
		stop()
		check(t, <-done)
		if first.n.Load() != 1 || second.n.Load() != 1 {
			t.Errorf("the first is run %d times, the second %d", first.n.Load(), second.n.Load())
		}
	})
}
