package party

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// WatchMemory samples a daemon's memory until the function that it returns is
// called, which gives the peak. The daemon has to live until then.
func (o *Org) WatchMemory() (peak func() int64) {
	pid := o.Process.Cmd.Process.Pid
	stop := make(chan struct{})
	var highest int64
	var failure error
	var owned sync.WaitGroup
	owned.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for failure == nil {
			var now int64
			now, failure = Memory(pid)
			highest = max(highest, now)
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	})
	end := sync.OnceFunc(func() { close(stop); owned.Wait() })
	o.T.Cleanup(end)
	return func() int64 {
		o.T.Helper()
		end()
		Check(o.T, failure)
		if highest < 1<<20 {
			o.T.Errorf("a peak of %d bytes is no measurement", highest)
		}
		return highest
	}
}

// Memory is RssAnon + RssShmem in bytes (proc_pid_status(5)): what is mapped
// from files counts as the page cache's.
func Memory(pid int) (sum int64, err error) {
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

// Goroutines is how many the daemon has.
func (o *Org) Goroutines() (n int) {
	o.T.Helper()
	before := strings.Count(o.Process.Log.String(), goroutines)
	Check(o.T, o.Process.Cmd.Process.Signal(syscall.SIGUSR2))
	Until(o.T, "the goroutines of "+o.Name, func() string {
		told := strings.Split(o.Process.Log.String(), goroutines)
		last, _, whole := strings.Cut(told[len(told)-1], "\n")
		if len(told) <= before+1 || !whole {
			return "it says nothing"
		}
		var err error
		n, err = strconv.Atoi(last)
		Check(o.T, err)
		return ""
	})
	return n
}

// OpenFiles is how many the daemon has, sockets included.
func (o *Org) OpenFiles() int {
	o.T.Helper()
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", o.Process.Cmd.Process.Pid))
	Check(o.T, err)
	return len(fds)
}

// ProcessorTime is what the threads of the daemon that live have used
// (/proc/PID/task/TID/schedstat), which is finer than the ticks of its stat. Go
// ends a thread hardly ever.
func (o *Org) ProcessorTime() (used time.Duration) {
	o.T.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", o.Process.Cmd.Process.Pid))
	Check(o.T, err)
	for _, name := range threads {
		stat, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has just ended
		}
		Check(o.T, err)
		nanoseconds, _, _ := strings.Cut(string(stat), " ")
		n, err := strconv.ParseInt(nanoseconds, 10, 64)
		Check(o.T, err)
		used += time.Duration(n)
	}
	if used == 0 {
		o.T.Fatal("a process that has used no processor time is none")
	}
	return used
}
