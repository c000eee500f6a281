package e2e

import (
	"io"
	"testing"

	"dxd/api/apitype"
	"dxd/client"
	"dxd/exchange"
)

// A small document goes along with its offer; a large one has a row while it
// is received.
const (
	small = 20 << 10
	large = 3 << 20
)

func TestADeathAtACommitPointEndsInOneState(t *testing.T) {
	for _, c := range []struct {
		name   string
		point  exchange.Point
		atHome bool // the sender dies
		sizes  []int64
	}{
		{"the sender dies before its promise", exchange.BeforeQueued, true, []int64{small, large}},
		{"the sender dies after its promise", exchange.AfterQueued, true, []int64{small, large}},
		{"the sender dies with the receipt in hand", exchange.BeforeDelivered, true, []int64{small, large}},
		{"the sender dies when all is done", exchange.AfterDelivered, true, []int64{small, large}},
		{"the recipient dies with a file and no row", exchange.BeforeReceiving, false, []int64{large}},
		{"the recipient dies with a row and an empty file", exchange.AfterReceiving, false, []int64{large}},
		{"the recipient dies with all bytes and no file", exchange.BeforeStored, false, []int64{small, large}},
		{"the recipient dies with a file and no receipt", exchange.BeforeReceived, false, []int64{small, large}},
		{"the recipient dies before its receipt is sent", exchange.AfterReceived, false, []int64{small, large}},
	} {
		for _, size := range c.sizes {
			d := document{seed: string(c.point), size: size}
			name := c.name + map[bool]string{true: ", small", false: ", large"}[size == small]
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				dieAndRecover(t, c.point, c.atHome, d, false)
			})
		}
		if c.point == exchange.BeforeQueued {
			continue // a sender that dies while it reads: TestASenderThatIsKilledWhileItReads
		}
		t.Run(c.name+", sent while it is read", func(t *testing.T) {
			t.Parallel()
			dieAndRecover(t, c.point, c.atHome, document{seed: string(c.point), size: large}, true)
		})
	}
}

func dieAndRecover(t *testing.T, point exchange.Point, atHome bool, d document, stream bool) {
	a, b := newOrg(t, "alpha"), newOrg(t, "beta")
	dying := b
	if atHome {
		dying = a
	}
	dying.dieAt = point
	a.start()
	b.start()
	pair(a, b)

	submit := func() (apitype.Submitted, error) {
		s := client.Submission{To: []string{b.name}, Name: "contract.pdf", RequestID: "r", Stream: stream}
		body := d.open()
		if stream {
			body = &pausing{body, d.size / 2, b.hasBegun}
		}
		return a.Send(t.Context(), s, body, d.size)
	}
	promised, err := submit()
	if died := point == exchange.BeforeQueued || point == exchange.AfterQueued; (err != nil) != died {
		t.Fatalf("the caller got %v", err)
	}
	dying.startAfterDeath()

	if point == exchange.BeforeQueued {
		nothingIsLeft(a)
	} else {
		recovered := a.transfers()
		if len(recovered) != 1 || err == nil && recovered[0].ID != promised.Transfers[0].ID {
			t.Fatalf("what was promised is not there: %+v", recovered)
		}
		a.delivered(recovered[0].ID)
	}
	// A caller that got no answer asks again, and it is the same document.
	again, err := submit()
	check(t, err)
	id := again.Transfers[0].ID
	a.delivered(id)
	agree(a, b, id, d)
}

// pausing reads so many bytes, and then waits for something.
type pausing struct {
	io.Reader
	left  int64
	until func()
}

func (p *pausing) Read(b []byte) (int, error) {
	if p.left <= 0 && p.until != nil {
		p.until()
		p.until = nil
	}
	n, err := p.Reader.Read(b)
	p.left -= int64(n)
	return n, err
}

// hasBegun waits until something is on its way in, unless that kills the daemon.
func (o *org) hasBegun() {
	until(o.t, "a document that comes in", func() string {
		select {
		case <-o.process.gone:
			return ""
		default:
		}
		if len(o.payloads()) == 0 {
			return "nothing"
		}
		return ""
	})
}

// nothingIsLeft fails unless what was not promised is gone.
func nothingIsLeft(o *org) {
	o.t.Helper()
	until(o.t, "an empty directory", func() string {
		if names := o.payloads(); len(names) > 0 {
			return names[0]
		}
		return ""
	})
	if all := o.transfers(); len(all) != 0 {
		o.t.Errorf("a transfer that nobody was promised: %+v", all)
	}
}
