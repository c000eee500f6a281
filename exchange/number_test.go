package exchange_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"dxd/blobstore"
	"dxd/exchange"
	"dxd/partner"
	"dxd/record"
)

// given makes the forgery one with this number.
func (f *forgery) given(epoch record.Epoch, sequence int64, predecessor record.RecordID) *forgery {
	f.Manifest.Number = record.Number{Epoch: epoch, Lane: record.LaneDoc, Sequence: sequence, Predecessor: predecessor}
	return f
}

// answers says how the forgery was taken: "receipt", or why not.
func (f *forgery) answers(t *testing.T, from, to *node) (answer string, retry bool) {
	t.Helper()
	var kind byte
	var content []byte
	until(t, "an answer", func() bool { // a restart of the other side may break the stream
		kind, content = f.deliver(t, from, to)
		return kind != 0
	})
	var r struct {
		Reason string
		Retry  bool
	}
	switch kind {
	case typeReceipt:
		return "receipt", false
	case typeRefusal:
		check(t, json.Unmarshal(content, &r))
		return r.Reason, r.Retry
	}
	t.Fatalf("answered with type %d, %s", kind, content)
	return "", false
}

// resume is what `dxd partner resume` does.
func (n *node) resume(alias string) {
	n.t.Helper()
	p, err := n.book.SetState(n.t.Context(), alias, partner.Active, n.Resume)
	check(n.t, err)
	n.PartnerChanged(p.Org)
}

// lane gives the state of the lane of documents.
func (n *node) lane(other *node) exchange.LaneState {
	n.t.Helper()
	all, err := n.Lanes(n.t.Context(), other.keys.Org())
	check(n.t, err)
	return all[0]
}

func TestTwoRecordsWithOneNumberStopTheLane(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	b.hushed.Store(true) // or it would hear that anna knows nothing of what is forged with her key
	pair(t, a, b)
	epoch, before := record.Epoch{7}, record.RecordID{1}
	if got, _ := newForgery(t, a, b).given(epoch, 1, record.RecordID{}).answers(t, a, b); got != "receipt" {
		t.Fatalf("the first: %s", got)
	}
	if got, retry := newForgery(t, a, b).given(epoch, 1, record.RecordID{}).answers(t, a, b); got != "number" || !retry {
		t.Errorf("another with its number: %s, %t", got, retry)
	}
	for range 2 { // across a restart
		if got, retry := newForgery(t, a, b).given(epoch, 2, before).answers(t, a, b); got != "number" || !retry {
			t.Errorf("the next one: %s, %t", got, retry)
		}
		if !b.lane(a).Stopped {
			t.Error("the lane is not stopped")
		}
		b.halt()
		b.start()
	}
	void := newForgery(t, a, b).given(epoch, 3, before)
	manifest, _ := void.finish(t, a)
	if got := a.tells(t, b).tell(a.voidsNumber(t, void.ID, b, manifest)); got.OK || !got.Retry {
		t.Errorf("a void in it: %+v", got)
	}
	// The honest sender waits, and nothing of it fails.
	sent := a.send("bert", []byte("a document"))
	// What was forged with its key is news to it, too. It goes on in another
	// epoch then, and if it was refused before it heard, it is refused again.
	until(t, "anna holds the lane", func() bool {
		told := strings.Join(a.alarms(), "\n")
		return strings.Contains(told, "a partner has our number 1 (lane doc, epoch "+epoch.String()+")") &&
			strings.Contains(told, "one of our numbers stands for two records") && a.lane(b).Held
	})
	if v, err := a.Get(t.Context(), sent.ID); err != nil || v.State != exchange.Queued && v.State != exchange.Sending {
		t.Errorf("the honest transfer is %s (%s, %v)", v.State, v.Reason, err)
	}
	if told := strings.Join(b.alarms(), "\n"); strings.Count(told, "two records with the number 1 (lane doc, epoch "+epoch.String()+")") != 1 {
		t.Errorf("bert was told %q", told)
	}
	// The other direction goes on.
	b.delivered(b.send("anna", []byte("the other way")).ID)

	first := a.number(sent.ID)
	b.resume("anna")
	a.resume("bert")
	a.delivered(sent.ID)
	if now := a.number(sent.ID); now.Epoch == first.Epoch || a.lane(b).Held || b.lane(a).Stopped {
		t.Errorf("it went on as %+v", now)
	}
	a.verifies(sent.ID)
	b.verifies(sent.ID)
}

