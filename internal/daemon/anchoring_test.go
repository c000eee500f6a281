package daemon

import (
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

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
	time.Sleep(50 * time.Millisecond)
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
