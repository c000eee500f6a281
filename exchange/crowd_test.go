package exchange_test

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"sync"
	"testing"

	"dxd/exchange"
	"dxd/record"
)

func TestADeadPartnerDelaysNoOther(t *testing.T) {
	a, b, c, dead := newNode(t, "anna"), newNode(t, "bert"), newNode(t, "carl"), newNode(t, "dora")
	for _, n := range []*node{b, c, dead} {
		pair(t, a, n)
	}
	dead.halt()
	partners := []*node{b, c, dead}
	const each = 20
	ids := make([][each]record.TransferID, len(partners))
	docs := make([][]byte, each)
	for i := range docs {
		docs[i] = randomDocument(i * 10_000)
	}
	var wg sync.WaitGroup
	for i, to := range partners {
		for j, doc := range docs {
			wg.Go(func() { ids[i][j] = a.sendAny(to.name, doc) })
		}
	}
	wg.Wait()
	for i, to := range partners[:2] {
		for j, id := range ids[i] {
			a.delivered(id)
			if !bytes.Equal(to.document(id), docs[j]) {
				t.Errorf("%s got another document", to.name)
			}
		}
	}
	for _, id := range ids[2] {
		if v, err := a.Get(t.Context(), id); err != nil || v.State != exchange.Queued {
			t.Errorf("the transfer to the dead one is %s (%s, %v)", v.State, v.Reason, err)
		}
	}
	waiting, err := a.Waiting(t.Context())
	check(t, err)
	if len(waiting) != 1 || waiting[dead.keys.Org()] != each {
		t.Errorf("what waits: %v", waiting)
	}
	dead.start()
	for j, id := range ids[2] {
		a.delivered(id)
		if !bytes.Equal(dead.document(id), docs[j]) {
			t.Error("the late one got another document")
		}
	}
	for _, to := range partners {
		in, err := to.List(t.Context(), exchange.Filter{Direction: exchange.In})
		check(t, err)
		if len(in) != each {
			t.Errorf("%s has %d documents of %d", to.name, len(in), each)
		}
	}
}

// sendAny is send for any goroutine: a failure is an error of the test.
func (n *node) sendAny(to string, doc []byte) record.TransferID {
	sent, err := n.Submit(n.t.Context(), exchange.Submission{To: []string{to}, Name: "contract.pdf", Size: int64(len(doc))}, bytes.NewReader(doc))
	if err != nil {
		n.t.Errorf("submitting: %v", err)
		return record.TransferID{}
	}
	return sent[0].ID
}

func TestManyCallsWithOneRequestIDMakeOneTransfer(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	b.halt()
	const callers = 32
	var wg sync.WaitGroup
	ids := make([]record.TransferID, callers)
	start := make(chan struct{})
	for i := range callers {
		wg.Go(func() {
			<-start
			s := exchange.Submission{To: []string{"bert"}, Name: "a.txt", RequestID: "order 8", Size: 3}
			sent, err := a.Submit(t.Context(), s, strings.NewReader("abc"))
			if err != nil || len(sent) != 1 {
				t.Errorf("caller %d: %d transfers, %v", i, len(sent), err)
				return
			}
			ids[i] = sent[0].ID
		})
	}
	close(start)
	wg.Wait()
	for i, id := range ids {
		if id != ids[0] {
			t.Errorf("caller %d has transfer %s, not %s", i, id, ids[0])
		}
	}
	all, err := a.List(t.Context(), exchange.Filter{})
	check(t, err)
	files := 0
	for _, err := range a.store.List() {
		check(t, err)
		files++
	}
	if len(all) != 1 || files != 1 {
		t.Errorf("%d transfers and %d files", len(all), files)
	}
	b.start()
	a.delivered(ids[0])
}

func TestTheLatestStreamOfATransferTakesOver(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	f := newForgery(t, a, b)
	f.large(t, b)
	manifest, finish := f.finish(t, a)
	first := openRaw(t, a, b)
	at := f.offerAnd(t, first)
	writeFrame(t, first, typeBody, f.Body[at:at+1000])
	b.receives(f.ID, 64<<10)
	second := openRaw(t, a, b)
	at = f.offerAnd(t, second)
	if at < 64<<10 || at > 65<<10 {
		t.Errorf("the second stream goes on at %d", at)
	}
	if kind, content, err := readFrame(first); err == nil {
		t.Errorf("the first stream is answered with type %d, %s", kind, content)
	}
	if kind, content := finish(second, at); kind != typeReceipt {
		t.Fatalf("answered with type %d, %s", kind, content)
	}
	if in, err := b.Get(t.Context(), f.ID); err != nil || in.Record != manifest.ID() || !bytes.Equal(b.document(f.ID), f.Doc) {
		t.Errorf("received as %+v (%v)", in, err)
	}
}

func TestOneTransferOnManyStreamsArrivesOnce(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	for _, size := range []string{"small", "large"} {
		f := newForgery(t, a, b)
		if size == "large" {
			f.large(t, b)
		}
		_, finish := f.finish(t, a)
		streams := make([]exchange.Stream, 8)
		for i := range streams {
			streams[i] = openRaw(t, a, b)
		}
		receipts := make(chan []byte, len(streams))
		var wg sync.WaitGroup
		for _, s := range streams {
			wg.Go(func() {
				if r := race(f, finish, t, s); r != nil {
					receipts <- r
				}
			})
		}
		wg.Wait()
		close(receipts)
		var one []byte
		for r := range receipts {
			if one != nil && !bytes.Equal(one, r) {
				t.Errorf("%s: two different receipts", size)
			}
			one = r
		}
		if one == nil {
			// Each may have taken over from another; a sender that asks again is told.
			s := openRaw(t, a, b)
			if one = race(f, finish, t, s); one == nil {
				t.Errorf("%s: no receipt", size)
			}
		}
		if !bytes.Equal(b.document(f.ID), f.Doc) {
			t.Errorf("%s: another document came out", size)
		}
	}
	in, err := b.List(t.Context(), exchange.Filter{})
	check(t, err)
	files := 0
	for f, err := range b.store.List() {
		check(t, err)
		if f.Partial {
			t.Error("a partial file is left")
		}
		files++
	}
	if len(in) != 2 || files != 2 {
		t.Errorf("%d transfers and %d files", len(in), files)
	}
}

// race delivers the forgery over the stream, which another may take over at
// any time, and returns the receipt if one comes.
func race(f *forgery, finish func(io.ReadWriter, int64) (byte, []byte), t *testing.T, s exchange.Stream) []byte {
	offer, err := json.Marshal(map[string]any{
		"v": f.Version, "id": f.ID.String(), "lane": f.Lane, "sealed_length": f.Sealed,
		"body_nonce": f.Nonce.String(), "header": f.Header, "early": f.Early,
	})
	if err != nil {
		t.Error(err)
		return nil
	}
	writeFrame(t, s, typeOffer, offer)
	writeFrame(t, s, typeBody, f.Body[:f.Early])
	kind, content, err := readFrame(s)
	if err != nil { // another has taken over
		return nil
	}
	var a struct {
		Offset  int64
		Receipt record.Envelope
	}
	if err := json.Unmarshal(content, &a); err == nil && kind == typeAnswer && a.Receipt.IsZero() {
		kind, content = finish(s, a.Offset)
	}
	if kind == 0 || kind == typeAnswer && a.Receipt.IsZero() { // likewise, later
		return nil
	}
	if err := json.Unmarshal(content, &a); err != nil || a.Receipt.IsZero() {
		t.Errorf("answered with type %d, %s", kind, content)
		return nil
	}
	return a.Receipt.Bytes()
}
