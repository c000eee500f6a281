package exchange_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dxd/blobstore"
	"dxd/event"
	"dxd/exchange"
	"dxd/hashanchor"
	"dxd/p2p"
	"dxd/partner"
	"dxd/record"
)

var (
	accepted = exchange.Word{State: exchange.Accepted, Application: "{\"order\":\"4711\"}\n\x00\u202e"}
	refused  = exchange.Word{State: exchange.Refused, Reason: "the sum is wrong", Application: "E17"}
)

// says has the node's application say its word.
func (n *node) says(id record.TransferID, w exchange.Word) exchange.View {
	n.t.Helper()
	v, err := n.Say(n.t.Context(), id, w)
	check(n.t, err)
	return v
}

// hears waits until the transfer is accepted or refused.
func (n *node) hears(id record.TransferID) exchange.View {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), waitAtMost)
	defer cancel()
	v, err := n.Wait(ctx, id, exchange.UntilAccepted, nil)
	if err != nil {
		n.t.Fatalf("%s heard no word: %v; the transfer is %s (%s)", n.name, err, v.State, v.Reason)
	}
	return v
}

// agreeOn fails unless both ends have the word, and the same two receipts.
func agreeOn(t *testing.T, id record.TransferID, w exchange.Word, ends ...*node) {
	t.Helper()
	var ids []record.RecordID
	for _, n := range ends {
		v, err := n.Get(t.Context(), id)
		check(t, err)
		application, err := n.Application(t.Context(), id)
		check(t, err)
		if v.State != w.State || v.Reason != w.Reason || application != w.Application || v.BytesDone != v.Size {
			t.Errorf("%s has %s (%q) with the string %q, %d of %d bytes", n.name, v.State, v.Reason, application, v.BytesDone, v.Size)
		}
		_, receipts := n.records(id)
		if len(receipts) != 2 {
			t.Fatalf("%s has %d receipts", n.name, len(receipts))
		}
		ids = append(ids, receipts[0].ID(), receipts[1].ID())
	}
	if len(ids) == 4 && (ids[0] != ids[2] || ids[1] != ids[3]) {
		t.Error("the two sides hold different receipts")
	}
}

func TestTheWordOfTheApplicationReachesTheSender(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	for what, w := range map[event.Type]exchange.Word{
		event.TransferAccepted: accepted,
		event.TransferRefused:  refused,
	} {
		doc := []byte("a document")
		sent := a.send("bert", doc)
		a.delivered(sent.ID)
		if v := b.says(sent.ID, w); v.State != w.State {
			t.Errorf("after its word the transfer is %s", v.State)
		}
		if v := a.hears(sent.ID); v.State != w.State || v.Reason != w.Reason {
			t.Errorf("the sender heard %s (%q)", v.State, v.Reason)
		}
		agreeOn(t, sent.ID, w, a, b)
		for _, n := range []*node{a, b} {
			if told := n.events(what); len(told) != 1 || told[0].ID != sent.ID || told[0].Reason != w.Reason {
				t.Errorf("%s: the events are %+v", n.name, told)
			}
			n.document(sent.ID) // is still there
			n.showsWord(sent, w)
		}
	}
}

// showsWord fails unless the node's evidence holds, as far as it can without a
// chain, and shows the word.
func (n *node) showsWord(v exchange.View, w exchange.Word) {
	n.t.Helper()
	file, err := n.Evidence(n.t.Context(), v.ID)
	check(n.t, err)
	report, err := hashanchor.Verify(n.t.Context(), hashanchor.Document{Digest: v.Digest, Length: v.Size}, file, hashanchor.Options{})
	check(n.t, err)
	if report.ExitCode() != hashanchor.ExitUndecided || report.Receipt != string(w.State) {
		n.t.Errorf("%s: the evidence verifies with %d, receipt %s: %+v", n.name, report.ExitCode(), report.Receipt, report.Checks)
	}
}

