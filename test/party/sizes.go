package party

import (
	"os"
	"strconv"
	"testing"
)

// SizeOf is the size in MiB of a test's document: the short form, unless the
// environment says otherwise for a long one.
func SizeOf(t testing.TB, env string, short int64) int64 {
	t.Helper()
	s := os.Getenv(env)
	switch {
	case s == "" && RaceDetector: // with which everything takes ten times as long
		return short << 17
	case s == "":
		return short << 20
	}
	n, err := strconv.ParseInt(s, 10, 64)
	Check(t, err)
	return n << 20
}
