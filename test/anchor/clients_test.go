package anchor_test

import (
	"maps"
	"testing"

	"dxd/internal/devchain"
	"dxd/record"
)

// ethereum is an implementation of the chain that a test drives.
type ethereum interface {
	URL() string
	Head() int64
	Mine(n int) error
	Pause()  // no block comes but by Mine
	Resume() // blocks come on demand and every second
	Reorg(depth int, drop bool) error
	Close() error
}

// launcher starts one on a data directory, and a port unless that is 0, with
// coin on the account. It may be closed twice.
type launcher func(t *testing.T, dir string, port int, fund record.Account) ethereum

// clients are those on which the suite runs.
func clients() map[string]launcher {
	all := map[string]launcher{"go-ethereum": inProcess}
	maps.Copy(all, others)
	return all
}

func inProcess(t *testing.T, dir string, port int, fund record.Account) ethereum {
	dev, err := devchain.Start(devchain.Config{Dir: dir, Port: port, Fund: []record.Account{fund}})
	must(t, err)
	return dev
}
