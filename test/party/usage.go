package party

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

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

// ProcessorTime is utime + stime (proc_pid_stat(5)) of the daemon, in ticks of
// 10 ms.
func (o *Org) ProcessorTime() time.Duration {
	o.T.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", o.Process.Cmd.Process.Pid))
	Check(o.T, err)
	_, rest, found := strings.Cut(string(stat), ") ") // the name may hold spaces
	fields := strings.Fields(rest)
	if !found || len(fields) < 13 {
		o.T.Fatalf("not a process's stat: %s", stat)
	}
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		Check(o.T, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
