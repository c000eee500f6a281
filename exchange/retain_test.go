package exchange_test

import (
	"bytes"
	"context"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dxd/blobstore"
	"dxd/exchange"
	"dxd/partner"
	"dxd/record"
)

const day = 24 * time.Hour

// awake starts the node again when so much time has passed.
func (n *node) awake(after time.Duration) {
	n.t.Helper()
	n.halt()
	n.now = func() time.Time { return time.Now().Add(after) }
	n.start()
}

// erased waits until the transfer's payload is erased.
func (n *node) erased(id record.TransferID) exchange.View {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), waitAtMost)
	defer cancel()
	changed := n.store.Watch(ctx, "x/t/")
	for {
		v, err := n.Get(ctx, id)
		check(n.t, err)
		if v.Erased != 0 {
			return v
		}
		select {
		case <-changed:
		case <-ctx.Done():
			n.t.Fatalf("transfer %s is not erased", id)
		}
	}
}

func TestASentPayloadIsErasedWhenItsTimeIsOver(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	s := exchange.Submission{To: []string{"bert"}, Name: "contract.pdf", RequestID: "order 7", Size: -1}
	sent, err := a.Submit(t.Context(), s, strings.NewReader("a document"))
	check(t, err)
	id := sent[0].ID
	a.delivered(id)
	before, err := a.Evidence(t.Context(), id)
	check(t, err)
	kept, err := a.Kept(t.Context())
	check(t, err)
	want := exchange.Kept{Rule: exchange.RetainSent, Payloads: 1, Bytes: sent[0].SealedLength}
	if len(kept) != 2 || kept[0] != want || kept[1] != (exchange.Kept{Rule: exchange.RetainReceived}) {
		t.Errorf("kept is %+v", kept)
	}
	a.retain.Sent = 7 * day
	a.awake(6 * day)
	if kept, err = a.Kept(t.Context()); err != nil || kept[0].For != 7*day || time.Until(kept[0].Due) > 7*day || time.Until(kept[0].Due) < 6*day {
		t.Errorf("after six days kept is %+v (%v)", kept, err)
	}
	if got := a.document(id); string(got) != "a document" {
		t.Errorf("after six days there is %q", got)
	}
	a.awake(8 * day)
	v := a.erased(id)
	a.keepsNoFile()
	if v.State != exchange.Delivered || v.ErasedBy != exchange.RetainSent || v.Name != "contract.pdf" || v.Digest != sent[0].Digest {
		t.Errorf("what is left is %+v", v.Transfer)
	}
	for _, prefix := range []blobstore.Key{"x/f/", "x/b/", "x/d/"} { // file keys, marks of files, shelves
		if n := a.entries(prefix); n != 0 {
			t.Errorf("%d entries are left under %s", n, prefix)
		}
	}
	_, err = a.Content(t.Context(), id)
	if record.KindOf(err) != record.Gone || !strings.Contains(err.Error(), "erased on "+a.now().UTC().Format(time.DateOnly)+" by retain.sent") || record.Hint(err) == "" {
		t.Errorf("getting it: %v (%s)", err, record.Hint(err))
	}
	after, err := a.Evidence(t.Context(), id)
	check(t, err)
	if !bytes.Equal(before, after) {
		t.Error("its evidence is another one")
	}
	again, err := a.Submit(t.Context(), s, strings.NewReader("a document"))
	check(t, err)
	if again[0].ID != id || a.filesLeft() != 0 {
		t.Error("the same request made another transfer")
	}
	if string(b.document(id)) != "a document" {
		t.Error("the recipient lost it")
	}
	b.awake(100 * day)
	a.awake(0)
	a.delivered(a.send("bert", []byte("b goes on")).ID)
	if string(b.document(id)) != "a document" {
		t.Error("what was received is not kept")
	}
}

func TestAReceivedPayloadIsErasedIfItIsAskedFor(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	var sent []record.TransferID
	for range 150 { // more than one update takes
		sent = append(sent, a.send("bert", []byte("a document")).ID)
	}
	for _, id := range sent {
		a.delivered(id)
	}
	b.retain.Received = day // and it holds for what came before it was asked for
	b.awake(2 * day)
	for _, id := range sent {
		if v := b.erased(id); v.State != exchange.Received || v.ErasedBy != exchange.RetainReceived {
			t.Fatalf("what is left is %+v", v.Transfer)
		}
	}
	b.keepsNoFile()
	if a.filesLeft() != len(sent) {
		t.Error("the sender, who keeps all for ever, does not")
	}
}

