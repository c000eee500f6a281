package e2e

import (
	"io"
	"testing"

	"dxd/api/apitype"
	"dxd/client"
	"dxd/exchange"
	"dxd/test/party"
)

func TestADeathAtACommitPointEndsInOneState(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		point  exchange.Point
		atHome bool // the sender dies
		sizes  []int64
	}{
		{"the sender dies before its promise", exchange.BeforeQueued, true, []int64{party.Small, party.Large}},
		{"the sender dies after its promise", exchange.AfterQueued, true, []int64{party.Small, party.Large}},
		{"the sender dies with the receipt in hand", exchange.BeforeDelivered, true, []int64{party.Small, party.Large}},
		{"the sender dies when all is done", exchange.AfterDelivered, true, []int64{party.Small, party.Large}},
		{"the recipient dies with a file and no row", exchange.BeforeReceiving, false, []int64{party.Large}},
		{"the recipient dies with a row and an empty file", exchange.AfterReceiving, false, []int64{party.Large}},
		{"the recipient dies with all bytes and no file", exchange.BeforeStored, false, []int64{party.Small, party.Large}},
		{"the recipient dies with a file and no receipt", exchange.BeforeReceived, false, []int64{party.Small, party.Large}},
		{"the recipient dies before its receipt is sent", exchange.AfterReceived, false, []int64{party.Small, party.Large}},
	} {
		for _, size := range c.sizes {
			d := party.Document{Seed: string(c.point), Size: size}
			name := c.name + map[bool]string{true: ", small", false: ", large"}[size == party.Small]
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
			dieAndRecover(t, c.point, c.atHome, party.Document{Seed: string(c.point), Size: party.Large}, true)
		})
	}
}

func dieAndRecover(t *testing.T, point exchange.Point, atHome bool, d party.Document, stream bool) {
	a, b := party.NewOrg(t, "alpha"), party.NewOrg(t, "beta")
	dying := b
	if atHome {
		dying = a
	}
	dying.DieAt = point
	a.Start()
	b.Start()
	party.Pair(a, b)

	submit := func() (apitype.Submitted, error) {
		s := client.Submission{To: []string{b.Name}, Name: "contract.pdf", RequestID: "r", Stream: stream}
		body := d.Open()
		if stream {
			body = &pausing{body, d.Size / 2, b.HasBegun}
		}
		return a.Send(t.Context(), s, body, d.Size)
	}
	promised, err := submit()
	switch point {
	case exchange.BeforeQueued, exchange.AfterQueued:
		if err == nil {
			t.Fatal("the caller got an answer")
		}
	case exchange.BeforeDelivered, exchange.AfterDelivered: // which may be reached before the answer is written
	default:
		party.Check(t, err)
	}
	dying.StartAfterDeath()

	if point == exchange.BeforeQueued {
		nothingIsLeft(a)
	} else {
		recovered := a.AllTransfers()
		if len(recovered) != 1 || err == nil && recovered[0].ID != promised.Transfers[0].ID {
			t.Fatalf("what was promised is not there: %+v", recovered)
		}
		a.Delivered(recovered[0].ID)
	}
	// A caller that got no answer asks again, and it is the same document.
	again, err := submit()
	party.Check(t, err)
	id := again.Transfers[0].ID
	a.Delivered(id)
	party.Agree(a, b, id, d)
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

// nothingIsLeft fails unless what was not promised is gone.
func nothingIsLeft(o *party.Org) {
	o.T.Helper()
	party.Until(o.T, "an empty directory", func() string {
		if names := o.Payloads(); len(names) > 0 {
			return names[0]
		}
		return ""
	})
	if all := o.AllTransfers(); len(all) != 0 {
		o.T.Errorf("a transfer that nobody was promised: %+v", all)
	}
}
