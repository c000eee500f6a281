package exchange_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"dxd/blobstore"
	"dxd/event"
	"dxd/exchange"
	"dxd/hashanchor"
	"dxd/record"
)

// erase erases a transfer, as somebody who could open the socket.
func (n *node) erase(id record.TransferID) exchange.View {
	n.t.Helper()
	v, err := n.Erase(n.t.Context(), id, "socket")
	check(n.t, err)
	if v.Erased == 0 || v.ErasedBy != exchange.ByErase || v.Name != "" || v.MediaType != "" || !v.Digest.IsZero() {
		n.t.Errorf("%s: what is left is %+v", n.name, v.Transfer)
	}
	return v
}

// marks is what nothing may hold any more once a transfer is erased: its
// content, name and digest, and the salt of its opening.
func (n *node) marks(v exchange.View, body []byte) (marks [][]byte) {
	n.t.Helper()
	file, err := n.Evidence(n.t.Context(), v.ID)
	check(n.t, err)
	e, err := hashanchor.ParseEvidence(file)
	check(n.t, err)
	salt := e.Opening.Salt
	marks = [][]byte{v.Digest[:], []byte(v.Digest.String()), []byte(v.Digest.Hex()), salt[:], []byte(salt.String()), body[:min(len(body), 40)]}
	if v.Name != "" {
		marks = append(marks, []byte(v.Name))
	}
	return marks
}

// stillTells lists the keys of the journal whose values hold one of the marks.
func (n *node) stillTells(marks [][]byte) (found []string) {
	n.t.Helper()
	check(n.t, n.store.View(n.t.Context(), func(tx blobstore.ReadTx) error {
		found = nil
		for e, err := range tx.Scan("", "", false) {
			if err != nil {
				return err
			}
			for _, mark := range marks {
				if bytes.Contains(e.Value, mark) || strings.Contains(string(e.Key), string(mark)) {
					found = append(found, fmt.Sprintf("%q", e.Key))
				}
			}
		}
		return nil
	}))
	return found
}

func TestNothingOfAnErasedDocumentIsLeftButItsRecords(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	body := []byte("a document that nobody is to see again")
	s := exchange.Submission{To: []string{"bert"}, Name: "merger-with-carl.pdf", MediaType: "application/x-merger", RequestID: "order 7", Size: -1}
	sent, err := a.Submit(t.Context(), s, bytes.NewReader(body))
	check(t, err)
	id := sent[0].ID
	a.delivered(id)
	before := a.proves(id, body)
	rows := a.entries("x/m/") + a.entries("x/r/") + a.entries("q/")
	for _, n := range []*node{a, b} {
		v, err := n.Get(t.Context(), id)
		check(t, err)
		marks := append(n.marks(v, body), []byte("x-merger"))
		if len(n.stillTells(marks)) == 0 {
			t.Fatalf("%s: the search finds nothing at all", n.name)
		}
		got := n.erase(id)
		if got.State != v.State || got.Size != v.Size || got.Record != v.Record || got.Alias != v.Alias {
			t.Errorf("%s: what is left is %+v", n.name, got.Transfer)
		}
		n.keepsNoFile()
		if found := n.stillTells(marks); len(found) > 0 {
			t.Errorf("%s: it is still told by %v", n.name, found)
		}
		for _, prefix := range []blobstore.Key{"x/f/", "x/b/", "x/d/", "x/a/"} { // file keys, marks of files, shelves, openings
			if left := n.entries(prefix); left != 0 {
				t.Errorf("%s: %d entries are left under %s", n.name, left, prefix)
			}
		}
		if _, err := n.Content(t.Context(), id); record.KindOf(err) != record.Gone {
			t.Errorf("%s: getting it: %v", n.name, err)
		}
		if _, err := n.Evidence(t.Context(), id); record.KindOf(err) != record.Gone || !strings.Contains(record.Hint(err), "before still verifies") {
			t.Errorf("%s: its evidence: %v (%s)", n.name, err, record.Hint(err))
		}
		again := n.erase(id)
		if told := n.events(event.TransferErased); again.Erased != got.Erased || len(told) != 1 || told[0].ID != id || told[0].By != "socket" {
			t.Errorf("%s: erased again at %d, told %+v", n.name, again.Erased, told)
		}
	}
	if a.entries("x/m/")+a.entries("x/r/")+a.entries("q/") != rows {
		t.Error("a record or a leaf is gone as well")
	}
	if again, err := a.Submit(t.Context(), s, bytes.NewReader(body)); err != nil || again[0].ID != id || a.filesLeft() != 0 {
		t.Errorf("the same request made another transfer (%v)", err)
	}
	if r, err := hashanchor.Verify(t.Context(), documentOf(body), before, hashanchor.Options{}); err != nil || r.ExitCode() != hashanchor.ExitUndecided {
		t.Errorf("evidence that was made before: %v", err)
	}
	b.says(id, accepted) // the application may still say its word
	a.becomes(id, exchange.Accepted)
	for _, n := range []*node{a, b} {
		n.awake(0)
		if v, err := n.Get(t.Context(), id); err != nil || v.State != exchange.Accepted || v.ErasedBy != exchange.ByErase {
			t.Errorf("%s: after a start it is %+v (%v)", n.name, v.Transfer, err)
		}
	}
	a.delivered(a.send("bert", []byte("and it goes on")).ID)
}

