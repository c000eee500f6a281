package party

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Cable is a link between two network namespaces that a test made itself: a
// TUN device in each, and the test in between, which delays and drops packets.
// So it is no loopback to anybody, needs no queueing discipline of the kernel's,
// and what is dropped comes from a seed.
type Cable struct {
	Loss  float64       // of 1
	Delay time.Duration // one way
	Rate  int64         // bytes a second, if not 0
}

// backlog is how long packets may queue for a slow cable before they are dropped.
const backlog = time.Second

// Connect makes two namespaces and lays the cable. Daemons of the two
// organisations run in them from their next start on.
func (c Cable) Connect(t testing.TB, draw *rand.Rand, a, b *Org) {
	t.Helper()
	var ends [2]*os.File
	for i, o := range []*Org{a, b} {
		name := fmt.Sprintf("dxd-party-%d-%d", os.Getpid(), o.Port)
		Run(t, "ip", "netns", "add", name)
		t.Cleanup(func() { Run(t, "ip", "netns", "del", name) })
		ends[i] = openTUN(t, name)
		ours, theirs := fmt.Sprintf("10.77.0.%d", 1+i), fmt.Sprintf("10.77.0.%d", 2-i)
		Run(t, "ip", "-n", name, "address", "add", ours, "peer", theirs, "dev", CableDevice)
		Run(t, "ip", "-n", name, "link", "set", CableDevice, "mtu", "1400", "up")
		Run(t, "ip", "-n", name, "link", "set", "lo", "up")
		// Not `ip netns exec`: that makes a mount namespace, too, in which the
		// disks of other tests stay mounted when those unmount them.
		o.Under = []string{"nsenter", inNetwork + name, "--"}
		o.Config["listen"] = fmt.Sprintf(`["/ip4/%s/tcp/%d", "/ip4/%s/udp/%d/quic-v1"]`, ours, o.Port, ours, o.Port)
		delete(o.Config, "announce")
	}
	var owned sync.WaitGroup
	for i := range ends {
		own := rand.New(rand.NewPCG(draw.Uint64(), 0))
		packets := make(chan packet, 1<<16)
		owned.Go(func() { c.take(ends[i], own, packets) })
		owned.Go(func() { carry(ends[1-i], packets) })
	}
	t.Cleanup(func() {
		for _, end := range ends {
			_ = end.Close()
		}
		owned.Wait()
	})
}

const inNetwork = "--net=/run/netns/"

// Namespace is where Connect has an organisation's daemon run.
func Namespace(o *Org) string { return strings.TrimPrefix(o.Under[1], inNetwork) }

type packet struct {
	due  time.Time
	data []byte
}

// take reads packets until the device is closed, and says when each arrives.
func (c Cable) take(from *os.File, draw *rand.Rand, packets chan<- packet) {
	defer close(packets)
	buf := make([]byte, 64<<10)
	var free time.Time // when what was sent before is through
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		now := time.Now()
		if free.Before(now) {
			free = now
		}
		if draw.Float64() < c.Loss || free.Sub(now) > backlog {
			continue
		}
		if c.Rate != 0 {
			free = free.Add(time.Duration(n) * time.Second / time.Duration(c.Rate))
		}
		packets <- packet{free.Add(c.Delay), append([]byte(nil), buf[:n]...)}
	}
}

func carry(to *os.File, packets <-chan packet) {
	for p := range packets {
		time.Sleep(time.Until(p.due)) // the way is long
		_, _ = to.Write(p.data)       // a packet may get lost
	}
}

// CableDevice is the name of the TUN device in each namespace.
const CableDevice = "dxd0"

// openTUN makes the device in a namespace. The thread that goes there does not
// come back: it ends with its goroutine.
func openTUN(t testing.TB, namespace string) *os.File {
	t.Helper()
	type opened struct {
		fd  int
		err error
	}
	done := make(chan opened)
	go func() {
		runtime.LockOSThread()
		fd, err := tunIn(namespace)
		done <- opened{fd, err}
	}()
	o := <-done
	Check(t, o.err)
	return os.NewFile(uintptr(o.fd), "/dev/net/tun")
}

func tunIn(namespace string) (fd int, err error) {
	ns, err := os.Open("/run/netns/" + namespace)
	if err != nil {
		return 0, err
	}
	defer ns.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return 0, err
	}
	if fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err != nil {
		return 0, err
	}
	request, err := unix.NewIfreq(CableDevice)
	if err != nil {
		return 0, err
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	return fd, unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
}

// Run runs a command that must not fail.
func Run(t testing.TB, command ...string) {
	t.Helper()
	out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s (it takes root and, on Debian, `apt-get install iproute2 util-linux`)", strings.Join(command, " "), err, out)
	}
}