func TestAWordUnderANewerCardThanTheFirstReceiptVerifies(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	sent := a.send("bert", []byte("a document"))
	a.delivered(sent.ID)
	check(t, a.book.Renew(t.Context()))
	check(t, b.book.Renew(t.Context()))
	b.says(sent.ID, accepted)
	a.hears(sent.ID)
	agreeOn(t, sent.ID, accepted, a, b)
	for _, n := range []*node{a, b} {
		n.showsWord(sent, accepted)
	}
}

func TestAWordIsFinal(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	for _, w := range []exchange.Word{accepted, refused} {
		sent := a.send("bert", []byte("a document"))
		a.delivered(sent.ID)
		b.says(sent.ID, w)
		a.hears(sent.ID)
		b.halt()
		b.start()
		b.says(sent.ID, w) // the same once more, also after a restart
		otherString, otherReason := w, w
		otherString.Application += "!"
		otherReason.Reason += "!"
		for _, other := range []exchange.Word{accepted, refused, otherString, otherReason} {
			if other == w {
				continue
			}
			if _, err := b.Say(t.Context(), sent.ID, other); err == nil {
				t.Errorf("%+v after %+v is taken", other, w)
			}
		}
		agreeOn(t, sent.ID, w, a, b)
	}
	if told := a.events(event.Alarm); len(told) != 0 {
		t.Errorf("alarms: %+v", told)
	}
}

func TestAWordThatMakesNoSenseIsRefused(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	sent := a.send("bert", []byte("a document"))
	a.delivered(sent.ID)
	noted, err := b.Notarize(t.Context(), "a.txt", "", 3, strings.NewReader("abc"))
	check(t, err)
	reason := func(s string) exchange.Word { return exchange.Word{State: exchange.Refused, Reason: s} }
	with := func(s string) exchange.Word { return exchange.Word{State: exchange.Accepted, Application: s} }
	for _, test := range []struct {
		what string
		n    *node
		id   record.TransferID
		word exchange.Word
		kind record.Kind
	}{
		{"on what went out", a, sent.ID, accepted, record.Conflict},
		{"on a notarisation", b, noted.ID, accepted, record.Conflict},
		{"on what is not there", b, record.TransferID{0: 1, 6: 0x70, 8: 0x80}, accepted, record.NotFound},
		{"that is no word", b, sent.ID, exchange.Word{State: exchange.Received}, record.Invalid},
		{"with a reason to accept", b, sent.ID, exchange.Word{State: exchange.Accepted, Reason: "fine"}, record.Invalid},
		{"without a reason to refuse", b, sent.ID, reason(""), record.Invalid},
		{"with a long reason", b, sent.ID, reason(strings.Repeat("x", record.MaxReason+1)), record.Invalid},
		{"with a reason that moves the cursor", b, sent.ID, reason("\x1b[2Jno"), record.Invalid},
		{"with a string of more than 64 KiB", b, sent.ID, with(strings.Repeat("x", record.MaxApplication+1)), record.Invalid},
		{"with a string that is not UTF-8", b, sent.ID, with("\xff"), record.Invalid},
	} {
		if _, err := test.n.Say(t.Context(), test.id, test.word); record.KindOf(err) != test.kind {
			t.Errorf("a word %s: %v", test.what, err)
		}
	}
	if v, err := b.Get(t.Context(), sent.ID); err != nil || v.State != exchange.Received {
		t.Errorf("the transfer is %s (%v)", v.State, err)
	}
	// The longest string that there can be, each byte escaped in JSON.
	longest := with(strings.Repeat("\x00", record.MaxApplication))
	b.says(sent.ID, longest)
	a.hears(sent.ID)
	agreeOn(t, sent.ID, longest, a, b)
}

func TestAWordOnWhatIsNotHereWholeIsRefused(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	f := newForgery(t, a, b)
	f.large(t, b)
	s := openRaw(t, a, b)
	f.offerAnd(t, s)
	b.becomes(f.ID, exchange.Receiving)
	if _, err := b.Say(t.Context(), f.ID, accepted); record.KindOf(err) != record.Conflict || record.Hint(err) == "" {
		t.Errorf("while it is on its way: %v", err)
	}
	_, err := b.Cancel(t.Context(), f.ID)
	check(t, err)
	if _, err := b.Say(t.Context(), f.ID, accepted); record.KindOf(err) != record.Conflict {
		t.Errorf("after it was cancelled: %v", err)
	}
}