func documentOf(body []byte) hashanchor.Document {
	return hashanchor.Document{Digest: record.Digest(sha256.Sum256(body)), Length: int64(len(body))}
}

func TestTheNeighboursOfAnErasedMessageStayWholeAndProvable(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	b.halt()
	var sent []record.TransferID
	body := func(i int) []byte { return fmt.Appendf(nil, "the text of message %d of all", i) }
	for i := range 9 {
		sent = append(sent, a.message("bert", body(i)).ID)
	}
	b.start()
	arriveInOrder(t, a, b, sent)
	gone := []int{0, 4, 8}
	for _, n := range []*node{a, b} {
		for _, i := range gone {
			v, err := n.Get(t.Context(), sent[i])
			check(t, err)
			marks := n.marks(v, body(i))
			n.erase(sent[i])
			if found := n.stillTells(marks); len(found) > 0 {
				t.Errorf("%s: message %d is still told by %v", n.name, i, found)
			}
			if _, err := n.Evidence(t.Context(), sent[i]); record.KindOf(err) != record.Gone {
				t.Errorf("%s: evidence of message %d: %v", n.name, i, err)
			}
			n.erase(sent[i])
		}
		for i, id := range sent {
			if i%4 == 0 {
				continue
			}
			n.proves(id, body(i))
			if string(n.document(id)) != string(body(i)) {
				t.Errorf("%s: message %d is another one", n.name, i)
			}
		}
	}
	for i, id := range sent { // and in the end nothing but leaves is left
		if i%4 != 0 {
			a.erase(id)
		}
	}
	if left := a.entries("x/c/"); left != 0 {
		t.Errorf("%d bodies are left", left)
	}
	b.proves(sent[1], body(1))
}

func TestWhatIsUnderWayIsNotErased(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	b.halt()
	document, message := a.send("bert", []byte("a document")), a.message("bert", []byte("a message"))
	for _, v := range []exchange.View{document, message} {
		_, err := a.Erase(t.Context(), v.ID, "socket")
		if record.KindOf(err) != record.Conflict || !strings.Contains(record.Hint(err), "dxd cancel "+v.ID.String()) {
			t.Errorf("erasing what is queued: %v (%s)", err, record.Hint(err))
		}
		_, err = a.Cancel(t.Context(), v.ID)
		check(t, err)
		if got := a.erase(v.ID); got.State != exchange.Cancelled {
			t.Errorf("it is %s", got.State)
		}
	}
	if a.keepsNoFile(); a.entries("x/c/")+a.entries("x/a/") != 0 {
		t.Error("a body or an opening is left")
	}
	if _, err := a.Erase(t.Context(), record.TransferID{1}, "socket"); record.KindOf(err) != record.NotFound {
		t.Errorf("erasing what is not there: %v", err)
	}
	b.start()
	part := receivesPart(t, a, b, randomDocument(4<<20))
	if _, err := b.Erase(t.Context(), part, "socket"); record.KindOf(err) != record.Conflict {
		t.Errorf("erasing what is on its way in: %v", err)
	}
	if _, err := b.Hold(t.Context(), part, "socket"); record.KindOf(err) != record.Conflict {
		t.Errorf("holding it: %v", err)
	}
	_, err := b.Cancel(t.Context(), part)
	check(t, err)
	b.erase(part)
}

