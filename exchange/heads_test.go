package exchange_test

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dxd/blobstore"
	"dxd/event"
	"dxd/exchange"
	"dxd/record"
)

// heads signs heads for a partner, of no numbers at all unless change says
// otherwise.
func (n *node) heads(t *testing.T, to *node, change func(*record.Heads)) record.Signed[record.Heads] {
	t.Helper()
	h := record.Heads{Header: record.Header{Card: n.book.Self().ID(), Created: time.Now().UnixMilli()}, Partner: to.keys.Org()}
	if change != nil {
		change(&h)
	}
	signed, err := n.keys.SignHeads(h)
	check(t, err)
	return signed
}

// said hello is what one node answered to another.
type saidHello struct {
	Heads record.Envelope
	Shown []record.Envelope
}

// calls says hello by hand, and reads the answer; it fails if there is none.
func (n *node) calls(t *testing.T, to *node, heads record.Envelope, shown ...record.Envelope) (answer saidHello, err error) {
	t.Helper()
	file, err := n.book.CardFile(n.host.Addrs())
	check(t, err)
	raw, err := json.Marshal(map[string]any{"v": 1, "file": file.File(), "heads": heads, "shown": shown})
	check(t, err)
	s := n.stream(t, to, exchange.ProtocolHello)
	writeFrame(t, s, typeHello, raw)
	kind, content, err := readFrame(s)
	if err != nil {
		return answer, err
	}
	if kind != typeHello {
		t.Fatalf("a hello is answered with type %d", kind)
	}
	check(t, json.Unmarshal(content, &answer))
	return answer, nil
}

// opened verifies heads that a node signed.
func (n *node) opened(e record.Envelope) record.Heads {
	n.t.Helper()
	h, err := record.OpenHeads(e, n.book.Self())
	check(n.t, err)
	return h.Body
}

// alarms lists what people were told.
func (n *node) alarms() (texts []string) {
	n.t.Helper()
	for _, e := range n.events(event.Alarm) {
		texts = append(texts, e.Text)
	}
	return texts
}

// alarmed waits until so many alarms stand in the log, and fails unless each
// of these texts is part of one of them.
func (n *node) alarmed(count int, parts ...string) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), waitAtMost)
	defer cancel()
	changed := n.store.Watch(ctx, event.KeyPrefix)
	for len(n.alarms()) < count {
		select {
		case <-changed:
		case <-ctx.Done():
			n.t.Fatalf("%s was told of %d alarms, not %d: %q", n.name, len(n.alarms()), count, n.alarms())
		}
	}
	all := n.alarms()
	if len(all) != count {
		n.t.Errorf("%s was told of %d alarms, not %d: %q", n.name, len(all), count, all)
	}
	for _, part := range parts {
		if !strings.Contains(strings.Join(all, "\n"), part) {
			n.t.Errorf("%s was not told %q, but %q", n.name, part, all)
		}
	}
}

// backup copies the state of a node that is halted; putBack puts it back.
func (n *node) backup() (putBack func()) {
	n.t.Helper()
	copied := n.t.TempDir()
	check(n.t, os.CopyFS(copied, os.DirFS(n.dir)))
	return func() {
		n.t.Helper()
		check(n.t, os.RemoveAll(n.dir))
		check(n.t, os.Rename(copied, n.dir))
	}
}

// number reads the number of a transfer's manifest.
func (n *node) number(id record.TransferID) record.Number {
	n.t.Helper()
	manifest, _ := n.records(id)
	number, err := record.NumberOf(manifest)
	check(n.t, err)
	return number
}

// meet waits until two nodes that run have heard of each other's heads: both
// ways, what is sent arrives.
func meet(a, b *node) {
	a.t.Helper()
	a.delivered(a.send(b.name, []byte("are you there?")).ID)
	b.delivered(b.send(a.name, []byte("I am")).ID)
}

// verifies fails unless the evidence of a transfer holds on this side.
func (n *node) verifies(id record.TransferID) {
	n.t.Helper()
	n.proves(id, n.document(id))
}

func TestASenderThatWasPutBackGoesOnInAnotherEpoch(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	meet(a, b)
	a.halt()
	putBack := a.backup()
	a.start()
	var lost []record.TransferID
	for range 5 {
		lost = append(lost, a.send("bert", randomDocument(1000)).ID)
		a.delivered(lost[len(lost)-1])
	}
	last, _ := a.records(lost[4])
	old := a.number(lost[4])
	a.halt()
	putBack()

	// What the old copy signs before it has met the partner has a number that
	// was used, and is never shown.
	b.halt()
	a.start()
	early := a.send("bert", []byte("before they met"))
	voided := a.send("bert", []byte("before they met, and given up"))
	_, err := a.Cancel(t.Context(), voided.ID)
	check(t, err)
	if n := a.number(early.ID); n.Epoch != old.Epoch || n.Sequence > old.Sequence {
		t.Fatalf("the old copy's number is %+v", n)
	}
	b.start()
	a.delivered(early.ID)

	n := a.number(early.ID)
	if n.Epoch == old.Epoch || n.Sequence > 2 {
		t.Errorf("it went on with %+v", n)
	}
	later := a.send("bert", []byte("later"))
	a.delivered(later.ID)
	first := firstOf(a, b, n.Epoch)
	if first.Predecessor != last.ID() {
		t.Errorf("the new epoch follows %s, not %s", first.Predecessor, last.ID())
	}
	a.alarmed(1, "our number 6 (lane doc, epoch "+old.Epoch.String()+")", "older copy")
	b.alarmed(1, "does not go on from its number 6 (lane doc, epoch "+old.Epoch.String()+")")
	for _, id := range []record.TransferID{early.ID, later.ID} {
		a.verifies(id)
		b.verifies(id)
	}
	for _, id := range lost {
		b.verifies(id)
	}
	// Nobody is told again, by whoever calls.
	for range 2 {
		a.halt()
		a.start()
		meet(a, b)
	}
	a.alarmed(1)
	b.alarmed(1)
}

