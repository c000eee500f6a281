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
	"dxd/test/party"
)

// pipe is a `dxd send - --stream` whose standard input goes on.
type pipe struct {
	io.WriteCloser
	t   *testing.T
	cmd *exec.Cmd
	out bytes.Buffer // may be read once it has ended
}

func pipes(o *party.Org, t *testing.T, binary string, to *party.Org) *pipe {
	t.Helper()
	p := &pipe{t: t}
	p.cmd = exec.Command(binary, "send", "-", "--stream", "--name", "stream.tar", "--to", to.Alias, "--wait", "delivered", "--json", "--dir", o.Dir)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, os.Stderr
	var err error
	p.WriteCloser, err = p.cmd.StdinPipe()
	party.Check(t, err)
	party.Check(t, p.cmd.Start())
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // fails if it has ended
	})
	return p
}

// feed gives the command the next bytes of a document.
func (p *pipe) feed(r io.Reader, n int64) {
	p.t.Helper()
	_, err := io.CopyN(p, r, n)
	party.Check(p.t, err)
}

// end waits for the command, and gives its exit code.
func (p *pipe) end() int {
	p.t.Helper()
	party.Check(p.t, party.IgnoreExit(p.cmd.Wait()))
	return p.cmd.ProcessState.ExitCode()
}

// comesIn waits until so many bytes of a document are here of which nobody
// knows the length.
func comesIn(o *party.Org, bytes int64) apitype.Transfer {
	o.T.Helper()
	var t apitype.Transfer
	party.Until(o.T, "a document that comes in", func() string {
		all := o.AllTransfers()
		if len(all) != 1 {
			return fmt.Sprintf("%d transfers", len(all))
		}
		if t = all[0]; t.State != "receiving" || t.Size != -1 {
			o.T.Fatalf("it is %+v", t)
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
	a, b := party.NewPair(t)
	d := party.Document{Seed: "stream", Size: 8<<20 + 5}
	p, source := pipes(a, t, binary, b), d.Open()
	for _, n := range []int64{1 << 20, 3 << 20} {
		p.feed(source, n)
		if all := a.AllTransfers(); len(all) != 0 {
			t.Errorf("before its end, the sender lists %+v", all)
		}
	}
	in := comesIn(b, 4<<20-64<<10)
	p.feed(source, d.Size-4<<20)
	party.Check(t, p.Close())
	if code := p.end(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	var sent apitype.Submitted
	party.Check(t, json.Unmarshal(p.out.Bytes(), &sent))
	if len(sent.Transfers) != 1 || sent.Transfers[0].ID != in.ID || sent.Transfers[0].State != "delivered" || sent.Size != d.Size || sent.SHA256 != d.SHA256(t) {
		t.Errorf("it says %s", p.out.String())
	}
	party.Agree(a, b, in.ID, d)
}

func TestAPipeThatBreaksLeavesNothing(t *testing.T) {
	t.Parallel()
	binary := buildDxd(t)
	a, b := party.NewPair(t)
	d := party.Document{Seed: "stream", Size: 4 << 20}
	for what, ends := range map[string]func(p *pipe){
		"the command is interrupted": func(p *pipe) { party.Check(t, p.cmd.Process.Signal(os.Interrupt)) },
		"the command is killed":      func(p *pipe) { party.Check(t, p.cmd.Process.Kill()) },
		// It tells the recipient before it waits for the end of the upload.
		"the daemon is stopped": func(*pipe) { party.Check(t, a.Process.Cmd.Process.Signal(syscall.SIGTERM)) },
	} {
		p := pipes(a, t, binary, b)
		p.feed(d.Open(), d.Size)
		comesIn(b, d.Size/2)
		ends(p)
		nothingIsLeft(b) // long before it could expire
		if what == "the daemon is stopped" {
			party.Check(t, p.cmd.Process.Kill())
		}
		if code := p.end(); code == 0 {
			t.Errorf("%s: exit code 0", what)
		}
		if what == "the daemon is stopped" {
			party.Within(t, party.Patience, "the end of "+a.Name, a.Process.Gone)
			a.Start()
		}
		nothingIsLeft(a)
	}
	id := a.SendDocument(b, d)
	a.Delivered(id)
	party.Agree(a, b, id, d)
}

func TestASenderThatIsKilledWhileItReads(t *testing.T) {
	t.Parallel()
	binary := buildDxd(t)
	a, b := party.NewPair(t)
	d := party.Document{Seed: "stream", Size: 4 << 20}
	p := pipes(a, t, binary, b)
	p.feed(d.Open(), d.Size)
	in := comesIn(b, d.Size/2)
	a.Process.Kill()
	if code := p.end(); code != 5 { // although its input goes on
		t.Errorf("exit code %d", code)
	}
	a.Start()
	nothingIsLeft(a)
	// The recipient can't know that its sender will never come back to it: it
	// waits for ten minutes. That holds up nothing.
	b.Partial()
	again := a.SendDocument(b, d)
	a.Delivered(again)
	b.Keeps(again, d)
	if _, err := b.Cancel(t.Context(), in.ID); err != nil {
		t.Errorf("giving it up by hand: %v", err)
	}
	if names := b.Payloads(); len(names) != 1 {
		t.Errorf("it keeps %v", names)
	}
}
