package exchange_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"dxd/event"
	"dxd/exchange"
	"dxd/p2p"
	"dxd/record"
)

// reasonOf is why a delivery was refused, "" if it was not.
func reasonOf(t *testing.T, kind byte, content []byte) string {
	t.Helper()
	var r refusedAs
	if kind == typeRefusal {
		check(t, json.Unmarshal(content, &r))
	}
	return r.Reason
}

// TestNamesThatAreNoNamesAreRefused has a partner sign openings that our own
// encoder would not write.
func TestNamesThatAreNoNamesAreRefused(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	const name, media = `"name":"a.txt"`, `"media_type":"text/plain"`
	for what, change := range map[string][2]string{
		"a path":                           {name, `"name":"../../etc/passwd"`},
		"a path from the root":             {name, `"name":"/etc/passwd"`},
		"a path below":                     {name, `"name":"a/b"`},
		"the directory above":              {name, `"name":".."`},
		"the directory":                    {name, `"name":"."`},
		"no name":                          {name, `"name":""`},
		"an escape of a terminal":          {name, `"name":"\u001b[2Ja.txt"`},
		"the end of a C string":            {name, `"name":"a.txt\u0000.exe"`},
		"a line of its own":                {name, `"name":"a\nreceived b.txt"`},
		"text that runs backwards":         {name, `"name":"a\u202etxt.exe"`},
		"a name that is not UTF-8":         {name, `"name":"` + "\xff" + `"`},
		"a lone surrogate":                 {name, `"name":"\ud800"`},
		"a long name":                      {name, `"name":"` + strings.Repeat("n", 256) + `"`},
		"two names":                        {name, name + `,"name":"b.txt"`},
		"a member in another case":         {name, `"Name":"a.txt"`},
		"a member too many":                {name, name + `,"path":"/tmp"`},
		"a header behind its media type":   {media, `"media_type":"text/plain\r\nSet-Cookie: a=b"`},
		"an escape in its media type":      {media, `"media_type":"text/\u001b[2J"`},
		"a media type of endless nonsense": {media, `"media_type":"` + strings.Repeat("x", 300) + `"`},
	} {
		t.Run(what, func(t *testing.T) { // after which its stream is gone: a partner has so many
			f := newForgery(t, a, b)
			opening, err := f.Opening.Bytes()
			check(t, err)
			if !strings.Contains(string(opening), change[0]) {
				t.Fatalf("the opening is %s", opening)
			}
			evil := []byte(strings.Replace(string(opening), change[0], change[1], 1))
			f.Manifest.Root = record.LeafHash(evil)
			f.Openings = func([]byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(evil))), evil...) }
			kind, content := f.deliver(t, a, b)
			if got := reasonOf(t, kind, content); got != "rejected" {
				t.Errorf("answered with type %d, %s", kind, content)
			}
			if _, err := b.Get(t.Context(), f.ID); record.KindOf(err) != record.NotFound {
				t.Errorf("the recipient keeps a transfer: %v", err)
			}
		})
	}
	b.keepsNoFile()
}

// TestAnothersManifestIsNotTakenFromAPartner has carl, who got hold of what anna
// signed for bert, pass it off as his own, and sign in her name.
func TestAnothersManifestIsNotTakenFromAPartner(t *testing.T) {
	a, b, c := newNode(t, "anna"), newNode(t, "bert"), newNode(t, "carl")
	pair(t, a, b)
	pair(t, c, b)
	for what, test := range map[string]struct {
		change func(f *forgery)
		reason string
	}{
		"a manifest that anna signed": {func(f *forgery) {
			opening, err := f.Opening.Bytes()
			check(t, err)
			f.Manifest.Root = record.LeafHash(opening)
			annas, err := a.keys.SignManifest(f.Manifest)
			check(t, err)
			f.Closing = func(c map[string]any) { c["manifest"] = json.RawMessage(annas.Bytes()) }
		}, "rejected"},
		"a manifest under anna's card": {func(f *forgery) { f.Manifest.Card = a.book.Self().ID() }, "rejected"},
	} {
		f := newForgery(t, a, b)
		test.change(f)
		kind, content := f.deliver(t, c, b)
		if got := reasonOf(t, kind, content); got != test.reason {
			t.Errorf("%s: answered with type %d, %s", what, kind, content)
		}
		if _, err := b.Get(t.Context(), f.ID); record.KindOf(err) != record.NotFound {
			t.Errorf("%s: the recipient keeps a transfer: %v", what, err)
		}
		// It speaks for nobody but carl: anna's number is free.
		g := newForgery(t, a, b)
		g.Manifest.Number = f.Manifest.Number
		if kind, content := g.deliver(t, a, b); kind != typeReceipt {
			t.Errorf("%s: then anna is answered with type %d, %s", what, kind, content)
		}
	}
	for _, e := range b.events(event.Alarm) {
		if strings.Contains(e.Text, "two records") {
			t.Errorf("an alarm: %+v", e)
		}
	}
}

