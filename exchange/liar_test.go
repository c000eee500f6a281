package exchange_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"dxd/exchange"
	"dxd/p2p"
	"dxd/record"
)

// claims has a node say of itself whatever change makes of its heads, to
// whoever calls it, and call the other node with the same.
func (n *node) claims(t *testing.T, to *node, shown []record.Envelope, change func(*record.Heads)) error {
	n.host.Handle(exchange.ProtocolHello, func(_ context.Context, c *p2p.Conn) {
		if _, _, err := readFrame(c); err != nil {
			return // the caller has given up
		}
		file, err := n.book.CardFile(n.host.Addrs())
		check(t, err)
		raw, err := json.Marshal(map[string]any{"v": 1, "file": file.File(), "heads": n.heads(t, to, change).Envelope, "shown": shown})
		check(t, err)
		writeFrame(t, c, typeHello, raw)
		drain(c)
	})
	_, err := n.calls(t, to, n.heads(t, to, change).Envelope, shown...)
	return err
}

// signed is a manifest of a node to another one with this number.
func (n *node) signed(t *testing.T, to *node, number record.Number) record.Signed[record.Manifest] {
	t.Helper()
	f := newForgery(t, n, to)
	f.Manifest.Number = number
	m, _ := f.finish(t, n)
	return m
}

func TestAHeadThatIsNotProvenIsNotBelieved(t *testing.T) {
	a, b, c := newNode(t, "anna"), newNode(t, "bert"), newNode(t, "carl")
	pair(t, a, b)
	pair(t, a, c)
	meet(a, b)
	ours := a.number(a.delivered(a.send("bert", []byte("a document")).ID).ID)
	number := func(sequence int64) record.Number {
		return record.Number{Epoch: ours.Epoch, Lane: record.LaneDoc, Sequence: sequence, Predecessor: record.RecordID{1}}
	}
	real := a.signed(t, b, number(9))
	forged := a.signed(t, b, number(9)) // bert signs it, as if he were anna
	m := forged.Body
	m.Recipient = a.keys.Org()
	theirs, err := b.keys.SignManifest(m)
	check(t, err)
	head := func(h record.ReceivedHead) func(*record.Heads) {
		return func(heads *record.Heads) { heads.Received = []record.ReceivedHead{h} }
	}
	nine := record.ReceivedHead{Epoch: ours.Epoch, Lane: record.LaneDoc, Sequence: 9, Complete: 9, Record: real.ID()}
	with := func(change func(*record.ReceivedHead)) func(*record.Heads) {
		h := nine
		change(&h)
		return head(h)
	}
	same := func(*record.ReceivedHead) {}
	tests := []struct {
		what   string
		shown  []record.Envelope
		change func(*record.Heads)
	}{
		{"a number that nobody gave", nil, with(same)},
		{"a number of an epoch that nobody used", nil, with(func(h *record.ReceivedHead) { h.Epoch = record.Epoch{9} })},
		{"another manifest than is named", []record.Envelope{forged.Envelope}, with(same)},
		{"a number that is not the manifest's", []record.Envelope{real.Envelope}, with(func(h *record.ReceivedHead) { h.Sequence, h.Complete = 10, 10 })},
		{"an epoch that is not the manifest's", []record.Envelope{real.Envelope}, with(func(h *record.ReceivedHead) { h.Epoch = record.Epoch{9} })},
		{"a lane that is not the manifest's", []record.Envelope{real.Envelope}, with(func(h *record.ReceivedHead) { h.Lane = record.LaneMsg })},
		{"a manifest that the partner signed", []record.Envelope{theirs.Envelope}, with(func(h *record.ReceivedHead) { h.Record = theirs.ID() })},
		{"a manifest to somebody else", []record.Envelope{a.signed(t, c, number(9)).Envelope}, with(func(h *record.ReceivedHead) { h.Record = a.signed(t, c, number(9)).ID() })},
		{"a card in its place", []record.Envelope{a.book.Self().Envelope}, with(func(h *record.ReceivedHead) { h.Record = a.book.Self().ID() })},
		{"three records", []record.Envelope{real.Envelope, real.Envelope, real.Envelope}, with(same)},
		{"heads with somebody else", []record.Envelope{real.Envelope}, func(h *record.Heads) { head(nine)(h); h.Partner = c.keys.Org() }},
		{"heads under somebody else's card", nil, func(h *record.Heads) { h.Card = a.book.Self().ID() }},
	}
	for _, test := range tests {
		if _, err := b.calls(t, a, b.heads(t, a, test.change).Envelope, test.shown...); err == nil {
			t.Errorf("%s: the hello is answered", test.what)
		}
	}
	if now := a.number(a.delivered(a.send("bert", []byte("goes on")).ID).ID); now.Epoch != ours.Epoch || now.Sequence != ours.Sequence+1 {
		t.Errorf("it goes on with %+v", now)
	}
	for _, told := range a.alarms() {
		if !strings.Contains(told, "shows no record of ours") {
			t.Errorf("people were told %q", told)
		}
	}
}

