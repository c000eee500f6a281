package exchange_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"dxd/exchange"
	"dxd/p2p"
	"dxd/record"
)

// liar is what a recipient gone bad answers to an offer of which it has read
// all that came along.
type liar func(s *told)

// told is a stream of a transfer as a recipient reads it by hand.
type told struct {
	t *testing.T
	exchange.Stream
	manifest record.Envelope
}

// read takes frames up to the closing, or what comes at once if there is more.
// It is not ok if the sender gave up before that.
func (s *told) read() (id record.TransferID, ok bool) {
	for {
		kind, content, err := readFrame(s)
		if err != nil {
			return id, false
		}
		if kind == typeBody && len(content) == 64<<10 {
			return id, true
		}
		var c struct {
			ID       record.TransferID
			Manifest record.Envelope
		}
		switch kind {
		case typeOffer:
			check(s.t, json.Unmarshal(content, &c))
			id = c.ID
		case typeClosing:
			check(s.t, json.Unmarshal(content, &c))
			s.manifest = c.Manifest
			return id, true
		}
	}
}

func (s *told) say(kind byte, v any) {
	content, err := json.Marshal(v)
	check(s.t, err)
	writeFrame(s.t, s, kind, content)
}

// lies has the node answer each transfer with the lie that is chosen for it,
// and says which it was.
func (n *node) lies(t *testing.T, choose func(id record.TransferID) liar) <-chan record.TransferID {
	asked := make(chan record.TransferID, 1000)
	n.host.Handle(exchange.ProtocolTransfer, func(ctx context.Context, c *p2p.Conn) {
		if c.SetDeadline(time.Now().Add(waitAtMost)) != nil {
			return // the sender has given up
		}
		s := &told{t: t, Stream: c}
		id, ok := s.read()
		if !ok {
			return
		}
		asked <- id
		if lie := choose(id); lie != nil {
			lie(s)
		}
		if c.CloseWrite() == nil { // else the sender has had enough
			drain(s)
		}
	})
	return asked
}

// drain reads until the sender ends the stream, or has had enough.
func drain(s io.Reader) {
	for {
		if _, _, err := readFrame(s); err != nil {
			return
		}
	}
}

// receipt signs what the recipient says about the manifest, with one change.
func (n *node) receipt(s *told, change func(*record.Receipt)) json.RawMessage {
	r := record.Receipt{
		Header:   record.Header{Card: n.book.Self().ID(), Created: time.Now().UnixMilli()},
		Manifest: s.manifest.ID(),
		Entries:  []record.Entry{{Status: record.StatusReceived}},
	}
	var err error
	r.Sender, _, err = record.SignerOf(s.manifest)
	check(s.t, err)
	change(&r)
	signed, err := n.keys.SignReceipt(r)
	check(s.t, err)
	return signed.Bytes()
}

// lie is a case: small documents are answered with the closing in hand, large
// ones before most of the body has come.
type lie struct {
	what  string
	size  int
	speak liar
}

func asReceipt(receipt func(s *told) json.RawMessage) liar {
	return func(s *told) {
		s.say(typeAnswer, map[string]any{"offset": 42})
		s.say(typeReceipt, map[string]any{"receipt": receipt(s)})
	}
}

func asAnswer(receipt func(s *told) json.RawMessage) liar {
	return func(s *told) { s.say(typeAnswer, map[string]any{"offset": 0, "receipt": receipt(s)}) }
}

