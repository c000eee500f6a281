package e2e

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"dxd/test/party"
)

// DXD_E2E_MEMORY_MIB=4096 is the long form.
const envMemory = "DXD_E2E_MEMORY_MIB"

const (
	maxMemory = 150 << 20       // bytes of RssAnon + RssShmem
	maxReady  = 5 * time.Second // a second is meant; machines that build and test are slow
)

func TestMemoryDoesNotGrowWithADocument(t *testing.T) {
	t.Parallel()
	a, b := party.NewOrg(t, "alpha"), party.NewOrg(t, "beta")
	for _, o := range []*party.Org{a, b} {
		took := o.Start()
		t.Logf("%s is ready after %s", o.Name, took.Round(time.Millisecond))
		if took > maxReady {
			t.Errorf("ready after %s", took)
		}
	}
	party.Pair(a, b)
	d := party.Document{Seed: "large", Size: party.SizeOf(t, envMemory, 256)}
	peakA, peakB := watchMemory(t, a), watchMemory(t, b)
	begun := time.Now()
	id := a.SendDocument(b, d)
	queued := time.Since(begun)
	begun = time.Now()
	a.DeliveredWithin(party.PatienceFor(d.Size), id)
	moved := time.Since(begun)
	begun = time.Now()
	party.Agree(a, b, id, d)
	t.Logf("%d MiB: taken in at %s, moved at %s, read back and hashed at %s", d.Size>>20, pace(d.Size, queued), pace(d.Size, moved), pace(d.Size, time.Since(begun)))
	for _, o := range []struct {
		*party.Org
		peak func() int64
	}{{a, peakA}, {b, peakB}} {
		peak := o.peak()
		t.Logf("%s: peak RssAnon + RssShmem %d MiB", o.Name, peak>>20)
		if peak > maxMemory && !party.RaceDetector {
			t.Errorf("%s took %d bytes, more than %d", o.Name, peak, maxMemory)
		}
	}
	idle(t, a, b)
}

// idle prints what daemons use that have nothing to do.
func idle(t *testing.T, orgs ...*party.Org) {
	t.Helper()
	const span = 3 * time.Second
	before := map[*party.Org]time.Duration{}
	for _, o := range orgs {
		before[o] = processorTime(t, o.Process.Cmd.Process.Pid)
	}
	<-time.After(span)
	for _, o := range orgs {
		used := processorTime(t, o.Process.Cmd.Process.Pid) - before[o]
		t.Logf("%s: %s of processor time in %s of idleness", o.Name, used, span)
	}
}

// watchMemory samples a daemon's memory until the function that it returns is
// called, which gives the peak.
func watchMemory(t *testing.T, o *party.Org) func() int64 {
	pid := o.Process.Cmd.Process.Pid
	stop := make(chan struct{})
	var peak int64
	var samples int
	var failure error
	var owned sync.WaitGroup
	owned.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for failure == nil {
			var now int64
			now, failure = memory(pid)
			peak, samples = max(peak, now), samples+1
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	})
	return func() int64 {
		t.Helper()
		close(stop)
		owned.Wait()
		party.Check(t, failure)
		if samples < 20 || peak < 1<<20 {
			t.Errorf("%d samples with a peak of %d are no measurement", samples, peak)
		}
		return peak
	}
}

// memory is RssAnon + RssShmem in bytes (proc_pid_status(5)): what is mapped
// from files counts as the page cache's.
func memory(pid int) (sum int64, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		f := strings.Fields(line)
		if len(f) == 3 && (f[0] == "RssAnon:" || f[0] == "RssShmem:") {
			n, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				return 0, err
			}
			sum += n << 10
		}
	}
	return sum, nil
}

// processorTime is utime + stime (proc_pid_stat(5)), in ticks of 10 ms.
func processorTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	party.Check(t, err)
	_, rest, found := strings.Cut(string(stat), ") ") // the name may hold spaces
	fields := strings.Fields(rest)
	if !found || len(fields) < 13 {
		t.Fatalf("not a process's stat: %s", stat)
	}
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		party.Check(t, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

func TestMemoryIsSeen(t *testing.T) {
	before, err := memory(os.Getpid())
	party.Check(t, err)
	const size = 64 << 20
	taken := make([]byte, size)
	for i := range taken {
		taken[i] = byte(i)
	}
	after, err := memory(os.Getpid())
	party.Check(t, err)
	if after-before < size/2 { // others may have given some back meanwhile
		t.Errorf("%d bytes were taken, %d are seen", len(taken), after-before)
	}
	runtime.KeepAlive(taken)
}