func TestAPayloadIsErasedWhileTheNodeRuns(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	a.halt()
	a.retain.Sent = 500 * time.Millisecond
	a.start()
	for range 2 { // and so is the next one
		sent := a.send("bert", []byte("a document"))
		v := a.erased(sent.ID)
		if kept := v.Erased - v.Ended; kept < 500 {
			t.Errorf("it was erased after %d ms", kept)
		}
		a.keepsNoFile()
	}
}

func TestFailedAndCancelledPayloadsAreErasedAndQueuedOnesNever(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	b.halt()
	cancelled := a.send("bert", []byte("cancelled"))
	_, err := a.Cancel(t.Context(), cancelled.ID)
	check(t, err)
	waiting, err := a.Submit(t.Context(), exchange.Submission{To: []string{"bert"}, Name: "a", Expires: 1000 * day, Size: -1}, strings.NewReader("waits"))
	check(t, err)
	expired := a.send("bert", []byte("expires"))
	a.awake(8 * day)
	a.ended(expired.ID)
	a.retain.Sent = 7 * day
	a.awake(16 * day)
	a.erased(cancelled.ID)
	if v := a.erased(expired.ID); v.State != exchange.Failed {
		t.Errorf("the expired one is %s", v.State)
	}
	a.keepsFiles(1)
	if string(a.document(waiting[0].ID)) != "waits" {
		t.Error("what waits to be sent is not kept")
	}
	b.now = a.now
	b.start()
	a.delivered(waiting[0].ID)
}

func TestAPayloadIsKeptForItsOtherRecipients(t *testing.T) {
	a, b, c := newNode(t, "anna"), newNode(t, "bert"), newNode(t, "carl")
	pair(t, a, b)
	pair(t, a, c)
	c.halt()
	doc := randomDocument(300 << 10)
	sent, err := a.Submit(t.Context(), exchange.Submission{To: []string{"bert", "carl"}, Name: "a", Expires: 1000 * day, Size: -1}, bytes.NewReader(doc))
	check(t, err)
	toBert, toCarl := sent[0].ID, sent[1].ID
	a.delivered(toBert)
	a.retain.Sent = 7 * day
	a.awake(8 * day)
	a.erased(toBert)
	if a.filesLeft() != 1 || !bytes.Equal(a.document(toCarl), doc) {
		t.Fatal("the payload is gone while it waits for another recipient")
	}
	if _, err := a.Content(t.Context(), toBert); record.KindOf(err) != record.Gone {
		t.Errorf("the erased one can be had: %v", err)
	}
	c.now = a.now
	c.start()
	a.delivered(toCarl)
	if !bytes.Equal(c.document(toCarl), doc) {
		t.Error("another document came out")
	}
	a.awake(16 * day)
	a.erased(toCarl)
	a.keepsNoFile()
}

func TestADeathInAnErasureEndsInOneState(t *testing.T) {
	for _, point := range []exchange.Point{exchange.BeforeErased, exchange.AfterErased} {
		t.Run(string(point), func(t *testing.T) {
			a, b := newNode(t, "anna"), newNode(t, "bert")
			pair(t, a, b)
			sent := a.send("bert", []byte("a document"))
			a.delivered(sent.ID)
			died := make(chan struct{})
			a.seen(func(p exchange.Point) {
				if p == point {
					close(died)
					runtime.Goexit() // nothing behind the point happens
				}
			})
			a.retain.Sent = 7 * day
			a.awake(8 * day)
			<-died
			if a.filesLeft() != 1 {
				t.Error("the file went before the journal said so")
			}
			a.seen(nil)
			a.awake(8 * day)
			a.erased(sent.ID)
			a.keepsNoFile()
		})
	}
}

func TestADocumentThatIsBeingReadCanBeErased(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	doc := randomDocument(3 << 20)
	sent := a.send("bert", doc)
	a.delivered(sent.ID)
	var later atomic.Int64
	a.halt()
	a.retain.Sent = 7 * day
	a.now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	a.start()
	c, err := a.Content(t.Context(), sent.ID)
	check(t, err)
	defer c.Close()
	r, err := c.Verified()
	check(t, err)
	first := make([]byte, 100)
	_, err = io.ReadFull(r, first)
	check(t, err)
	later.Store(int64(8 * day))
	check(t, a.ClearDue(t.Context()))
	a.erased(sent.ID)
	a.keepsNoFile()
	rest, err := io.ReadAll(r)
	check(t, err)
	if !bytes.Equal(append(first, rest...), doc) {
		t.Error("another document came out")
	}
}