func TestNoWordIsSignedUnderAnExpiredCard(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	sent := a.send("bert", []byte("a document"))
	a.delivered(sent.ID)
	b.startAt(func() time.Time { return time.Now().Add(10 * 365 * 24 * time.Hour) })
	if _, err := b.Say(t.Context(), sent.ID, accepted); record.KindOf(err) != record.Refused || !strings.Contains(err.Error(), "your own card") {
		t.Errorf("said: %v", err)
	}
}

func TestAWordWaitsForItsSender(t *testing.T) {
	for what, away := range map[string]func(a, b *node) (back func()){
		"that is away": func(a, _ *node) func() {
			a.halt()
			return a.start
		},
		"that is suspended": func(a, b *node) func() {
			_, err := b.book.SetState(b.t.Context(), "anna", partner.Suspended, nothing)
			check(b.t, err)
			return func() {
				_, err := b.book.SetState(b.t.Context(), "anna", partner.Active, nothing)
				check(b.t, err)
			}
		},
		"that was removed": func(a, b *node) func() {
			_, err := b.book.SetState(b.t.Context(), "anna", partner.Removed, b.Remove)
			check(b.t, err)
			return func() { pair(b.t, a, b) }
		},
	} {
		t.Run(what, func(t *testing.T) {
			a, b := newNode(t, "anna"), newNode(t, "bert")
			pair(t, a, b)
			sent := a.send("bert", []byte("a document"))
			a.delivered(sent.ID)
			back := away(a, b)
			b.says(sent.ID, refused)
			b.halt() // and across a restart of who said it
			b.start()
			back()
			a.hears(sent.ID)
			agreeOn(t, sent.ID, refused, a, b)
		})
	}
}

// silent has the node take transfers, and say no more than the answer to each
// offer: its receipts do not arrive until it is asked to speak.
func (n *node) silent() (speak func()) {
	words := &atomic.Int64{}
	words.Store(1)
	n.host.Handle(exchange.ProtocolTransfer, func(ctx context.Context, c *p2p.Conn) { n.ServeTransfer(ctx, mute{c, words}) })
	return func() { words.Store(1 << 30) }
}

func TestAWordThatOvertakesTheFirstReceiptIsTakenAfterIt(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	speak := b.silent()
	sent := a.send("bert", []byte("a document"))
	b.becomes(sent.ID, exchange.Received)
	b.says(sent.ID, accepted)
	_, receipts := b.records(sent.ID)
	news := map[string]any{"transfer": sent.ID.String(), "receipt": json.RawMessage(receipts[1].Bytes())}
	if got := b.tells(t, a).tell(news); got.OK || !got.Retry {
		t.Errorf("before the first receipt: %+v", got)
	}
	speak()
	a.hears(sent.ID)
	agreeOn(t, sent.ID, accepted, a, b)
}

func TestAVoidComesTooLateForWhatIsAccepted(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	b.silent()
	sent := a.send("bert", []byte("a document"))
	b.becomes(sent.ID, exchange.Received)
	b.says(sent.ID, refused)
	if _, err := b.Cancel(t.Context(), sent.ID); record.KindOf(err) != record.Conflict {
		t.Errorf("the recipient cancels what it refused: %v", err)
	}
	_, err := a.Cancel(t.Context(), sent.ID)
	check(t, err)
	a.becomes(sent.ID, exchange.Refused)
	agreeOn(t, sent.ID, refused, a, b)
	if _, err := a.Cancel(t.Context(), sent.ID); record.KindOf(err) != record.Conflict {
		t.Errorf("the sender cancels what was refused: %v", err)
	}
}