// falseReceipts are of all sorts but the one that counts.
func falseReceipts(b, c *node) map[string]func(s *told) json.RawMessage {
	by := func(n *node, change func(*record.Receipt)) func(s *told) json.RawMessage {
		return func(s *told) json.RawMessage { return n.receipt(s, change) }
	}
	entries := func(list ...record.Entry) func(s *told) json.RawMessage {
		return by(b, func(r *record.Receipt) { r.Entries = list })
	}
	received := record.StatusReceived
	return map[string]func(s *told) json.RawMessage{
		"about another manifest":           by(b, func(r *record.Receipt) { r.Manifest[0] ^= 1 }),
		"to another sender":                by(b, func(r *record.Receipt) { r.Sender = c.keys.Org() }),
		"by another partner":               by(c, func(*record.Receipt) {}),
		"by another under this one's card": by(c, func(r *record.Receipt) { r.Card = b.book.Self().ID() }),
		"under a card that nobody knows":   by(b, func(r *record.Receipt) { r.Card[0] ^= 1 }),
		"that it is only stored":           entries(record.Entry{Status: record.StatusStored}),
		"of another item":                  entries(record.Entry{First: 1, Last: 1, Status: received}),
		"of too many items":                entries(record.Entry{First: 0, Last: 1, Status: received}),
		"of the item and another":          entries(record.Entry{Status: received}, record.Entry{First: 1, Last: 1, Status: received}),
		"that it is accepted, to begin with": by(b, func(r *record.Receipt) {
			r.Previous = record.RecordID{1}
			r.Entries = []record.Entry{{Status: record.StatusAccepted}}
		}),
		"that it is refused": by(b, func(r *record.Receipt) {
			r.Previous = record.RecordID{1}
			r.Entries = []record.Entry{{Status: record.StatusRefused, Reason: "no"}}
		}),
		"with a flipped bit": func(s *told) json.RawMessage {
			raw := b.receipt(s, func(*record.Receipt) {})
			i := bytes.LastIndex(raw, []byte(`"sig":"`)) + 20
			raw[i] = 'A' + (raw[i]-'A'+1)%26
			return raw
		},
		"that is the manifest":  func(s *told) json.RawMessage { return s.manifest.Bytes() },
		"that is a card":        func(*told) json.RawMessage { return b.book.Self().Bytes() },
		"that is no record":     func(*told) json.RawMessage { return json.RawMessage(`{"payload":"x"}`) },
		"that is null":          func(*told) json.RawMessage { return json.RawMessage(`null`) },
		"that is a long number": func(*told) json.RawMessage { return json.RawMessage(strings.Repeat("9", 100<<10)) },
	}
}

func lies(b, c *node) []lie {
	var all []lie
	for what, receipt := range falseReceipts(b, c) {
		all = append(all, lie{"a receipt " + what, 10, asReceipt(receipt)}, lie{"an answer with a receipt " + what, 10, asAnswer(receipt)})
	}
	raw := func(b ...byte) liar {
		return func(s *told) {
			if _, err := s.Write(b); err != nil {
				s.t.Logf("writing: %v", err)
			}
		}
	}
	answer := func(v any) liar { return func(s *told) { s.say(typeAnswer, v) } }
	const large = 300 << 10
	return append(all,
		lie{"nothing", 10, raw()},
		lie{"nothing to a large one", large, raw()},
		lie{"a reset", 10, func(s *told) { s.Reset() }},
		lie{"a frame of 4 GiB", 10, raw(0xff, 0xff, 0xff, 0xff, typeReceipt)},
		lie{"a frame of nothing", 10, raw(0, 0, 0, 0, 0)},
		lie{"a frame that is cut off", large, raw(0, 0, 1, 0, typeAnswer, '{')},
		lie{"a frame of no type", large, raw(0, 0, 0, 3, 99, '{', '}')},
		lie{"its own body", large, raw(0, 0, 0, 3, typeBody, 1, 2)},
		lie{"an offer back", large, func(s *told) { s.say(typeOffer, map[string]any{"v": 1}) }},
		lie{"an answer that is no JSON", large, raw(0, 0, 0, 3, typeAnswer, '{', 'x')},
		lie{"an answer that is null", large, answer(nil)},
		lie{"an answer in the plural", large, answer([]int{1, 2})},
		lie{"an offset below what went along", large, answer(map[string]any{"offset": 64<<10 - 1})},
		lie{"a negative offset", large, answer(map[string]any{"offset": -1})},
		lie{"an offset behind the end", large, answer(map[string]any{"offset": 1 << 40})},
		lie{"an offset that is no number of bytes", large, answer(map[string]any{"offset": 70000.5})},
		lie{"only an answer", 10, answer(map[string]any{"offset": 42})},
		lie{"two answers", 10, func(s *told) {
			s.say(typeAnswer, map[string]any{"offset": 42})
			s.say(typeAnswer, map[string]any{"offset": 42})
		}},
		lie{"a receipt without an answer", 10, func(s *told) {
			s.say(typeReceipt, map[string]any{"receipt": b.receipt(s, func(*record.Receipt) {})})
		}},
		lie{"an empty receipt", 10, func(s *told) {
			s.say(typeAnswer, map[string]any{"offset": 42})
			s.say(typeReceipt, map[string]any{})
		}},
	)
}