// outdate gives the node's journal the form that it had before payloads were
// erased: one mark for each file, and nothing on a shelf.
func (n *node) outdate() {
	n.t.Helper()
	n.open()
	check(n.t, n.store.Update(n.t.Context(), func(tx blobstore.Tx) error {
		for _, prefix := range []blobstore.Key{"x/b/", "x/d/", "x/adopted"} {
			for e, err := range tx.Scan(prefix, "", false) {
				if err != nil {
					return err
				}
				if err := tx.Delete(e.Key); err != nil {
					return err
				}
			}
		}
		for e, err := range tx.Scan("x/t/", "", false) {
			if err != nil {
				return err
			}
			var t exchange.Transfer
			if err := record.Unmarshal(e.Value, &t); err != nil {
				return err
			}
			t.Ended = 0
			if t.Direction == exchange.In {
				t.Expires = 0
			}
			raw, err := record.Marshal(t)
			if err != nil {
				return err
			}
			if err := tx.Set(e.Key, raw); err != nil {
				return err
			}
			if err := tx.Set("x/b/"+blobstore.Key(t.Payload[:]), nil); err != nil {
				return err
			}
		}
		return nil
	}))
	check(n.t, n.store.Close())
}

func TestAnOlderJournalIsTakenOver(t *testing.T) {
	a, b, c := newNode(t, "anna"), newNode(t, "bert"), newNode(t, "carl")
	pair(t, a, b)
	pair(t, a, c)
	c.halt()
	sent, err := a.Submit(t.Context(), exchange.Submission{To: []string{"bert", "carl"}, Name: "a", Expires: 1000 * day, Size: -1}, strings.NewReader("for two"))
	check(t, err)
	a.delivered(sent[0].ID)
	for range 250 { // more than one update takes
		a.delivered(a.send("bert", []byte("a document")).ID)
	}
	for _, n := range []*node{a, b} {
		n.halt()
		n.outdate()
		n.rows = func(j blobstore.Journal) blobstore.Journal { return twice{j} }
		n.start()
	}
	if string(a.document(sent[1].ID)) != "for two" || string(b.document(sent[0].ID)) != "for two" {
		t.Error("a payload got lost")
	}
	a.retain.Sent, b.retain.Received = 7*day, 7*day
	b.awake(8 * day)
	b.erased(sent[0].ID)
	b.keepsNoFile()
	a.awake(8 * day)
	a.erased(sent[0].ID)
	a.keepsFiles(1)
	if string(a.document(sent[1].ID)) != "for two" {
		t.Error("the payload that still waits got lost")
	}
}

// receivesPart has a send the first bytes of a document to b, and cuts the
// link then.
func receivesPart(t *testing.T, a, b *node, doc []byte) record.TransferID {
	t.Helper()
	stalled := make(chan struct{})
	first := &atomic.Bool{}
	a.wrap = func(s exchange.Stream) exchange.Stream {
		if first.Swap(true) {
			return s
		}
		return newStalling(s, 3<<20, stalled)
	}
	sent, err := a.Submit(t.Context(), exchange.Submission{To: []string{b.name}, Name: "a", Expires: 1000 * day, Size: -1}, bytes.NewReader(doc))
	check(t, err)
	<-stalled
	b.receives(sent[0].ID, 2<<20)
	a.halt()
	return sent[0].ID
}

func TestAPartialThatNobodyFeedsIsGivenUp(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	doc := randomDocument(4 << 20)
	id := receivesPart(t, a, b, doc)
	b.awake(29 * day)
	if v, err := b.Get(t.Context(), id); err != nil || v.State != exchange.Receiving || b.filesLeft() != 1 {
		t.Fatalf("after 29 days the transfer is %s (%v)", v.State, err)
	}
	b.awake(31 * day)
	b.keepsNoFile()
	if _, err := b.Get(t.Context(), id); record.KindOf(err) != record.NotFound {
		t.Errorf("its row is there: %v", err)
	}
	a.now = b.now
	a.start() // and a partner that comes back begins anew
	a.delivered(id)
	if !bytes.Equal(b.document(id), doc) {
		t.Error("another document came out")
	}
}