func TestTheProofOfAWordReachesTheSender(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	sent := a.send("bert", []byte("a document"))
	a.delivered(sent.ID)
	b.says(sent.ID, accepted)
	a.hears(sent.ID)
	manifest, receipts := b.records(sent.ID)
	for n, own := range map[*node][]record.Envelope{a: {manifest}, b: receipts} {
		for _, e := range own {
			n.proven(e)
		}
	}
	for n, others := range map[*node][]record.Envelope{a: receipts, b: {manifest}} {
		for _, e := range others {
			n.isPushed(e.ID())
		}
	}
}

// proven is what the queue does when the chain has confirmed a record of ours.
func (n *node) proven(e record.Envelope) {
	n.t.Helper()
	raw, err := record.Marshal(proofOf(n.t, e, n.keys.Account()))
	check(n.t, err)
	check(n.t, n.store.Update(n.t.Context(), func(tx blobstore.Tx) error {
		id := e.ID()
		if err := tx.Set("q/p/"+tx.Index("queue", id[:]), raw); err != nil {
			return err
		}
		return n.Proven(tx, id, true)
	}))
}

// isPushed waits until a partner's proof of the record is kept.
func (n *node) isPushed(id record.RecordID) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), waitAtMost)
	defer cancel()
	changed := n.store.Watch(ctx, "q/")
	for !n.pushed(id) {
		select {
		case <-changed:
		case <-ctx.Done():
			n.t.Fatalf("%s got no proof of %s", n.name, id)
		}
	}
}

// word signs a receipt about a transfer of the node's, as its keys allow.
func (n *node) word(t *testing.T, to *node, id record.TransferID, change func(*record.Receipt)) map[string]any {
	t.Helper()
	manifest, receipts := n.records(id)
	r := record.Receipt{
		Header: record.Header{Card: n.book.Self().ID(), Created: time.Now().UnixMilli()},
		Sender: to.keys.Org(), Manifest: manifest.ID(), Previous: receipts[0].ID(),
		Entries: []record.Entry{{Status: record.StatusAccepted}},
	}
	change(&r)
	signed, err := n.keys.SignReceipt(r)
	check(t, err)
	return map[string]any{"transfer": id.String(), "receipt": json.RawMessage(signed.Bytes())}
}

func TestAWordThatDoesNotHoldIsNotTaken(t *testing.T) {
	a, b, c := newNode(t, "anna"), newNode(t, "bert"), newNode(t, "carl")
	pair(t, a, b)
	pair(t, a, c)
	id, carls := a.send("bert", []byte("to bert")).ID, a.send("carl", []byte("to carl")).ID
	a.delivered(id)
	a.delivered(carls)
	_, receipts := b.records(id)
	as := func(id record.TransferID, news map[string]any) map[string]any {
		news["transfer"] = id.String()
		return news
	}
	same := func(*record.Receipt) {}
	no, later := said{}, said{Retry: true}
	for _, test := range []struct {
		what string
		from *node
		news map[string]any
		want said
	}{
		{"of another partner on our transfer", c, as(id, c.word(t, a, carls, same)), no},
		{"that another partner passes on", c, b.word(t, a, id, same), no},
		{"on another transfer than it says", b, as(carls, b.word(t, a, id, same)), no},
		{"on what is not there", b, as(record.TransferID{0: 1, 6: 0x70, 8: 0x80}, b.word(t, a, id, same)), later},
		{"to another sender", b, b.word(t, a, id, func(r *record.Receipt) { r.Sender = c.keys.Org() }), no},
		{"about another manifest", b, b.word(t, a, id, func(r *record.Receipt) { r.Manifest[0] ^= 1 }), no},
		{"that names another receipt before it", b, b.word(t, a, id, func(r *record.Receipt) { r.Previous[0] ^= 1 }), no},
		{"on another item", b, b.word(t, a, id, func(r *record.Receipt) { r.Entries[0].First, r.Entries[0].Last = 1, 1 }), no},
		{"on several items", b, b.word(t, a, id, func(r *record.Receipt) { r.Entries[0].Last = 1 }), no},
		{"of two entries", b, b.word(t, a, id, func(r *record.Receipt) {
			r.Entries = append(r.Entries, record.Entry{First: 1, Last: 1, Status: record.StatusRefused})
		}), no},
		{"under a card that is not known", b, b.word(t, a, id, func(r *record.Receipt) { r.Card[0] ^= 1 }), later},
		{"that is the first receipt", b, map[string]any{"transfer": id.String(), "receipt": json.RawMessage(receipts[0].Bytes())}, no},
	} {
		if got := test.from.tells(t, a).tell(test.news); got.OK != test.want.OK || got.Retry != test.want.Retry {
			t.Errorf("a word %s: %+v", test.what, got)
		}
	}
	for _, id := range []record.TransferID{id, carls} {
		if v, err := a.Get(t.Context(), id); err != nil || v.State != exchange.Delivered {
			t.Errorf("the transfer is %s (%v)", v.State, err)
		}
	}
	if got := b.tells(t, a).tell(b.word(t, a, id, same)); !got.OK {
		t.Errorf("a word that holds: %+v", got)
	}
	if told := a.events(event.Alarm); len(told) != 0 {
		t.Errorf("alarms: %+v", told)
	}
}

