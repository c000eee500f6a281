//go:build !linux

package statedir

import "os"

// writeBack makes things better where there is a call for it.
func writeBack(*os.File, int64, int64) {}