func TestAHeadThatIsProvenOpensOneEpoch(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	meet(a, b)
	first := a.number(a.delivered(a.send("bert", []byte("a document")).ID).ID)
	// Another copy of anna's state gave these, some in an epoch of its own.
	var shown []record.Signed[record.Manifest]
	for i, n := range []record.Number{{Epoch: first.Epoch, Sequence: 7}, {Epoch: first.Epoch, Sequence: 9}, {Epoch: record.Epoch{8}, Sequence: 3}, {Epoch: record.Epoch{8}, Sequence: 4}} {
		n.Lane, n.Predecessor = record.LaneDoc, record.RecordID{byte(i + 1)}
		shown = append(shown, a.signed(t, b, n))
	}
	epochs := map[record.Epoch]bool{first.Epoch: true}
	for i, m := range append(shown, shown...) {
		h := record.ReceivedHead{Epoch: m.Body.Epoch, Lane: m.Body.Lane, Sequence: m.Body.Sequence, Complete: m.Body.Sequence, Record: m.ID()}
		answer, err := b.calls(t, a, b.heads(t, a, func(heads *record.Heads) { heads.Received = []record.ReceivedHead{h} }).Envelope, m.Envelope)
		if err != nil {
			t.Fatalf("head %d: %v", i, err)
		}
		epochs[a.opened(answer.Heads).Sent[0].Epoch] = true
	}
	// Two epochs were not known to be used up: the first one, and that of the copy.
	if len(epochs) != 3 {
		t.Errorf("there were %d epochs, not 3", len(epochs))
	}
	a.alarmed(2, "our number 7", "our number 3 (lane doc, epoch "+record.Epoch{8}.String()+")")
	a.delivered(a.send("bert", []byte("goes on")).ID)
}

func TestALiarCantMakeManyAlarms(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	meet(a, b)
	for i := range int64(60) {
		claim := func(h *record.Heads) {
			h.Sent = []record.SentHead{{Epoch: record.Epoch{byte(i + 1)}, Lane: record.LaneDoc, Sequence: i + 2, Acknowledged: i + 2, Settled: i + 1}}
		}
		if err := b.claims(t, a, nil, claim); err != nil {
			t.Fatal(err)
		}
	}
	if told := a.alarms(); len(told) == 0 || len(told) > 20 {
		t.Errorf("people were told %d times", len(told))
	}
	a.delivered(a.send("bert", []byte("goes on")).ID)
}

func TestNothingIsSentBeforeHeadsWereExchanged(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	b.hushed.Store(true)
	pair(t, a, b)
	a.halt()
	called := make(chan struct{}, 100)
	b.host.Handle(exchange.ProtocolHello, func(_ context.Context, c *p2p.Conn) {
		token(called)
		c.Reset()
	})
	asked := b.lies(t, func(record.TransferID) liar { return nil })
	told := make(chan struct{}, 100)
	b.host.Handle(exchange.ProtocolProof, func(_ context.Context, c *p2p.Conn) { token(told) })
	a.start()
	sent := a.send("bert", []byte("waits"))
	voided := a.send("bert", []byte("given up"))
	_, err := a.Cancel(t.Context(), voided.ID)
	check(t, err)
	for range 5 { // attempts to say hello, so that the others had their chance
		<-called
	}
	select {
	case <-asked:
		t.Error("a payload was sent")
	case <-told:
		t.Error("a void was told")
	default:
	}
	b.halt()
	b.start()
	a.delivered(sent.ID)
	if n := a.number(sent.ID); n.Sequence != 1 {
		t.Errorf("it has the number %+v", n)
	}
}