func TestAPartnerThatIsResumedTooEarlyStopsAgain(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	for range 2 {
		newForgery(t, a, b).given(record.Epoch{7}, 1, record.RecordID{}).answers(t, a, b)
	}
	sent := a.send("bert", []byte("a document"))
	until(t, "anna holds the lane", func() bool { return a.lane(b).Held })
	a.resume("bert") // and bert did not look into it yet
	b.resume("anna")
	until(t, "it goes on", func() bool {
		if a.lane(b).Held {
			a.resume("bert")
		}
		v, err := a.Get(t.Context(), sent.ID)
		return err == nil && v.State == exchange.Delivered
	})
}

// voidsNumber signs the void of a manifest and its number.
func (n *node) voidsNumber(t *testing.T, id record.TransferID, to *node, m record.Signed[record.Manifest]) map[string]any {
	t.Helper()
	signed, err := n.keys.SignVoid(record.Void{
		Header:    record.Header{Card: n.book.Self().ID(), Created: time.Now().UnixMilli()},
		Recipient: to.keys.Org(), Manifest: m.ID(), Number: m.Body.Number, Reason: record.VoidCancelled,
	})
	check(t, err)
	return map[string]any{"transfer": id.String(), "void": json.RawMessage(signed.Bytes())}
}

func TestAVoidIsBoundToItsNumber(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	epoch, before := record.Epoch{7}, record.RecordID{1}
	first := newForgery(t, a, b).given(epoch, 1, record.RecordID{})
	manifest, _ := first.finish(t, a)
	for range 2 { // told twice
		if got := a.tells(t, b).tell(a.voidsNumber(t, first.ID, b, manifest)); !got.OK {
			t.Fatalf("a void: %+v", got)
		}
	}
	s := openRaw(t, a, b)
	if kind, content := first.offered(t, s); kind != typeRefusal || !bytes.Contains(content, []byte(`"cancelled"`)) {
		t.Errorf("what was voided is answered with type %d, %s", kind, content)
	}
	if l := b.lane(a); l.Received != 1 || l.Complete != 1 {
		t.Errorf("the void is no number: %+v", l)
	}
	if got, _ := newForgery(t, a, b).given(epoch, 1, record.RecordID{}).answers(t, a, b); got != "number" {
		t.Errorf("another manifest with the number: %s", got)
	}
	b.resume("anna")
	other := newForgery(t, a, b).given(epoch, 2, before)
	if got, _ := other.answers(t, a, b); got != "receipt" {
		t.Fatalf("the next: %s", got)
	}
	forged := newForgery(t, a, b).given(epoch, 2, before)
	manifest, _ = forged.finish(t, a)
	if got := a.tells(t, b).tell(a.voidsNumber(t, forged.ID, b, manifest)); got.OK || !b.lane(a).Stopped {
		t.Errorf("a void of another manifest with the number: %+v", got)
	}
}

func TestNumbersMayComeInAnyOrder(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	b.hushed.Store(true)
	pair(t, a, b)
	epoch, before := record.Epoch{7}, record.RecordID{1}
	void := newForgery(t, a, b).given(epoch, 4, before)
	manifest, _ := void.finish(t, a)
	steps := []struct {
		sequence           int64
		received, complete int64
	}{{3, 3, 0}, {1, 3, 1}, {6, 6, 1}, {2, 6, 3}, {4, 6, 4}, {5, 6, 6}}
	for _, s := range steps {
		if s.sequence == 4 {
			if got := a.tells(t, b).tell(a.voidsNumber(t, void.ID, b, manifest)); !got.OK {
				t.Fatalf("a void: %+v", got)
			}
		} else if got, _ := newForgery(t, a, b).given(epoch, s.sequence, before).answers(t, a, b); got != "receipt" {
			t.Fatalf("number %d: %s", s.sequence, got)
		}
		if l := b.lane(a); l.Received != s.received || l.Complete != s.complete {
			t.Errorf("after number %d: %+v", s.sequence, l)
		}
	}
	if told := b.alarms(); len(told) > 0 {
		t.Errorf("people were told %q", told)
	}
	// One of an earlier epoch may still be on its way when another begins.
	for _, f := range []*forgery{newForgery(t, a, b).given(record.Epoch{8}, 1, before), newForgery(t, a, b).given(epoch, 7, before)} {
		if got, _ := f.answers(t, a, b); got != "receipt" {
			t.Errorf("a number of another epoch: %s", got)
		}
	}
	if l := b.lane(a); l.Received != 1 || l.Complete != 1 {
		t.Errorf("in the new epoch: %+v", l)
	}
	b.alarmed(1, "does not go on from its number 6")
}