// hellos says a hello of anna's by hand and tells whether it was answered.
func hellos(t *testing.T, a, b *node, file record.CardFile) bool {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"v": 1, "file": file, "heads": json.RawMessage(a.heads(t, b, nil).Bytes())})
	check(t, err)
	s := a.stream(t, b, exchange.ProtocolHello)
	writeFrame(t, s, typeHello, raw)
	kind, _, err := readFrame(s)
	return err == nil && kind == typeHello
}

// TestAnOldCardTakesNothingBack has a partner show the card and the address of
// before, in person.
func TestAnOldCardTakesNothingBack(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	old, err := a.book.CardFile([]string{"/ip4/127.0.0.1/tcp/9"})
	check(t, err)
	a.delivered(a.send("bert", []byte("they meet")).ID)
	for range 2 {
		check(t, a.book.Renew(t.Context()))
	}
	a.CallAll()
	until(t, "bert has anna's new card", func() bool { return b.has(a) })
	new := a.book.Self()
	for range 3 {
		hellos(t, a, b, old.File())
		p, err := b.book.ByOrg(a.keys.Org())
		check(t, err)
		if p.Card.ID() != new.ID() {
			t.Fatalf("bert went back to card %d", p.Card.Body.Serial)
		}
		for _, addr := range p.AllAddresses() {
			if addr == "/ip4/127.0.0.1/tcp/9" {
				t.Errorf("bert went back to the address of before: %v", p.AllAddresses())
			}
		}
	}
	if told := b.events(event.Alarm); len(told) != 0 {
		t.Errorf("alarms: %+v", told) // it may be an older copy of its state
	}
	b.delivered(b.send("anna", []byte("goes on")).ID)
	a.delivered(a.send("bert", []byte("goes on")).ID)
}

// TestASecondFirstReceiptChangesNothing has a recipient contradict the receipt
// that it gave, and go on from the other one.
func TestASecondFirstReceiptChangesNothing(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	sent := a.send("bert", []byte("a document"))
	a.delivered(sent.ID)
	manifest, receipts := a.records(sent.ID)
	other, err := b.keys.SignReceipt(record.Receipt{
		Header: record.Header{Card: b.book.Self().ID(), Created: time.Now().UnixMilli()},
		Sender: a.keys.Org(), Manifest: manifest.ID(), Entries: []record.Entry{{Status: record.StatusReceived}},
	})
	check(t, err)
	s := b.tells(t, a)
	for what, news := range map[string]map[string]any{
		"another first receipt": {"transfer": sent.ID.String(), "receipt": json.RawMessage(other.Bytes())},
		"a word that follows another first receipt": b.word(t, a, sent.ID, func(r *record.Receipt) {
			r.Previous, r.Entries[0] = other.ID(), record.Entry{Status: record.StatusRefused, Reason: "no"}
		}),
	} {
		if got := s.tell(news); got.OK {
			t.Errorf("%s is taken: %+v", what, got)
		}
	}
	if v, err := a.Get(t.Context(), sent.ID); err != nil || v.State != exchange.Delivered {
		t.Errorf("the transfer is %s (%v)", v.State, err)
	}
	if _, now := a.records(sent.ID); len(now) != 1 || now[0].ID() != receipts[0].ID() {
		t.Error("the receipt is another one now")
	}
	b.says(sent.ID, accepted)
	a.hears(sent.ID)
	agreeOn(t, sent.ID, accepted, a, b)
}

