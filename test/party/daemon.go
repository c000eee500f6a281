package party

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"dxd/crypto"
	"dxd/exchange"
	"dxd/internal/config"
	"dxd/internal/daemon"
	"dxd/internal/statedir"
	"dxd/record"
)

// The test binary is the daemon, too, if these are set.
const (
	envDir   = "DXD_PARTY_DIR"    // the state directory to run on
	envPoint = "DXD_PARTY_DIE_AT" // the commit point at which the process dies
)

// Main is the TestMain of a suite over processes: it runs the tests, or is one
// of their daemons.
func Main(m *testing.M) {
	dir := os.Getenv(envDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	if err := runDaemon(dir); err != nil {
		fmt.Fprintf(os.Stderr, "dxd: error: %s: %v\n", record.KindOf(err), err)
		os.Exit(1)
	}
}

// runDaemon is what `dxd run` does, but for the seam, the pace of retries, and
// that the daemon ends with the test.
func runDaemon(dir string) error {
	go func() { // for as long as the process lives
		_, _ = io.Copy(io.Discard, os.Stdin) // ends when the test holds the other end no more
		os.Exit(3)
	}()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	d, err := statedir.Open(dir)
	if err != nil {
		return err
	}
	c, err := config.Load(dir, func(string) (string, bool) { return "", false })
	if err != nil {
		return err
	}
	keys, err := Unlock(d)
	if err != nil {
		return err
	}
	return daemon.Run(ctx, daemon.Options{
		Dir: d, Config: c, Keys: keys, Log: c.Log.Logger(os.Stderr), Seam: dieAt(exchange.Point(os.Getenv(envPoint))),
		Retry: exchange.Retry{First: 20 * time.Millisecond, Longest: 500 * time.Millisecond},
	})
}

// dieAt kills the process at a commit point, as kill -9 does.
func dieAt(point exchange.Point) func(exchange.Point) {
	return func(p exchange.Point) {
		if p == point {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // can't fail: it is our own
			select {}                                      // nothing follows until the signal is there
		}
	}
}

// Unlock reads a keyring that no passphrase protects.
func Unlock(d statedir.Dir) (*crypto.Keyring, error) {
	file, err := d.Keyring()
	if err != nil {
		return nil, err
	}
	return crypto.Unlock(file, nil)
}