func TestNoLieMakesATransferDelivered(t *testing.T) {
	a, b, c := newNode(t, "anna"), newNode(t, "bert"), newNode(t, "carl")
	pair(t, a, b)
	pair(t, a, c)
	var mu sync.Mutex // guards speak
	speak := map[record.TransferID]liar{}
	asked := b.lies(t, func(id record.TransferID) liar {
		mu.Lock()
		defer mu.Unlock()
		return speak[id]
	})
	all := lies(b, c)
	sent := make([]record.TransferID, len(all))
	tries := map[record.TransferID]int{}
	for i, l := range all {
		mu.Lock()
		sent[i] = a.send("bert", randomDocument(l.size)).ID
		speak[sent[i]] = l.speak
		mu.Unlock()
	}
	// With a second attempt, the sender is done with the first.
	for _, id := range sent {
		for tries[id] < 2 {
			tries[<-asked]++
		}
	}
	for i, l := range all {
		v, err := a.Get(t.Context(), sent[i])
		check(t, err)
		if v.State != exchange.Queued && v.State != exchange.Sending || v.Reason != "" {
			t.Errorf("%s: the transfer is %s (%s)", l.what, v.State, v.Reason)
		}
		_, err = a.Cancel(t.Context(), sent[i])
		check(t, err)
		if v, err := a.Get(t.Context(), sent[i]); err != nil || v.State != exchange.Cancelled {
			t.Errorf("%s: the transfer is %s (%v)", l.what, v.State, err)
		}
	}
	honest := asReceipt(func(s *told) json.RawMessage { return b.receipt(s, func(*record.Receipt) {}) })
	b.lies(t, func(id record.TransferID) liar {
		if speak[id] != nil {
			return nil // it was just under way when it was cancelled
		}
		return honest
	})
	a.delivered(a.send("bert", randomDocument(10)).ID)
}

func TestWhatAPartnerSaysOfItsRefusalStaysInAClosedSet(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	for _, test := range []struct {
		says   map[string]any
		state  exchange.State
		reason string
	}{
		{map[string]any{"reason": "policy"}, exchange.Failed, "policy"},
		{map[string]any{"reason": "rejected"}, exchange.Failed, "rejected"},
		{map[string]any{"reason": "\x1b[2J\x1b]0;owned\x07"}, exchange.Failed, "rejected"},
		{map[string]any{"reason": "\u202etxt.exe"}, exchange.Failed, "rejected"},
		{map[string]any{"reason": strings.Repeat("long", 50_000)}, exchange.Failed, "rejected"},
		{map[string]any{"reason": "delivered"}, exchange.Failed, "rejected"},
		{map[string]any{"reason": "removed"}, exchange.Failed, "rejected"},
		{map[string]any{"reason": "expired"}, exchange.Failed, "rejected"},
		{map[string]any{"reason": "full"}, exchange.Failed, "rejected"},
		{map[string]any{"reason": ""}, exchange.Failed, "rejected"},
		{map[string]any{}, exchange.Failed, "rejected"},
		{map[string]any{"reason": "policy", "later": 1}, exchange.Failed, "policy"},
		{map[string]any{"reason": "damaged"}, exchange.Queued, ""}, // our file is sound
		{map[string]any{"reason": "full", "retry": true}, exchange.Queued, "full"},
		{map[string]any{"reason": "\x1b[2J", "retry": true}, exchange.Queued, ""},
		{map[string]any{"reason": 7}, exchange.Queued, ""},
	} {
		for _, size := range []int{10, 300 << 10} {
			asked := b.lies(t, func(record.TransferID) liar { return func(s *told) { s.say(typeRefusal, test.says) } })
			sent := a.send("bert", randomDocument(size))
			if test.state == exchange.Failed {
				a.ended(sent.ID)
			} else {
				<-asked
				<-asked
			}
			v, err := a.Get(t.Context(), sent.ID)
			check(t, err)
			if v.State == exchange.Sending {
				v.State = exchange.Queued
			}
			if test.state == exchange.Queued && test.reason != "" {
				a.waitsOver(sent.ID, test.reason) // it is not shown during an attempt
			} else if v.State != test.state || v.Reason != test.reason {
				t.Errorf("%.60q: the transfer is %s (%q), not %s (%q)", test.says, v.State, v.Reason, test.state, test.reason)
			}
			if test.state != exchange.Failed {
				_, err = a.Cancel(t.Context(), sent.ID)
				check(t, err)
			}
		}
	}
}