func TestAPartialThatIsFedIsKept(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	id := receivesPart(t, a, b, randomDocument(8<<20))
	b.awake(29 * day)
	stalled := make(chan struct{})
	a.now = b.now
	a.wrap = func(s exchange.Stream) exchange.Stream { return newStalling(s, 1<<20, stalled) }
	a.start()
	<-stalled
	ctx, cancel := context.WithTimeout(t.Context(), waitAtMost)
	defer cancel()
	changed := b.store.Watch(ctx, "x/d/open/")
	a.halt()
	for v, err := b.Get(ctx, id); v.Expires < b.now().Add(29*day).UnixMilli(); v, err = b.Get(ctx, id) {
		check(t, err)
		<-changed
	}
	b.awake(58 * day)
	if v, err := b.Get(t.Context(), id); err != nil || v.State != exchange.Receiving || b.filesLeft() != 1 {
		t.Errorf("29 days after it was fed the transfer is %s (%v)", v.State, err)
	}
}

func TestNewsForAPartnerThatIsGoneForGoodIsForgotten(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	b.halt()
	for range 300 {
		sent := a.send("bert", []byte("a document"))
		_, err := a.Cancel(t.Context(), sent.ID) // b is to be told of its void
		check(t, err)
	}
	_, err := a.book.SetState(t.Context(), "bert", partner.Removed, a.Remove)
	check(t, err)
	a.awake(29 * day)
	if a.entries("x/p/") != 300 {
		t.Errorf("after 29 days %d news wait", a.entries("x/p/"))
	}
	a.awake(31 * day)
	ctx, cancel := context.WithTimeout(t.Context(), waitAtMost)
	defer cancel()
	for changed := a.store.Watch(ctx, "x/p/"); a.entries("x/p/") > 0; {
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("after 31 days %d news wait", a.entries("x/p/"))
		}
	}
}

// entries counts what the node's journal has under a prefix.
func (n *node) entries(prefix blobstore.Key) (count int) {
	n.t.Helper()
	check(n.t, n.store.View(n.t.Context(), func(tx blobstore.ReadTx) error {
		count = 0
		for _, err := range tx.Scan(prefix, "", false) {
			if err != nil {
				return err
			}
			count++
		}
		return nil
	}))
	return count
}

func TestMessagesAreErasedAndTheirEvidenceStays(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	b.halt()
	bodies := [][]byte{[]byte("the first"), []byte("the second"), randomDocument(300 << 10)} // two in a bundle, and one in a file
	var sent []record.TransferID
	for _, body := range bodies {
		sent = append(sent, a.message("bert", body).ID)
	}
	cancelled := a.message("bert", []byte("never in a bundle"))
	_, err := a.Cancel(t.Context(), cancelled.ID)
	check(t, err)
	b.start()
	for _, id := range sent {
		a.delivered(id)
	}
	waiting := func() exchange.View { // and one that waits, which nobody erases
		b.halt()
		s := exchange.Submission{To: []string{"bert"}, MediaType: "text/plain", Expires: 1000 * day, Size: 5}
		v, err := a.SubmitMessage(t.Context(), s, strings.NewReader("waits"))
		check(t, err)
		return v[0]
	}()
	a.retain.Sent, b.retain.Received = 7*day, 7*day
	a.awake(8 * day)
	b.awake(8 * day)
	for i, id := range sent {
		for _, n := range []*node{a, b} {
			v := n.erased(id)
			if v.Size != int64(len(bodies[i])) || v.ErasedBy == "" {
				t.Errorf("%s: what is left is %+v", n.name, v.Transfer)
			}
			if _, err := n.Content(t.Context(), id); record.KindOf(err) != record.Gone {
				t.Errorf("%s: getting it: %v", n.name, err)
			}
			n.proves(id, bodies[i])
		}
	}
	a.erased(cancelled.ID)
	b.says(sent[0], accepted) // the application may still say its word
	a.hears(sent[0])
	a.delivered(waiting.ID)
	if string(b.document(waiting.ID)) != "waits" {
		t.Error("what waited got lost")
	}
	for _, n := range []*node{a, b} {
		n.keepsNoFile()
		if left := n.entries("x/c/"); left != 1 { // of the message that waited
			t.Errorf("%s: %d bodies are left in the journal", n.name, left)
		}
	}
}
