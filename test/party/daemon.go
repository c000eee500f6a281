package party

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"strconv"
	"sync/atomic"
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
	envDir     = "DXD_PARTY_DIR"     // the state directory to run on
	envPoint   = "DXD_PARTY_DIE_AT"  // the commit point at which the process dies
	envNth     = "DXD_PARTY_DIE_ON"  // when it comes there for this time, from 1
	envRetry   = "DXD_PARTY_RETRY"   // if set, the pauses between attempts are those of users' daemons
	envClock   = "DXD_PARTY_CLOCK"   // the file that says how wrong its clock is; it is read again on SIGUSR1
	envProfile = "DXD_PARTY_PROFILE" // the file for a processor profile, if there is to be one
)

// Main is the TestMain of a suite over processes: it runs the tests, or is one
// of their daemons. What is to follow the tests is run before the process ends.
func Main(m *testing.M, after ...func()) {
	dir := os.Getenv(envDir)
	if dir == "" {
		// Such tests mostly wait: for blocks, pauses and other processes.
		if err := flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))); err != nil {
			panic(err)
		}
		code := m.Run() // which reads the command line, if it says otherwise
		for _, f := range after {
			f()
		}
		os.Exit(code)
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
	nth, err := strconv.ParseInt(os.Getenv(envNth), 10, 64)
	if err != nil {
		return err
	}
	now, err := wrongClock(os.Getenv(envClock))
	if err != nil {
		return err
	}
	tellGoroutines()
	stopProfile, err := profileTo(os.Getenv(envProfile))
	if err != nil {
		return err
	}
	defer stopProfile()
	return daemon.Run(ctx, daemon.Options{
		Dir: d, Config: c, Keys: keys, Log: c.Log.Logger(os.Stderr), Seam: dieAt(exchange.Point(os.Getenv(envPoint)), nth), Now: now,
		Retry: pauses(os.Getenv(envRetry) != ""),
	})
}

// pauses between attempts are short, unless they are to be those of users'.
func pauses(users bool) exchange.Retry {
	if users {
		return exchange.Retry{}
	}
	return exchange.Retry{First: 20 * time.Millisecond, Longest: 500 * time.Millisecond}
}

// profileTo writes a processor profile of all that follows, unless the name is
// empty.
func profileTo(name string) (stop func(), err error) {
	if name == "" {
		return func() {}, nil
	}
	file, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		_ = file.Close() // pprof tells of no error either
	}, nil
}

// dieAt kills the process when it comes to a commit point for the nth time, as
// kill -9 does. In a trace of system calls, each point that is passed shows as
// the question for a file that is not there.
func dieAt(point exchange.Point, nth int64) func(exchange.Point) {
	var passed atomic.Int64
	return func(p exchange.Point) {
		_ = syscall.Access("/dxd/point/"+string(p), 0)
		if p == point && passed.Add(1) == nth {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // can't fail: it is our own
			select {}                                      // nothing follows until the signal is there
		}
	}
}

// wrongClock is a clock that is as wrong as the file says, now and whenever
// SIGUSR1 came since.
func wrongClock(file string) (now func() time.Time, err error) {
	var wrong atomic.Int64
	set := func() error {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		d, err := time.ParseDuration(string(text))
		wrong.Store(int64(d))
		return err
	}
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGUSR1)
	go func() { // for as long as the process lives
		for range changed {
			if err := set(); err != nil {
				panic(err)
			}
		}
	}()
	// Without its monotonic part, as a clock is that was set.
	return func() time.Time { return time.Now().Round(0).Add(time.Duration(wrong.Load())) }, set()
}

// goroutines is what a daemon writes to its log on SIGUSR2, followed by how many
// it has.
const goroutines = "goroutines now: "

func tellGoroutines() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR2)
	go func() { // for as long as the process lives
		for range asked {
			fmt.Fprintf(os.Stderr, "%s%d\n", goroutines, runtime.NumGoroutine())
		}
	}()
}

// Unlock reads a keyring that no passphrase protects.
func Unlock(d statedir.Dir) (*crypto.Keyring, error) {
	file, err := d.Keyring()
	if err != nil {
		return nil, err
	}
	return crypto.Unlock(file, nil)
}