// void reads the void that the node signed of a transfer.
func (n *node) void(id record.TransferID) record.Signed[record.Void] {
	n.t.Helper()
	var void record.Signed[record.Void]
	check(n.t, n.store.View(n.t.Context(), func(tx blobstore.ReadTx) error {
		raw, err := tx.Get("x/v/" + blobstore.Key(id[:]))
		if err != nil {
			return err
		}
		e, err := record.ParseEnvelope(raw)
		if err != nil {
			return err
		}
		void, err = record.OpenVoid(e, n.book.Self())
		return err
	}))
	return void
}

func TestWhatIsCancelledOrExpiresEndsItsNumber(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	meet(a, b)
	b.halt()
	cancelled, waits := a.send("bert", []byte("given up")), a.send("bert", []byte("not"))
	_, err := a.Cancel(t.Context(), cancelled.ID)
	check(t, err)
	late, err := a.Submit(t.Context(), exchange.Submission{To: []string{"bert"}, Name: "a", Expires: time.Hour, Size: -1}, strings.NewReader("too late"))
	check(t, err)
	a.awake(2 * time.Hour)
	if v := a.ended(late[0].ID); v.Reason != "expired" {
		t.Errorf("it ends as %s (%s)", v.State, v.Reason)
	}
	if l := a.lane(b); l.Sent != 4 || l.Acknowledged != 1 {
		t.Errorf("before anybody knows: %+v", l)
	}
	b.start()
	a.delivered(waits.ID)
	a.settles(t, b)
	if l := b.lane(a); l.Received != 4 || l.Complete != 4 {
		t.Errorf("there it is %+v", l)
	}
	for id, reason := range map[record.TransferID]record.VoidReason{cancelled.ID: record.VoidCancelled, late[0].ID: record.VoidExpired} {
		if v := a.void(id).Body; v.Reason != reason || v.Recipient != b.keys.Org() {
			t.Errorf("the void says %q", v.Reason)
		}
	}
	for _, n := range []*node{a, b} {
		if told := n.alarms(); len(told) > 0 {
			t.Errorf("%s was told %q", n.name, told)
		}
	}
}

func TestAPartnerKeepsItsNumbersWhenItComesBack(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	before := a.send("bert", []byte("before"))
	a.delivered(before.ID)
	_, err := a.book.SetState(t.Context(), "bert", partner.Removed, a.Remove)
	check(t, err)
	pair(t, a, b)
	a.PartnerChanged(b.keys.Org())
	after := a.send("bert", []byte("after"))
	a.delivered(after.ID)
	manifest, _ := a.records(before.ID)
	if n := a.number(after.ID); n.Sequence != 2 || n.Predecessor != manifest.ID() || n.Epoch != a.number(before.ID).Epoch {
		t.Errorf("it went on with %+v", n)
	}
}

func TestTheProofOfAVoidIsTaken(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	b.halt()
	sent := a.send("bert", []byte("given up"))
	_, err := a.Cancel(t.Context(), sent.ID)
	check(t, err)
	void := a.void(sent.ID).Envelope
	proof, err := record.Marshal(proofOf(t, void, a.keys.Account()))
	check(t, err)
	check(t, a.store.Update(t.Context(), func(tx blobstore.Tx) error {
		id := void.ID()
		if err := tx.Set("q/p/"+tx.Index("queue", id[:]), proof); err != nil {
			return err
		}
		return a.Proven(tx, id, true)
	}))
	b.start()
	a.settles(t, b)
	until(t, "the proof of the void is kept", func() bool { return b.pushed(void.ID()) })
}
