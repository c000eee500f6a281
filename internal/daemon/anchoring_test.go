package daemon

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

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
