package exchange_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"dxd/event"
	"dxd/exchange"
	"dxd/p2p"
	"dxd/record"
)

// asks erases a transfer, and asks the partner to erase it, too.
func (n *node) asks(id record.TransferID) {
	n.t.Helper()
	v, err := n.EraseAndAsk(n.t.Context(), id, "socket")
	check(n.t, err)
	if v.ErasedBy != exchange.ByErase || v.Asking.Asked == 0 {
		n.t.Errorf("%s: what is left is %+v, asked %+v", n.name, v.Transfer, v.Asking)
	}
}

// answered waits until the partner has given this answer.
func (n *node) answered(id record.TransferID, want record.ErasureAnswer) exchange.Asking {
	n.t.Helper()
	return n.asking(id, func(a exchange.Asking) bool { return a.Answer == want }).Asking
}

// requested waits until the partner has asked.
func (n *node) requested(id record.TransferID) exchange.View {
	n.t.Helper()
	return n.asking(id, func(a exchange.Asking) bool { return a.Requested != 0 })
}

func (n *node) asking(id record.TransferID, as func(exchange.Asking) bool) exchange.View {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), waitAtMost)
	defer cancel()
	changed := n.store.Watch(ctx, "x/2/")
	for {
		v, err := n.Get(ctx, id)
		check(n.t, err)
		if as(v.Asking) {
			return v
		}
		select {
		case <-changed:
		case <-ctx.Done():
			n.t.Fatalf("%s: what was asked is %+v", n.name, v.Asking)
		}
	}
}

// signedAnswer verifies the answer of a partner that is kept.
func (n *node) signedAnswer(id record.TransferID, by *node) record.Erasure {
	n.t.Helper()
	e, err := n.PartnersErasure(n.t.Context(), id)
	check(n.t, err)
	signed, err := record.OpenErasure(e, by.book.Self())
	check(n.t, err)
	v, err := n.Get(n.t.Context(), id)
	check(n.t, err)
	if signed.Body.Org != by.keys.Org() || signed.Body.Asker != n.keys.Org() || signed.Body.Manifest != v.Record {
		n.t.Errorf("%s: the answer is %+v", n.name, signed.Body)
	}
	return signed.Body
}

func TestAPartnerThatIsAskedToErasesWhenSomebodySaysSo(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	sent, back := a.send("bert", []byte("a document")).ID, b.send("anna", []byte("one back")).ID
	a.delivered(sent)
	b.delivered(back)
	b.halt() // it is asked when it is back
	a.asks(sent)
	a.asks(sent)
	if _, err := a.PartnersErasure(t.Context(), sent); record.KindOf(err) != record.NotFound {
		t.Errorf("an answer from nowhere: %v", err)
	}
	b.start()
	if v := b.requested(sent); v.Erased != 0 || v.Asking.Said != "" {
		t.Errorf("nobody has said so: %+v", v)
	}
	if told := b.events(event.EraseRequested); len(told) != 1 || told[0].ID != sent || told[0].By != "partner" {
		t.Errorf("told %+v", told)
	}
	b.document(sent)
	b.erase(sent)
	a.answered(sent, record.AnswerErased)
	if got := a.signedAnswer(sent, b); got.Answer != record.AnswerErased || got.Item != 0 {
		t.Errorf("the answer is %+v", got)
	}
	if told := a.events(event.EraseAnswered); len(told) != 1 || told[0].ID != sent || told[0].State != "erased" {
		t.Errorf("told %+v", told)
	}
	// The other way round, of what is erased there already.
	a.erase(back)
	b.asks(back)
	b.answered(back, record.AnswerErased)
	b.signedAnswer(back, a)
	if told := a.events(event.EraseRequested); len(told) != 0 {
		t.Errorf("people were asked for what is done: %+v", told)
	}
	for _, n := range []*node{a, b} {
		n.keepsNoFile()
	}
}

