package e2e

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
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
func (o *org) submit(to *org, i int) (apitype.Submitted, error) {
	body := text(i)
	s := client.Submission{To: []string{to.alias}, RequestID: "m" + strconv.Itoa(i)}
	return o.SendMessage(o.t.Context(), s, bytes.NewReader(body), int64(len(body)))
}

// submitAll hands n messages over, one after the other. The daemon is killed
// while it takes those that are listed, and asked again after a restart.
func (o *org) submitAll(to *org, n int, kills ...int) (ids []record.TransferID) {
	for i := range n {
		if slices.Contains(kills, i) {
			dying := make(chan struct{})
			go func() {
				o.process.kill()
				close(dying)
			}()
			_, err := o.submit(to, i)
			o.t.Logf("killed with message %d under way: %v", i, err)
			<-dying
			o.start()
		}
		sent, err := o.submit(to, i)
		check(o.t, err)
		ids = append(ids, sent.Transfers[0].ID)
	}
	return ids
}

// proves fails unless the evidence of the transfer verifies for this body, as
// far as that goes if no chain is asked.
func (o *org) proves(id record.TransferID, body []byte, on hashanchor.Chain) {
	o.t.Helper()
	file, err := o.Evidence(o.t.Context(), id)
	check(o.t, err)
	doc := hashanchor.Document{Digest: sha256.Sum256(body), Length: int64(len(body))}
	r, err := hashanchor.Verify(o.t.Context(), doc, file, hashanchor.Options{Chain: on})
	check(o.t, err)
	want := hashanchor.ExitValid
	if on == nil {
		want = hashanchor.ExitUndecided
	}
	if code := r.ExitCode(); code != want || r.Receipt != "received" {
		o.t.Errorf("%s: the evidence of %s gives %d, %q: %+v", o.name, id, code, r.Receipt, r.Checks)
	}
}

// says fails unless the organisation has the message under the id.
func (o *org) says(id record.TransferID, want []byte) {
	o.t.Helper()
	c, err := o.Content(o.t.Context(), id)
	check(o.t, err)
	defer c.Close()
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, want) {
		o.t.Errorf("%s has %q under %s (%v)", o.name, got, id, err)
	}
}

// arrivals lists the messages that the organisation was told of, in order.
func (o *org) arrivals() (ids []record.TransferID) {
	o.t.Helper()
	for after := int64(0); ; {
		page, err := o.Events(o.t.Context(), client.EventFilter{After: &after, Limit: 1000})
		check(o.t, err)
		if len(page) == 0 {
			return ids
		}
		for _, e := range page {
			if after = e.Seq; e.Type == "message.received" {
				ids = append(ids, e.ID)
			}
		}
	}
}

func TestMessagesSurviveTheDeathOfTheirSender(t *testing.T) {
	t.Parallel()
	n := 1000
	if raceDetector { // with which everything takes ten times as long
		n = 100
	}
	a, b := newOrg(t, "alpha"), newOrg(t, "beta")
	c := newChain(t, a, b)
	for _, o := range []*org{a, b} {
		o.anchorAt(c.url)
		o.start()
	}
	pair(a, b)
	b.stop()
	begun := time.Now()
	sent := a.submitAll(b, n, n/3, 2*n/3)
	t.Logf("%d messages were queued in %s, with two deaths", n, time.Since(begun).Round(time.Millisecond))
	begun = time.Now()
	b.start()
	a.delivered(sent[n-1])
	t.Logf("they were delivered %s after the partner was started", time.Since(begun).Round(time.Millisecond))
	if got := b.arrivals(); !slices.Equal(got, sent) {
		t.Errorf("%d messages arrived, or in another order than the %d that were sent", len(got), n)
	}
	begun = time.Now()
	for _, o := range []*org{a, b} {
		o.wait(patience, sent[n-1], "anchored")
	}
	stranger := c.asked()
	for i, id := range sent {
		if v := a.transfer(id); v.State != "delivered" || v.Kind != record.Message {
			t.Errorf("message %d is %s", i, v.State)
		}
		a.proves(id, text(i), stranger)
		b.says(id, text(i))
		if i%20 == 0 {
			b.wait(patience, id, "anchored") // with the proof that alpha told, which beta's own chain has to confirm
			b.proves(id, text(i), stranger)
		}
	}
	t.Logf("all are verified after %s", time.Since(begun).Round(time.Millisecond))
}

func TestADeathAtACommitPointOfMessagesEndsInOneState(t *testing.T) {
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
	a, b := newPair(t)
	if !free {
		b.stop()
	}
	dying := b
	if atHome {
		a.stop()
		a.dieAt = point
		a.start()
		dying = a
	} else {
		b.dieAt = point
	}
	if free {
		until(t, "a connection", func() string {
			p, err := a.Partner(t.Context(), b.alias)
			check(t, err)
			if !p.Connected {
				return "none"
			}
			return ""
		})
	}
	const n = 5
	for i := range n {
		if _, err := a.submit(b, i); err != nil {
			break // it died at once
		}
	}
	if !free {
		b.launch() // it may die before it is ready
	}
	within(t, patience, "death", dying.process.gone)
	if !dying.process.died() {
		t.Fatalf("it ended otherwise: %s", dying.process.log)
	}
	dying.dieAt = ""
	dying.start()
	sent := a.submitAll(b, n) // whoever got no answer asks again
	for i, id := range sent {
		a.delivered(id)
		for _, o := range []*org{a, b} {
			o.says(id, text(i))
			o.proves(id, text(i), nil)
			o.wantTold(id, map[*org]string{a: "transfer.delivered", b: "message.received"}[o])
		}
	}
	if got := b.arrivals(); !slices.Equal(got, sent) || len(a.transfers()) != n || len(b.transfers()) != n {
		t.Errorf("%v arrived, not %v", got, sent)
	}
}
