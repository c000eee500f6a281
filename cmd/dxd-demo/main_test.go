package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestTheDemoTellsTheWholeStory(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	empty := filepath.Join(t.TempDir(), "empty.txt")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{"its own sample": nil, "an empty file": {empty}} {
		var out, stderr bytes.Buffer
		if code := run(t.Context(), args, &out, &stderr); code != 0 {
			t.Fatalf("%s: exit code %d\n%s%s", name, code, out.String(), stderr.String())
		}
		for _, want := range []string{"Acme Ltd's evidence is valid", "Bolt GmbH's evidence is valid", "not valid: the document has", "a changed copy was refused"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: %q is not in\n%s", name, want, out.String())
			}
		}
	}
	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, error %v", left, err)
	}
}

func TestWhatTheDemoCantDoIsSaid(t *testing.T) {
	for name, tt := range map[string]struct {
		args []string
		code int
	}{
		"file that is gone":    {[]string{filepath.Join(t.TempDir(), "gone")}, 1},
		"directory":            {[]string{t.TempDir()}, 1},
		"two files":            {[]string{"a", "b"}, 2},
		"unknown flag":         {[]string{"--nonsense"}, 2},
		"port without chain":   {[]string{"--port", "1"}, 2},
		"chain with a file":    {[]string{"--chain-only", "a"}, 2},
		"address that is none": {[]string{"--chain-only", "--fund", "nonsense"}, 1},
	} {
		var out, stderr bytes.Buffer
		if code := run(t.Context(), tt.args, &out, &stderr); code != tt.code || !strings.HasPrefix(stderr.String(), "dxd-demo: error: ") {
			t.Errorf("%s: exit code %d\n%s", name, code, stderr.String())
		}
		if out.Len() > 0 {
			t.Errorf("%s: something was begun:\n%s", name, out.String())
		}
	}
}

// until cancels once a text was written.
type until struct {
	mu     sync.Mutex // guards all
	all    bytes.Buffer
	text   string
	cancel context.CancelFunc
}

func (u *until) Write(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.all.Write(p)
	if strings.Contains(u.all.String(), u.text) {
		u.cancel()
	}
	return len(p), nil
}

func TestWhatIsLeftRunningEndsWhenItIsTold(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	for name, tt := range map[string]struct {
		args  []string
		until string
		code  int
	}{
		"chain":              {[]string{"--chain-only", "--port", "0", "--dir", t.TempDir(), "--fund", "0x00000000000000000000000000000000000000aa"}, "Ctrl-C ends it", 0},
		"demo that is kept":  {[]string{"--keep"}, "Ctrl-C ends it", 0},
		"demo in its middle": {nil, "They exchange card files", 130},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		out := &until{text: tt.until, cancel: cancel}
		var stderr bytes.Buffer
		if code := run(ctx, tt.args, out, &stderr); code != tt.code {
			t.Errorf("%s: exit code %d\n%s%s", name, code, out.all.String(), stderr.String())
		}
		cancel()
	}
	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, error %v", left, err)
	}
}