func TestANotarisationCanBeErased(t *testing.T) {
	a := newNode(t, "anna")
	body := []byte("a document of one's own")
	v, err := a.Notarize(t.Context(), "patent.txt", "text/plain", -1, bytes.NewReader(body))
	check(t, err)
	marks := a.marks(v, body)
	if got := a.erase(v.ID); got.State != exchange.Recorded || got.Record != v.Record {
		t.Errorf("what is left is %+v", got.Transfer)
	}
	if found := a.stillTells(marks); len(found) > 0 || a.entries("x/m/") != 1 {
		t.Errorf("it is still told by %v", found)
	}
	if _, err := a.Evidence(t.Context(), v.ID); record.KindOf(err) != record.Gone {
		t.Errorf("its evidence: %v", err)
	}
}

func TestWhatRetentionErasedCanBeErasedWholly(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	sent, message := a.send("bert", []byte("a document")).ID, a.message("bert", []byte("a message")).ID
	a.delivered(sent)
	a.delivered(message)
	a.retain.Sent = 7 * day
	a.awake(8 * day)
	for _, id := range []record.TransferID{sent, message} {
		if v := a.erased(id); v.ErasedBy != exchange.RetainSent || v.Digest.IsZero() {
			t.Errorf("retention left %+v", v.Transfer)
		}
		a.erase(id)
		if _, err := a.Evidence(t.Context(), id); record.KindOf(err) != record.Gone {
			t.Errorf("its evidence: %v", err)
		}
	}
}

func TestErasingOneOfSeveralLeavesTheOthersTheirPayload(t *testing.T) {
	a, b, c := newNode(t, "anna"), newNode(t, "bert"), newNode(t, "carl")
	pair(t, a, b)
	pair(t, a, c)
	sent, err := a.Submit(t.Context(), exchange.Submission{To: []string{"bert", "carl"}, Name: "n", Size: -1}, strings.NewReader("for two"))
	check(t, err)
	for _, v := range sent {
		a.delivered(v.ID)
	}
	a.erase(sent[0].ID)
	if string(a.document(sent[1].ID)) != "for two" || a.filesLeft() != 1 {
		t.Error("the other's payload is gone")
	}
	a.erase(sent[1].ID)
	a.keepsNoFile()
}

func TestADeathWhileSomebodyErasesEndsInOneState(t *testing.T) {
	for _, point := range []exchange.Point{exchange.BeforeErased, exchange.AfterErased} {
		t.Run(string(point), func(t *testing.T) {
			a, b := newNode(t, "anna"), newNode(t, "bert")
			pair(t, a, b)
			sent := a.send("bert", []byte("a document"))
			a.delivered(sent.ID)
			a.seen(func(p exchange.Point) {
				if p == point {
					runtime.Goexit() // nothing behind the point happens
				}
			})
			died := make(chan struct{})
			go func() {
				defer close(died)
				a.Erase(t.Context(), sent.ID, "socket")
				t.Error("it did not die")
			}()
			<-died
			if a.filesLeft() != 1 {
				t.Error("the file went before the journal said so")
			}
			a.seen(nil)
			a.awake(0)
			v, err := a.Get(t.Context(), sent.ID)
			check(t, err)
			if done := v.Erased != 0; done != (point == exchange.AfterErased) || done && v.Name != "" {
				t.Errorf("after %s it is %+v", point, v.Transfer)
			}
			a.erase(sent.ID)
			a.keepsNoFile()
		})
	}
}
