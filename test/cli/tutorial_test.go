package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"dxd/test/party"
)

const tutorialPage = "../../docs/tutorial.md"

// step is a box of commands in the tutorial, with what stands below it as its
// output.
type step struct {
	line     int
	commands string
	output   string
}

// TestTheTutorialIsTrue runs exactly the commands of the tutorial, in one
// shell, and compares what they print. Only the ports are others, which may be
// taken here.
func TestTheTutorialIsTrue(t *testing.T) {
	if err := touch("../.."); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(tutorialPage)
	if err != nil {
		t.Fatal(err)
	}
	steps := stepsOf(t, withFreePorts(t, string(page)))
	dir := t.TempDir()
	printed := play(t, dir, steps)
	for i, s := range steps {
		if i >= len(printed) {
			t.Errorf("line %d: it did not come to this:\n%s", s.line, s.commands)
			break
		}
		if testing.Verbose() { // for whoever writes the page
			t.Logf("line %d:\n%s\nprints\n%s", s.line, s.commands, printed[i])
		}
		if !s.matches(printed[i]) {
			t.Errorf("line %d:\n%s\nprints\n%s\nbut the page says\n%s", s.line, s.commands, printed[i], s.output)
		}
	}
	if !t.Failed() {
		return
	}
	logs, err := filepath.Glob(filepath.Join(dir, "dxd-tutorial", "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range logs {
		log, err := os.ReadFile(name)
		t.Logf("%s (%v):\n%s", filepath.Base(name), err, log)
	}
}

// withFreePorts puts free ports in the place of those on the page.
func withFreePorts(t *testing.T, page string) string {
	t.Helper()
	for _, port := range []string{"4601", "4602", "4603", "8545"} {
		page = regexp.MustCompile(`\b`+port+`\b`).ReplaceAllString(page, strconv.Itoa(party.FreePort(t)))
	}
	return page
}

// stepsOf reads the boxes of the page: sh is a step, and text behind it is what
// it prints.
func stepsOf(t *testing.T, page string) []step {
	t.Helper()
	var steps []step
	var box *string
	fresh := false // the last box was a step, and has no output yet
	for i, line := range strings.Split(page, "\n") {
		switch {
		case box != nil && line == "```":
			box = nil
		case box != nil:
			*box += line + "\n"
		case line == "```sh":
			steps = append(steps, step{line: i + 1})
			box, fresh = &steps[len(steps)-1].commands, true
		case line == "```text":
			if !fresh {
				t.Fatalf("line %d: the output of nothing", i+1)
			}
			box, fresh = &steps[len(steps)-1].output, false
		case strings.HasPrefix(line, "```"):
			box, fresh = new(string), false
		}
	}
	if len(steps) == 0 || box != nil {
		t.Fatal("the page has no commands, or a box without an end")
	}
	return steps
}

// matches tells whether the step printed what the page says. There … stands
// for anything in a line, and alone in a line for any lines; where columns are
// set apart, by how much is open.
func (s step) matches(printed string) bool {
	pattern := regexp.QuoteMeta(s.output)
	pattern = regexp.MustCompile(`(?m)^…\n`).ReplaceAllString(pattern, `(?:.*\n)*`)
	pattern = strings.ReplaceAll(pattern, "…", ".*")
	pattern = regexp.MustCompile(` {2,}`).ReplaceAllString(pattern, ` +`)
	return regexp.MustCompile(`^` + pattern + `$`).MatchString(printed)
}

// tutorialPatience bounds all of the tutorial.
const tutorialPatience = 8 * time.Minute

// play runs the steps in one shell, which ends at the first command that fails,
// and gives what each has printed.
func play(t *testing.T, dir string, steps []step) (printed []string) {
	t.Helper()
	const mark = "@@ the end of a step @@"
	var script strings.Builder
	script.WriteString("set -e\n")
	for _, s := range steps {
		fmt.Fprintf(&script, "%secho '%s'\n", s.commands, mark)
	}
	path := filepath.Join(dir, "tutorial.sh")
	if err := os.WriteFile(path, []byte(script.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), tutorialPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, path)
	cmd.Dir = dir
	cmd.Env = []string{
		envGuard + "=" + shell, "HOME=" + dir, "TMPDIR=" + dir, "PATH=" + binaries + string(filepath.ListSeparator) + os.Getenv("PATH"),
	}
	life, err := cmd.StdinPipe() // held by this process until it ends
	if err != nil {
		t.Fatal(err)
	}
	defer life.Close()
	cmd.Cancel = life.Close // which the guard sees, and ends all
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	printed = strings.Split(out.String(), mark+"\n")
	last := printed[len(printed)-1]
	printed = printed[:len(printed)-1]
	if err != nil {
		t.Errorf("line %d: %v:\n%s", steps[min(len(printed), len(steps)-1)].line, err, last)
	}
	return printed
}
