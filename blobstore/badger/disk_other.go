//go:build !linux

package badger

import (
	"math"
	"os"
	"syscall"
)

func statfs(dir string) (int64, error) {
	var st syscall.Statfs_t
	err := syscall.Statfs(dir, &st)
	return int64(st.Bavail) * int64(st.Bsize), err
}

const mapsAreFiles = false

func syncData(f *os.File) error { return f.Sync() }

// preallocate and writeBack make things better where there is a call for them.
func preallocate(string, int64) error  { return nil }
func writeBack(*os.File, int64, int64) {}

func mostMaps() int { return math.MaxInt }