func TestAPartnerMayRefuseAndEraseLaterAllTheSame(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	sent := a.send("bert", []byte("a document")).ID
	a.delivered(sent)
	if _, err := b.RefuseErase(t.Context(), sent, ""); record.KindOf(err) != record.Conflict {
		t.Errorf("refused what nobody asked: %v", err)
	}
	a.asks(sent)
	b.requested(sent)
	if _, err := b.RefuseErase(t.Context(), sent, "a\x1b[31mreason"); record.KindOf(err) != record.Invalid {
		t.Errorf("a reason with an escape: %v", err)
	}
	for range 2 {
		_, err := b.RefuseErase(t.Context(), sent, "to be kept until 2031")
		check(t, err)
	}
	if got := a.answered(sent, record.AnswerRefused); got.Reason != "to be kept until 2031" {
		t.Errorf("the answer is %+v", got)
	}
	a.asks(sent) // once more, and nobody is bothered again
	a.answered(sent, record.AnswerRefused)
	if told := b.events(event.EraseRequested); len(told) != 1 {
		t.Errorf("told %+v", told)
	}
	b.erase(sent)
	if got := a.answered(sent, record.AnswerErased); got.Reason != "" {
		t.Errorf("the answer is %+v", got)
	}
	if _, err := b.RefuseErase(t.Context(), sent, "too late"); record.KindOf(err) != record.Conflict {
		t.Errorf("refused what is erased: %v", err)
	}
	a.signedAnswer(sent, b)
}

func TestAPartnerIsAnsweredByTheConfiguration(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	b.halt()
	b.onRequest = exchange.OnRequestAlways
	var sent []record.TransferID
	for range 5 { // in one bundle
		sent = append(sent, a.message("bert", []byte("a message")).ID)
	}
	b.start()
	arriveInOrder(t, a, b, sent)
	b.hold(sent[2])
	a.asks(sent[1])
	a.asks(sent[2])
	a.answered(sent[1], record.AnswerErased)
	if got := a.signedAnswer(sent[1], b); got.Item != 1 {
		t.Errorf("the answer is about item %d", got.Item)
	}
	if v := b.requested(sent[2]); v.Erased != 0 || v.Asking.Said != "" {
		t.Errorf("what is held is %+v, and the partner was told %q", v.Transfer, v.Asking.Said)
	}
	if told := b.events(event.EraseRequested); len(told) != 1 || told[0].ID != sent[2] {
		t.Errorf("told %+v", told)
	}
	b.release(sent[2])
	b.erase(sent[2])
	a.answered(sent[2], record.AnswerErased)
	b.proves(sent[3], []byte("a message"))

	b.halt()
	b.onRequest = exchange.OnRequestNever
	b.start()
	a.asks(sent[3])
	a.answered(sent[3], record.AnswerRefused)
	b.proves(sent[3], []byte("a message"))
	if string(b.document(sent[3])) != "a message" {
		t.Error("what was refused to be erased is another message")
	}
}

func TestAPartnerThatKnowsNoRequestsIsNotedSo(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	sent := a.send("bert", []byte("a document")).ID
	a.delivered(sent)
	// As a version answers that ignores the new member: there is no news in it.
	b.host.Handle(exchange.ProtocolProof, func(_ context.Context, c *p2p.Conn) {
		defer c.Close()
		for {
			if kind, _, err := readFrame(c); err != nil || kind != typeNews {
				return
			}
			writeFrame(t, c, typeAck, []byte(`{"ok":false}`))
		}
	})
	a.asks(sent)
	a.answered(sent, exchange.AnswerUnknown)
	b.host.Handle(exchange.ProtocolProof, func(ctx context.Context, c *p2p.Conn) { b.ServeProof(ctx, c) })
	a.asks(sent) // it has a newer version by now
	b.requested(sent)
	b.erase(sent)
	a.answered(sent, record.AnswerErased)
}

func TestOnlyWhatThePartnerHasIsAskedFor(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	b.halt()
	sent := a.send("bert", []byte("a document")).ID
	_, err := a.Cancel(t.Context(), sent)
	check(t, err)
	noted, err := a.Notarize(t.Context(), "n", "text/plain", -1, strings.NewReader("x"))
	check(t, err)
	for _, id := range []record.TransferID{sent, noted.ID} {
		if _, err := a.EraseAndAsk(t.Context(), id, "socket"); record.KindOf(err) != record.Conflict {
			t.Errorf("asked for what the partner has not: %v", err)
		}
		if v, err := a.Get(t.Context(), id); err != nil || v.Erased != 0 {
			t.Errorf("half of it was done: %+v (%v)", v.Transfer, err)
		}
	}
}