func TestASecondWordOfAPartnerIsAnAlarmAndNotTaken(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	sent := a.send("bert", []byte("a document"))
	a.delivered(sent.ID)
	b.says(sent.ID, accepted)
	a.hears(sent.ID)
	_, receipts := b.records(sent.ID)
	s := b.tells(t, a)
	for i, change := range []func(*record.Receipt){
		func(r *record.Receipt) { r.Entries[0].Status = record.StatusRefused },
		func(r *record.Receipt) {
			r.Entries[0].Status, r.Previous = record.StatusRefused, receipts[1].ID()
		},
		func(r *record.Receipt) { r.Entries[0].Application = "another" },
	} {
		if got := s.tell(b.word(t, a, sent.ID, change)); got.OK || got.Retry {
			t.Errorf("%d: %+v", i, got)
		}
	}
	news := map[string]any{"transfer": sent.ID.String(), "receipt": json.RawMessage(receipts[1].Bytes())}
	if got := s.tell(news); !got.OK {
		t.Errorf("the same word once more: %+v", got)
	}
	agreeOn(t, sent.ID, accepted, a, b)
	alarms := a.events(event.Alarm)
	if len(alarms) != 2 || alarms[0].Partner != b.keys.Org() || alarms[0].ID != sent.ID || !strings.Contains(alarms[0].Text, "two words") {
		t.Errorf("the alarms are %+v", alarms)
	}
}

func TestGoalsAreMetByTheWord(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	waits := func(n *node, id record.TransferID, g exchange.Goal, patience time.Duration) (exchange.State, error) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		v, err := n.Wait(ctx, id, g, nil)
		return v.State, err
	}
	for _, w := range []exchange.Word{accepted, refused} {
		sent := a.send("bert", []byte(fmt.Sprint("a document that is ", w.State)))
		a.delivered(sent.ID)
		if s, err := waits(a, sent.ID, exchange.UntilAccepted, 50*time.Millisecond); record.KindOf(err) != record.Timeout {
			t.Errorf("before the word a wait for it ends with %s (%v)", s, err)
		}
		b.says(sent.ID, w)
		a.hears(sent.ID)
		for _, n := range []*node{a, b} {
			for _, g := range []exchange.Goal{exchange.UntilAccepted, exchange.UntilQueued, exchange.UntilDelivered} {
				if s, err := waits(n, sent.ID, g, waitAtMost); err != nil {
					t.Errorf("%s: a wait for %s ends with %s (%v)", n.name, g, s, err)
				}
			}
			if s, err := waits(n, sent.ID, exchange.UntilAnchored, 50*time.Millisecond); record.KindOf(err) != record.Timeout {
				t.Errorf("%s: without an anchor a wait for it ends with %s (%v)", n.name, s, err)
			}
		}
		page, err := a.List(t.Context(), exchange.Filter{State: w.State})
		check(t, err)
		if len(page) != 1 || page[0].ID != sent.ID {
			t.Errorf("of those that are %s, %d are listed", w.State, len(page))
		}
	}
}