// TestReceiptsForWhatWasNeverSentChangeNothing has a partner sign receipts for
// all that it was never offered.
func TestReceiptsForWhatWasNeverSentChangeNothing(t *testing.T) {
	a, b, c := newNode(t, "anna"), newNode(t, "bert"), newNode(t, "carl")
	pair(t, a, b)
	pair(t, a, c)
	came := b.send("anna", []byte("from bert"))
	b.delivered(came.ID)
	c.halt()
	b.host.Handle(exchange.ProtocolTransfer, func(_ context.Context, c *p2p.Conn) { c.Reset() }) // bert takes nothing more
	waits, carls := a.send("bert", []byte("waits")), a.send("carl", []byte("for carl"))
	cancelled := a.send("bert", []byte("cancelled"))
	_, err := a.Cancel(t.Context(), cancelled.ID)
	check(t, err)
	noted, err := a.Notarize(t.Context(), "a.txt", "", 3, strings.NewReader("abc"))
	check(t, err)
	before := map[record.TransferID]exchange.State{}
	for _, v := range []exchange.View{came, waits, carls, cancelled, noted} {
		now, err := a.Get(t.Context(), v.ID)
		check(t, err)
		before[v.ID] = now.State
	}
	s := b.tells(t, a)
	for id := range before {
		for _, status := range []record.ReceiptStatus{record.StatusReceived, record.StatusAccepted} {
			r := record.Receipt{
				Header: record.Header{Card: b.book.Self().ID(), Created: time.Now().UnixMilli()},
				Sender: a.keys.Org(), Manifest: record.RecordID{7}, Entries: []record.Entry{{Status: status}},
			}
			if id == came.ID {
				manifest, _ := b.records(id)
				r.Manifest = manifest.ID()
			}
			if status == record.StatusAccepted {
				r.Previous = record.RecordID{8}
			}
			signed, err := b.keys.SignReceipt(r)
			check(t, err)
			if got := s.tell(map[string]any{"transfer": id.String(), "receipt": json.RawMessage(signed.Bytes())}); got.OK {
				t.Errorf("a receipt that says %s of what is %s is taken: %+v", status, before[id], got)
			}
		}
	}
	for id, state := range before {
		v, err := a.Get(t.Context(), id)
		if v.State == exchange.Sending {
			v.State = exchange.Queued
		}
		if state == exchange.Sending {
			state = exchange.Queued
		}
		if err != nil || v.State != state {
			t.Errorf("what was %s is %s (%v)", state, v.State, err)
		}
	}
	if told := a.events(event.Alarm); len(told) != 0 {
		t.Errorf("alarms: %+v", told)
	}
}

// TestABodyThatGoesOnBehindItsEndIsRefused closes a body whose length was not
// known, is refused for now over a card that nobody knows, and goes on with it.
func TestABodyThatGoesOnBehindItsEndIsRefused(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	for range 10 {
		f := newForgery(t, a, b)
		f.large(t, b)
		f.Manifest.Header.Card = record.RecordID{9}
		_, finish := f.finish(t, a)
		first := f.begins(t, a, b)
		kind, content := finish(first, answered(t, first))
		if kind != typeRefusal || !strings.Contains(string(content), `"card"`) {
			t.Fatalf("answered with type %d, %s", kind, content)
		}
		second := f.begins(t, a, b)
		if at := answered(t, second); at != f.Sealed {
			t.Errorf("asked to go on at %d of %d", at, f.Sealed)
		}
		writeFrame(t, second, typeBody, make([]byte, 1000))
		writeFrame(t, second, typeBody, nil)
		if kind, content := lastFrame(second); kind == typeReceipt {
			t.Errorf("answered with type %d, %s", kind, content)
		}
	}
	a.delivered(a.send("bert", []byte("a document")).ID)
}