func TestRequestsAndAnswersThatDoNotHoldAreNotTaken(t *testing.T) {
	a, b, c := newNode(t, "anna"), newNode(t, "bert"), newNode(t, "carl")
	pair(t, a, b)
	pair(t, c, b)
	ours, other := b.send("anna", []byte("from bert")).ID, b.send("anna", []byte("another")).ID
	for _, id := range []record.TransferID{ours, other} {
		b.delivered(id)
	}
	a.hushed.Store(true)
	b.asks(ours)
	a.requested(ours)
	manifest := func(id record.TransferID) record.RecordID {
		v, err := b.Get(t.Context(), id)
		check(t, err)
		return v.Record
	}
	answer := func(n *node, id record.TransferID, change func(*record.Erasure)) map[string]any {
		e := record.Erasure{
			Header: record.Header{Card: n.book.Self().ID(), Created: time.Now().UnixMilli()},
			Asker:  b.keys.Org(), Manifest: manifest(ours), Answer: record.AnswerErased,
		}
		if change != nil {
			change(&e)
		}
		signed, err := n.keys.SignErasure(e)
		check(t, err)
		return map[string]any{"transfer": id.String(), "erasure": json.RawMessage(signed.Bytes())}
	}
	erase := func(id record.TransferID) map[string]any {
		return map[string]any{"transfer": id.String(), "erase": true}
	}
	no, later := said{}, said{Retry: true}
	for _, test := range []struct {
		what string
		from *node
		news map[string]any
		want said
	}{
		{"a request about another's transfer", c, erase(ours), no},
		{"a request about what is not there", a, erase(mustParse(t, "0190b8f0-3c5e-7abc-8def-0123456789ab")), no},
		{"a request about nothing", a, map[string]any{"erase": true}, no},
		{"an answer about another's transfer", c, answer(c, ours, nil), no},
		{"another's answer, passed off as its own", c, answer(a, ours, nil), no},
		{"an answer that another signed", a, answer(c, ours, nil), no},
		{"an answer to somebody else", a, answer(a, ours, func(e *record.Erasure) { e.Asker = c.keys.Org() }), no},
		{"an answer about another item", a, answer(a, ours, func(e *record.Erasure) { e.Item = 1 }), no},
		{"an answer about another manifest", a, answer(a, ours, func(e *record.Erasure) { e.Manifest = manifest(other) }), no},
		{"an answer that nobody asked for", a, answer(a, other, func(e *record.Erasure) { e.Manifest = manifest(other) }), no},
		{"an answer under a card that is not known", a, answer(a, ours, func(e *record.Erasure) { e.Card[0] ^= 1 }), later},
	} {
		s := test.from.tells(t, b)
		if got := s.tell(test.news); got.OK != test.want.OK || got.Retry != test.want.Retry {
			t.Errorf("%s: %+v", test.what, got)
		}
		s.Reset()
	}
	if v, err := b.Get(t.Context(), ours); err != nil || v.Asking.Answer != "" {
		t.Errorf("an answer that does not hold is kept: %+v (%v)", v.Asking, err)
	}
	refused := answer(a, ours, func(e *record.Erasure) { e.Answer = record.AnswerRefused })
	s := a.tells(t, b)
	for _, news := range []map[string]any{refused, refused, answer(a, ours, nil), answer(a, ours, nil)} {
		if got := s.tell(news); !got.OK {
			t.Errorf("an answer that holds: %+v", got)
		}
	}
	if got := s.tell(refused); got.OK || got.Retry {
		t.Errorf("a refusal of what is erased: %+v", got)
	}
	if alarms := b.events(event.Alarm); len(alarms) != 1 || alarms[0].ID != ours {
		t.Errorf("the alarms are %+v", alarms)
	}
	if told := b.events(event.EraseAnswered); len(told) != 2 {
		t.Errorf("told %+v", told)
	}
	for range 20 { // a partner that asks all the time
		if got := s.tell(erase(other)); !got.OK {
			t.Errorf("a request: %+v", got)
		}
	}
	if told := b.events(event.EraseRequested); len(told) != 1 {
		t.Errorf("20 requests told %d times", len(told))
	}
}

func mustParse(t *testing.T, s string) record.TransferID {
	t.Helper()
	id, err := record.ParseTransferID(s)
	check(t, err)
	return id
}
