package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"dxd/api/apitype"
)

// pipe is a `dxd send - --stream` whose standard input goes on.
type pipe struct {
	io.WriteCloser
	t   *testing.T
	cmd *exec.Cmd
	out bytes.Buffer // may be read once it has ended
}

func (o *org) pipes(t *testing.T, binary string, to *org) *pipe {
	t.Helper()
	p := &pipe{t: t}
	p.cmd = exec.Command(binary, "send", "-", "--stream", "--name", "stream.tar", "--to", to.alias, "--wait", "delivered", "--json", "--dir", o.dir)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, os.Stderr
	var err error
	p.WriteCloser, err = p.cmd.StdinPipe()
	check(t, err)
	check(t, p.cmd.Start())
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // fails if it has ended
	})
	return p
}

// feed gives the command the next bytes of a document.
func (p *pipe) feed(r io.Reader, n int64) {
	p.t.Helper()
	_, err := io.CopyN(p, r, n)
	check(p.t, err)
}

// end waits for the command, and gives its exit code.
func (p *pipe) end() int {
	p.t.Helper()
	check(p.t, ignoreExit(p.cmd.Wait()))
	return p.cmd.ProcessState.ExitCode()
}

// comesIn waits until so many bytes of a document are here of which nobody
// knows the length.
func (o *org) comesIn(bytes int64) apitype.Transfer {
	o.t.Helper()
	var t apitype.Transfer
	until(o.t, "a document that comes in", func() string {
		all := o.transfers()
		if len(all) != 1 {
			return fmt.Sprintf("%d transfers", len(all))
		}
		if t = all[0]; t.State != "receiving" || t.Size != -1 {
			o.t.Fatalf("it is %+v", t)
		}
		if t.BytesDone < bytes {
			return fmt.Sprintf("%d bytes", t.BytesDone)
		}
		return ""
	})
	return t
}

func TestASlowPipeIsSentWhileItIsRead(t *testing.T) {
	t.Parallel()
	binary := buildDxd(t)
	a, b := newPair(t)
	d := document{seed: "stream", size: 8<<20 + 5}
	p, source := a.pipes(t, binary, b), d.open()
	for _, n := range []int64{1 << 20, 3 << 20} {
		p.feed(source, n)
		if all := a.transfers(); len(all) != 0 {
			t.Errorf("before its end, the sender lists %+v", all)
		}
	}
	in := b.comesIn(4<<20 - 64<<10)
	p.feed(source, d.size-4<<20)
	check(t, p.Close())
	if code := p.end(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	var sent apitype.Submitted
	check(t, json.Unmarshal(p.out.Bytes(), &sent))
	if len(sent.Transfers) != 1 || sent.Transfers[0].ID != in.ID || sent.Transfers[0].State != "delivered" || sent.Size != d.size || sent.SHA256 != d.sha256(t) {
		t.Errorf("it says %s", p.out.String())
	}
	agree(a, b, in.ID, d)
}

func TestAPipeThatBreaksLeavesNothing(t *testing.T) {
	t.Parallel()
	binary := buildDxd(t)
	a, b := newPair(t)
	d := document{seed: "stream", size: 4 << 20}
	for what, ends := range map[string]func(p *pipe){
		"the command is interrupted": func(p *pipe) { check(t, p.cmd.Process.Signal(os.Interrupt)) },
		"the command is killed":      func(p *pipe) { check(t, p.cmd.Process.Kill()) },
		// It tells the recipient before it waits for the end of the upload.
		"the daemon is stopped": func(*pipe) { check(t, a.process.cmd.Process.Signal(syscall.SIGTERM)) },
	} {
		p := a.pipes(t, binary, b)
		p.feed(d.open(), d.size)
		b.comesIn(d.size / 2)
		ends(p)
		nothingIsLeft(b) // long before it could expire
		if what == "the daemon is stopped" {
			check(t, p.cmd.Process.Kill())
		}
		if code := p.end(); code == 0 {
			t.Errorf("%s: exit code 0", what)
		}
		if what == "the daemon is stopped" {
			within(t, patience, "the end of "+a.name, a.process.gone)
			a.start()
		}
		nothingIsLeft(a)
	}
	id := a.send(b, d)
	a.delivered(id)
	agree(a, b, id, d)
}

func TestASenderThatIsKilledWhileItReads(t *testing.T) {
	t.Parallel()
	binary := buildDxd(t)
	a, b := newPair(t)
	d := document{seed: "stream", size: 4 << 20}
	p := a.pipes(t, binary, b)
	p.feed(d.open(), d.size)
	in := b.comesIn(d.size / 2)
	a.process.kill()
	if code := p.end(); code != 5 { // although its input goes on
		t.Errorf("exit code %d", code)
	}
	a.start()
	nothingIsLeft(a)
	// The recipient can't know that its sender will never come back to it: it
	// waits for ten minutes. That holds up nothing.
	b.partial()
	again := a.send(b, d)
	a.delivered(again)
	b.keeps(again, d)
	if _, err := b.Cancel(t.Context(), in.ID); err != nil {
		t.Errorf("giving it up by hand: %v", err)
	}
	if names := b.payloads(); len(names) != 1 {
		t.Errorf("it keeps %v", names)
	}
}