// firstOf finds the first number of an epoch among what one node has from
// another, delivered or voided.
func firstOf(from, to *node, epoch record.Epoch) (first record.Number) {
	to.t.Helper()
	check(to.t, to.store.View(to.t.Context(), func(tx blobstore.ReadTx) error {
		for _, prefix := range []blobstore.Key{"x/m/", "x/w/"} {
			for e, err := range tx.Scan(prefix, "", false) {
				if err != nil {
					return err
				}
				record1, err := record.ParseEnvelope(e.Value)
				if err != nil {
					return err
				}
				org, _, err := record.SignerOf(record1)
				if err != nil || org != from.keys.Org() {
					continue
				}
				if n, err := record.NumberOf(record1); err == nil && n.Epoch == epoch && n.Sequence == 1 {
					first = n
				}
			}
		}
		return nil
	}))
	return first
}

func TestARecipientThatWasPutBackIsSeenOnBothSides(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	meet(a, b)
	b.halt()
	putBack := b.backup()
	b.start()
	var lost record.TransferID
	for range 5 {
		lost = a.send("bert", randomDocument(1000)).ID
		a.delivered(lost)
	}
	n := a.number(lost)
	b.halt()
	putBack()
	waits := a.send("bert", []byte("while it is away"))
	b.start()
	a.delivered(waits.ID)
	in := "2 to 6 (lane doc, epoch " + n.Epoch.String() + ")"
	a.alarmed(1, "no longer has our numbers "+in)
	b.alarmed(1, "we acknowledged its numbers "+in)
	later := a.send("bert", []byte("later"))
	a.delivered(later.ID)
	if now := a.number(later.ID); now.Epoch != n.Epoch || now.Sequence != n.Sequence+2 {
		t.Errorf("it went on with %+v", now)
	}
	a.verifies(lost)
	for _, id := range []record.TransferID{waits.ID, later.ID} {
		a.verifies(id)
		b.verifies(id)
	}
	for range 2 {
		b.halt()
		b.start()
		meet(a, b)
	}
	a.alarmed(1)
	b.alarmed(1)
}

func TestWhatAnotherCopyDeliveredIsDelivered(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	meet(a, b)
	b.halt()
	waits, cancelled := a.send("bert", []byte("waits")), a.send("bert", []byte("waits, too"))
	a.halt()
	putBack := a.backup()
	a.start()
	b.start()
	a.delivered(waits.ID)
	a.delivered(cancelled.ID)
	before := a.number(waits.ID)
	a.delivered(a.send("bert", []byte("and one more")).ID)
	a.halt()
	b.halt()
	putBack()
	a.start()
	_, err := a.Cancel(t.Context(), cancelled.ID)
	check(t, err)
	b.start()
	for _, id := range []record.TransferID{waits.ID, cancelled.ID} {
		a.becomes(id, exchange.Delivered)
		a.verifies(id)
		b.verifies(id)
	}
	if now := a.number(waits.ID); now != before {
		t.Errorf("it was delivered as %+v, not %+v", now, before)
	}
	meet(a, b)
	a.settles(t, b)
	a.alarmed(1)
	b.alarmed(1)
}

func TestMessagesGoOnInOrderWhenTheirSenderWasPutBack(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	first := a.message("bert", []byte("first"))
	a.delivered(first.ID)
	a.wrap = func(s exchange.Stream) exchange.Stream { return mute{s, &atomic.Int64{}} }
	second := a.message("bert", []byte("second"))
	until(t, "the second one is numbered", func() bool { return a.sentInMessages(t, b) == 2 })
	a.halt()
	putBack := a.backup()
	a.wrap = nil
	a.start()
	a.delivered(second.ID)
	third := a.message("bert", []byte("third"))
	a.delivered(third.ID)
	a.halt()
	putBack()
	a.start()
	fourth, fifth := a.message("bert", []byte("fourth")), a.message("bert", []byte("fifth"))
	for id, body := range map[record.TransferID]string{second.ID: "second", fourth.ID: "fourth", fifth.ID: "fifth"} {
		a.delivered(id)
		a.proves(id, []byte(body))
		b.proves(id, []byte(body))
	}
	if got, want := b.messagesReceived(), []record.TransferID{first.ID, second.ID, third.ID, fourth.ID, fifth.ID}; !slices.Equal(got, want) {
		t.Errorf("they arrived as %v, not %v", got, want)
	}
	a.alarmed(1, "our number 3 (lane msg")
	b.alarmed(1, "number 3 (lane msg")
	a.settles(t, b)
}

// sentInMessages is how many numbers of messages were given.
func (n *node) sentInMessages(t *testing.T, other *node) int64 {
	t.Helper()
	all, err := n.Lanes(t.Context(), other.keys.Org())
	check(t, err)
	return all[1].Sent
}

// settles waits until all numbers that the node gave to the other have ended,
// as it tells in its heads.
func (n *node) settles(t *testing.T, other *node) {
	t.Helper()
	until(t, "the numbers of "+n.name+" end", func() bool {
		return !slices.ContainsFunc(n.asked(t, other).Sent, func(s record.SentHead) bool { return s.Settled < s.Sequence })
	})
}

// asked has the other node call this one, and gives the heads that it answers.
func (n *node) asked(t *testing.T, other *node) record.Heads {
	t.Helper()
	answer, err := other.calls(t, n, other.heads(t, n, nil).Envelope)
	check(t, err)
	return n.opened(answer.Heads)
}
