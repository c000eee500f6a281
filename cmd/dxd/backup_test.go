package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestAnInterruptedRestoreEndsAndLeavesNothing(t *testing.T) {
	in, _ := io.Pipe() // nothing ever comes
	a := &app{in: in, out: io.Discard, stderr: io.Discard, dirFlag: filepath.Join(t.TempDir(), "new")}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.restore(ctx, "-"); !errors.Is(err, context.Canceled) {
		t.Errorf("it ends with %v", err)
	}
	if _, err := os.Stat(a.dirFlag); !os.IsNotExist(err) {
		t.Errorf("it leaves something: %v", err)
	}
}
