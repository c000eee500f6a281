//go:build bench

package bench

import (
	"bytes"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dxd/test/party"
)

// parts are the modules whose versions decide about speed.
var parts = []string{
	"filippo.io/age", "golang.org/x/crypto", "github.com/libp2p/go-libp2p", "github.com/libp2p/go-yamux/v5",
	"github.com/quic-go/quic-go", "github.com/dgraph-io/badger/v4",
}

// machine says where and with what is measured.
func machine(t *testing.T) []Fact {
	t.Helper()
	var name unix.Utsname
	party.Check(t, unix.Uname(&name))
	memory := fieldOf(t, "/proc/meminfo", "MemTotal")
	return []Fact{
		{"when", time.Now().UTC().Format("2006-01-02 15:04 UTC")},
		{"commit", commit()},
		{"processor", fieldOf(t, "/proc/cpuinfo", "model name")},
		{"cores", fmt.Sprint(cores())},
		{"memory", memory},
		{"kernel", unix.ByteSliceToString(name.Sysname[:]) + " " + unix.ByteSliceToString(name.Release[:]) + " " + unix.ByteSliceToString(name.Machine[:])},
		{"file system", fileSystem(t, os.TempDir())},
		{"UDP buffers", udpBuffers()},
		{"Go", runtime.Version()},
		{"modules", versions(t)},
		{"form", fmt.Sprintf("%d runs, %d MiB, %d messages", *runs, *sizeMiB, *count)},
	}
}

// load is the machine's, averaged over 1, 5 and 15 minutes.
func load(t *testing.T, when string) Fact {
	t.Helper()
	text, err := os.ReadFile("/proc/loadavg")
	party.Check(t, err)
	return Fact{"load " + when, strings.Join(strings.Fields(string(text))[:3], " ")}
}

// fieldOf reads "name : value" from a file of /proc.
func fieldOf(t *testing.T, file, name string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	party.Check(t, err)
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown" // some processors have no name
}

func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown" // not a checkout
	}
	return strings.TrimSpace(string(out))
}

// fileSystem says what kind of disk state directories are on: on one in
// memory, syncs cost nothing, and the figures say little.
func fileSystem(t *testing.T, dir string) string {
	t.Helper()
	var s unix.Statfs_t
	party.Check(t, unix.Statfs(dir, &s))
	names := map[int64]string{unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs", unix.TMPFS_MAGIC: "tmpfs: syncs cost nothing here", unix.OVERLAYFS_SUPER_MAGIC: "overlayfs"}
	if name, ok := names[s.Type]; ok {
		return name
	}
	return fmt.Sprintf("type %#x", s.Type)
}

// udpBuffers are the largest that QUIC gets (net.core.rmem_max and wmem_max).
func udpBuffers() string {
	var all []string
	for _, name := range []string{"rmem_max", "wmem_max"} {
		value, err := os.ReadFile("/proc/sys/net/core/" + name)
		if err != nil {
			value = []byte("unknown") // in a namespace
		}
		all = append(all, name+" "+string(bytes.TrimSpace(value)))
	}
	return strings.Join(all, ", ")
}

func versions(t *testing.T) string {
	t.Helper()
	info, err := buildinfo.ReadFile(program)
	party.Check(t, err)
	var all []string
	for _, m := range info.Deps {
		if slices.Contains(parts, m.Path) {
			all = append(all, m.Path+" "+m.Version)
		}
	}
	return strings.Join(all, ", ")
}

// command runs a command that must not fail.
func command(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, stderr.Bytes())
	}
	return out
}
