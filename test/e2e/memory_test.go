package e2e

import (
	"os"
	"runtime"
	"testing"
	"time"

	"dxd/test/party"
)

// DXD_E2E_MEMORY_MIB=4096 is the long form.
const envMemory = "DXD_E2E_MEMORY_MIB"

const (
	maxMemory = 150 << 20       // bytes of RssAnon + RssShmem
	maxReady  = 5 * time.Second // a second is meant; machines that build and test are slow
	tries     = 4               // for what takes longer: the machine's slow moment passes, a daemon's slowness stays
)

// startsSoon starts a daemon that has to be ready soon.
func startsSoon(t *testing.T, o *party.Org) {
	t.Helper()
	for try := 1; ; try++ {
		took := o.Start()
		t.Logf("%s is ready after %s", o.Name, took.Round(time.Millisecond))
		if took <= maxReady {
			return
		}
		if try == tries {
			t.Errorf("ready after %s, and no sooner in %d tries", took, tries)
			return
		}
		o.Stop()
	}
}

func TestMemoryDoesNotGrowWithADocument(t *testing.T) {
	t.Parallel()
	a, b := party.NewOrg(t, "alpha"), party.NewOrg(t, "beta")
	for _, o := range []*party.Org{a, b} {
		startsSoon(t, o)
	}
	party.Pair(a, b)
	d := party.Document{Seed: "large", Size: party.SizeOf(t, envMemory, 256)}
	peakA, peakB := a.WatchMemory(), b.WatchMemory()
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
		before[o] = o.ProcessorTime()
	}
	<-time.After(span)
	for _, o := range orgs {
		used := o.ProcessorTime() - before[o]
		t.Logf("%s: %s of processor time in %s of idleness", o.Name, used, span)
	}
}

func TestMemoryIsSeen(t *testing.T) {
	before, err := party.Memory(os.Getpid())
	party.Check(t, err)
	const size = 64 << 20
	taken := make([]byte, size)
	for i := range taken {
		taken[i] = byte(i)
	}
	after, err := party.Memory(os.Getpid())
	party.Check(t, err)
	if after-before < size/2 { // others may have given some back meanwhile
		t.Errorf("%d bytes were taken, %d are seen", len(taken), after-before)
	}
	runtime.KeepAlive(taken)
}
