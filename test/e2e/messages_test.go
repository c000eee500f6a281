package e2e

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dxd/api/apitype"
	"dxd/client"
	"dxd/exchange"
	"dxd/hashanchor"
	"dxd/record"
	"dxd/test/party"
)

// text is the body of message i. Some are too large for a bundle.
func text(i int) []byte {
	words := i % 50
	if i%400 == 3 {
		words = 60_000
	}
	return fmt.Appendf(nil, "message %d of %s", i, strings.Repeat("many ", words))
}

// submit hands message i over, under a request id of its own.
func submit(o *party.Org, to *party.Org, i int) (apitype.Submitted, error) {
	body := text(i)
	s := client.Submission{To: []string{to.Alias}, RequestID: "m" + strconv.Itoa(i)}
	return o.SendMessage(o.T.Context(), s, bytes.NewReader(body), int64(len(body)))
}

// submitAll hands n messages over, one after the other. The daemon is killed
// while it takes those that are listed, and asked again after a restart.
func submitAll(o *party.Org, to *party.Org, n int, kills ...int) (ids []record.TransferID) {
	for i := range n {
		if slices.Contains(kills, i) {
			dying := make(chan struct{})
			go func() {
				o.Process.Kill()
				close(dying)
			}()
			_, err := submit(o, to, i)
			o.T.Logf("killed with message %d under way: %v", i, err)
			<-dying
			o.Start()
		}
		sent, err := submit(o, to, i)
		party.Check(o.T, err)
		ids = append(ids, sent.Transfers[0].ID)
	}
	return ids
}

// proves fails unless the evidence of the transfer verifies for this body, as
// far as that goes if no chain is asked.
func proves(o *party.Org, id record.TransferID, body []byte, on hashanchor.Chain) {
	o.T.Helper()
	file, err := o.Evidence(o.T.Context(), id)
	party.Check(o.T, err)
	doc := hashanchor.Document{Digest: sha256.Sum256(body), Length: int64(len(body))}
	r, err := hashanchor.Verify(o.T.Context(), doc, file, hashanchor.Options{Chain: on})
	party.Check(o.T, err)
	want := hashanchor.ExitValid
	if on == nil {
		want = hashanchor.ExitUndecided
	}
	if code := r.ExitCode(); code != want || r.Receipt != "received" {
		o.T.Errorf("%s: the evidence of %s gives %d, %q: %+v", o.Name, id, code, r.Receipt, r.Checks)
	}
}

func TestMessagesSurviveTheDeathOfTheirSender(t *testing.T) {
	t.Parallel()
	n := 1000
	if party.RaceDetector { // with which everything takes ten times as long
		n = 100
	}
	a, b := party.NewOrg(t, "alpha"), party.NewOrg(t, "beta")
	c := party.NewChain(t, a, b)
	for _, o := range []*party.Org{a, b} {
		o.AnchorAt(c.URL)
		o.Start()
	}
	party.Pair(a, b)
	b.Stop()
	begun := time.Now()
	sent := submitAll(a, b, n, n/3, 2*n/3)
	t.Logf("%d messages were queued in %s, with two deaths", n, time.Since(begun).Round(time.Millisecond))
	begun = time.Now()
	b.Start()
	a.Delivered(sent[n-1])
	t.Logf("they were delivered %s after the partner was started", time.Since(begun).Round(time.Millisecond))
	if got := b.Arrivals(); !slices.Equal(got, sent) {
		t.Errorf("%d messages arrived, or in another order than the %d that were sent", len(got), n)
	}
	begun = time.Now()
	for _, o := range []*party.Org{a, b} {
		o.WaitFor(party.Patience, sent[n-1], "anchored")
	}
	stranger := c.Asked()
	for i, id := range sent {
		if v := a.Look(id); v.State != "delivered" || v.Kind != record.Message {
			t.Errorf("message %d is %s", i, v.State)
		}
		proves(a, id, text(i), stranger)
		b.Says(id, text(i))
		if i%20 == 0 {
			b.WaitFor(party.Patience, id, "anchored") // with the proof that alpha told, which beta's own chain has to confirm
			proves(b, id, text(i), stranger)
		}
	}
	t.Logf("all are verified after %s", time.Since(begun).Round(time.Millisecond))
}

func TestADeathAtACommitPointOfMessagesEndsInOneState(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		point  exchange.Point
		atHome bool // the sender dies
		free   bool // the partner is there and the lane free: a message is numbered with its promise
	}{
		{"the sender dies before its promise", exchange.BeforeQueued, true, false},
		{"the sender dies after its promise", exchange.AfterQueued, true, false},
		{"the sender dies before a promise with a number", exchange.BeforeQueued, true, true},
		{"the sender dies after a promise with a number", exchange.AfterQueued, true, true},
		{"the sender dies with a bundle that has no number", exchange.BeforeBundled, true, false},
		{"the sender dies with a bundle that was not sent", exchange.AfterBundled, true, false},
		{"the sender dies with the receipt in hand", exchange.BeforeDelivered, true, false},
		{"the sender dies when all is done", exchange.AfterDelivered, true, false},
		{"the recipient dies with all messages in memory", exchange.BeforeReceived, false, false},
		{"the recipient dies before its receipt is sent", exchange.AfterReceived, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dieWithMessages(t, c.point, c.atHome, c.free)
		})
	}
}

// dieWithMessages sends a few messages, one of which goes alone; either side
// dies at the point and is started again.
func dieWithMessages(t *testing.T, point exchange.Point, atHome, free bool) {
	a, b := party.NewPair(t)
	if !free {
		b.Stop()
	}
	dying := b
	if atHome {
		a.Stop()
		a.DieAt = point
		a.Start()
		dying = a
	} else {
		b.DieAt = point
	}
	if free {
		party.Until(t, "a connection", func() string {
			p, err := a.Partner(t.Context(), b.Alias)
			party.Check(t, err)
			if !p.Connected {
				return "none"
			}
			return ""
		})
	}
	const n = 5
	for i := range n {
		if _, err := submit(a, b, i); err != nil {
			break // it died at once
		}
	}
	if !free {
		b.Launch() // it may die before it is ready
	}
	party.Within(t, party.Patience, "death", dying.Process.Gone)
	if !dying.Process.Died() {
		t.Fatalf("it ended otherwise: %s", dying.Process.Log)
	}
	dying.DieAt = ""
	dying.Start()
	sent := submitAll(a, b, n) // whoever got no answer asks again
	for i, id := range sent {
		a.Delivered(id)
		for _, o := range []*party.Org{a, b} {
			o.Says(id, text(i))
			proves(o, id, text(i), nil)
			o.WantTold(id, map[*party.Org]string{a: "transfer.delivered", b: "message.received"}[o])
		}
	}
	if got := b.Arrivals(); !slices.Equal(got, sent) || len(a.AllTransfers()) != n || len(b.AllTransfers()) != n {
		t.Errorf("%v arrived, not %v", got, sent)
	}
}
