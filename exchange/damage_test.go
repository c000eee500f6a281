package exchange_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"dxd/blobstore"
	"dxd/blobstore/badger"
	"dxd/event"
	"dxd/exchange"
	"dxd/p2p"
	"dxd/partner"
	"dxd/record"
	"dxd/test/party"
)

// spoil is something that happens to a file on a disk.
type spoil struct {
	what string
	do   func(t *testing.T, path string)
}

// flip changes one bit of the byte at offset; from the end if it is negative.
func flip(offset int64) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		check(t, err)
		defer f.Close()
		info, err := f.Stat()
		check(t, err)
		at := offset
		if at < 0 {
			at += info.Size()
		}
		b := []byte{0}
		_, err = f.ReadAt(b, at)
		check(t, err)
		b[0] ^= 0x10
		_, err = f.WriteAt(b, at)
		check(t, err)
	}
}

func truncate(size int64) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		t.Helper()
		check(t, os.Truncate(path, size))
	}
}

func grow(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	check(t, err)
	_, err = f.Write(make([]byte, 100<<10))
	check(t, err)
	check(t, f.Close())
}

func remove(t *testing.T, path string) {
	t.Helper()
	check(t, os.Remove(path))
}

// payload is where the node keeps a payload.
func (n *node) payload(id blobstore.FileID) string {
	return filepath.Join(n.dir, "payloads", id.String())
}

func TestADamagedSealedFileFailsItsTransferAndNoOther(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	b.halt()
	cases := []spoil{
		{"a bit in the nonce", flip(3)},
		{"a bit in the first chunk", flip(20)},
		{"a bit in the middle", flip(500 << 10)},
		{"the last bit", flip(-1)},
		{"cut off", truncate(300 << 10)},
		{"empty", truncate(0)},
		{"grown", grow},
		{"gone", remove},
	}
	type pair struct{ large, small exchange.View }
	var sent []pair
	for _, c := range cases {
		p := pair{large: a.send("bert", randomDocument(1<<20))}
		c.do(t, a.payload(p.large.Payload))
		if c.what != "a bit in the middle" && c.what != "cut off" {
			p.small = a.send("bert", []byte("a small document"))
			c.do(t, a.payload(p.small.Payload))
		}
		sent = append(sent, p)
	}
	good := a.send("bert", []byte("whole"))
	b.start()
	a.delivered(good.ID)
	for i, c := range cases {
		for _, v := range []exchange.View{sent[i].large, sent[i].small} {
			if v.ID.IsZero() {
				continue
			}
			v = a.ended(v.ID)
			if v.State != exchange.Failed || v.Reason != "damaged" {
				t.Errorf("%s, %d bytes: the transfer is %s (%s)", c.what, v.Size, v.State, v.Reason)
			}
			in, err := b.Get(t.Context(), v.ID)
			if record.KindOf(err) != record.NotFound && in.State != exchange.Cancelled {
				t.Errorf("%s, %d bytes: the recipient has it as %q (%v)", c.what, v.Size, in.State, err)
			}
		}
	}
	if !bytes.Equal(b.document(good.ID), []byte("whole")) {
		t.Error("another document came out")
	}
}

func TestADamagedPayloadNeverComesOutWhole(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	for _, size := range []int{100, 1 << 20} {
		doc := randomDocument(size)
		for _, c := range []spoil{
			{"a bit in the nonce", flip(15)},
			{"a bit in the first chunk", flip(50)},
			{"the last bit", flip(-1)},
			{"cut off by a byte", truncate(int64(size))},
			{"cut off behind the nonce", truncate(16)},
			{"cut off within the nonce", truncate(7)},
			{"empty", truncate(0)},
			{"grown", grow},
			{"gone", remove},
		} {
			sent := a.send("bert", doc)
			a.delivered(sent.ID)
			in, err := b.Get(t.Context(), sent.ID)
			check(t, err)
			c.do(t, b.payload(in.Payload))
			got, err := read(t.Context(), b, sent.ID)
			if record.KindOf(err) != record.Damaged || len(got) >= size {
				t.Errorf("%s: %d of %d bytes come out, with %v", c.what, len(got), size, err)
			}
			got, err = readAt(t.Context(), b, sent.ID)
			if record.KindOf(err) != record.Damaged || len(got) >= size {
				t.Errorf("%s: at random %d of %d bytes come out, with %v", c.what, len(got), size, err)
			}
		}
	}
}

// read takes what can be had of a document.
func read(ctx context.Context, n *node, id record.TransferID) ([]byte, error) {
	c, err := n.Content(ctx, id)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	r, err := c.Verified()
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func readAt(ctx context.Context, n *node, id record.TransferID) ([]byte, error) {
	c, err := n.Content(ctx, id)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	r, err := c.At()
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.NewSectionReader(r, 0, c.Size))
}

func TestADamagedPartialIsMendedAfterARestart(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	for _, c := range []spoil{
		{"untouched", func(*testing.T, string) {}},
		{"cut off in the middle", truncate(1_000_000)},
		{"cut off within the nonce", truncate(5)},
		{"empty", truncate(0)},
		{"a bit in the nonce", flip(2)},
		{"a bit in the first chunk", flip(100)},
		{"a bit in the middle", flip(1_000_000)},
		{"the last bit", flip(-1)},
		{"grown", grow},
		{"grown beyond the whole", func(t *testing.T, path string) { check(t, os.Truncate(path, 5<<20)) }},
		{"gone", remove},
	} {
		doc := randomDocument(4 << 20)
		stalled := make(chan struct{})
		first := &atomic.Bool{}
		a.wrap = func(s exchange.Stream) exchange.Stream {
			if first.Swap(true) {
				return s
			}
			return newStalling(s, 3<<20, stalled)
		}
		sent := a.send("bert", doc)
		<-stalled
		b.receives(sent.ID, 2<<20)
		b.halt()
		in := b.partials()
		if len(in) != 1 {
			t.Fatalf("%s: %d partial files", c.what, len(in))
		}
		c.do(t, in[0])
		b.start()
		a.delivered(sent.ID)
		if !bytes.Equal(b.document(sent.ID), doc) {
			t.Errorf("%s: another document came out", c.what)
		}
		if left := b.partials(); len(left) != 0 {
			t.Errorf("%s: %d partial files are left", c.what, len(left))
		}
	}
}

// receives waits until so many bytes of a document are here.
func (n *node) receives(id record.TransferID, bytes int64) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), waitAtMost)
	defer cancel()
	enough := record.Errorf(record.Conflict, "enough")
	for {
		_, err := n.Wait(ctx, id, exchange.UntilDelivered, func(v exchange.View) error {
			if v.BytesDone >= bytes {
				return enough
			}
			return nil
		})
		if err == enough {
			return
		}
		if record.KindOf(err) != record.NotFound || ctx.Err() != nil { // its row may not be there yet
			n.t.Fatalf("waiting for %d bytes: %v", bytes, err)
		}
	}
}

// partials lists the node's files that are not whole.
func (n *node) partials() []string {
	n.t.Helper()
	paths, err := filepath.Glob(filepath.Join(n.dir, "payloads", "*.partial"))
	check(n.t, err)
	return paths
}

// startWith starts the node with other options of its store.
func (n *node) startWith(o badger.Options) {
	n.t.Helper()
	var err error
	n.store, err = badger.Open(n.dir, n.keys.Sealer(), o)
	check(n.t, err)
	n.begin()
}

// counted has a token for each stream of a transfer that the node has served.
func (n *node) counted() <-chan struct{} {
	served := make(chan struct{}, 100)
	n.host.Handle(exchange.ProtocolTransfer, func(ctx context.Context, c *p2p.Conn) {
		n.ServeTransfer(ctx, c)
		token(served)
	})
	return served
}

func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func TestADocumentWaitsForRoom(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	kept := a.send("bert", []byte("kept"))
	a.delivered(kept.ID)
	b.halt()
	b.startWith(badger.Options{Reserve: 1 << 60})
	served := b.counted()
	large, small := randomDocument(3<<20), []byte("small")
	first, second := a.send("bert", large), a.send("bert", small)
	for range 4 {
		<-served
	}
	for _, v := range []exchange.View{first, second} {
		if v, err := a.Get(t.Context(), v.ID); err != nil || v.State != exchange.Queued && v.State != exchange.Sending {
			t.Errorf("without room the transfer is %s (%s, %v)", v.State, v.Reason, err)
		}
	}
	if !bytes.Equal(b.document(kept.ID), []byte("kept")) {
		t.Error("a full disk harms what was accepted")
	}
	b.halt()
	b.start()
	a.delivered(first.ID)
	a.delivered(second.ID)
	if !bytes.Equal(b.document(first.ID), large) || !bytes.Equal(b.document(second.ID), small) {
		t.Error("another document came out")
	}
}

// cramped are files on a disk with little room.
type cramped struct {
	blobstore.Files
	room int64
}

func (c cramped) Free() (int64, error) { return c.room, nil }

func TestASmallDocumentDoesNotWaitBehindOneWithoutRoom(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	b.halt()
	b.files = func(f blobstore.Files) blobstore.Files { return cramped{f, 1 << 20} }
	b.start()
	large := a.send("bert", randomDocument(3<<20))
	a.delivered(a.send("bert", []byte("small")).ID)
	a.delivered(a.send("bert", randomDocument(512<<10)).ID)
	if v, err := a.Get(t.Context(), large.ID); err != nil || v.State != exchange.Queued && v.State != exchange.Sending {
		t.Errorf("without room the transfer is %s (%s, %v)", v.State, v.Reason, err)
	}
	b.halt()
	b.files = nil
	b.start()
	a.delivered(large.ID)
}

// waitAtMost ends the wait for what never comes.
const waitAtMost = party.Patience

// TestADamagedQueueHoldsUpNoOtherPartner has a row of each of a partner's queues be
// damaged while the node is down.
func TestADamagedQueueHoldsUpNoOtherPartner(t *testing.T) {
	a, b, c := newNode(t, "anna"), newNode(t, "bert"), newNode(t, "carl")
	pair(t, a, b)
	pair(t, a, c)
	b.halt()
	c.halt()
	a.send("bert", []byte("to bert"))
	sent := a.send("carl", []byte("to carl"))
	bert, err := a.book.ByAlias("bert")
	check(t, err)
	check(t, a.store.Update(t.Context(), func(tx blobstore.Tx) error {
		org := tx.Index("org", bert.Org.Key())
		if err := tx.Set("x/p/"+org+"/1", []byte("cut off")); err != nil {
			return err
		}
		for e, err := range tx.Scan("x/o/"+org+"/", "", false) {
			if err != nil {
				return err
			}
			return tx.Set(e.Key, []byte("cut off"))
		}
		t.Error("nothing waits for bert")
		return nil
	}))
	a.halt()
	c.start()
	a.start()
	a.delivered(sent.ID)
	select {
	case err := <-a.runs:
		a.runs <- err
		t.Errorf("the node has ended: %v", err)
	default:
	}
	party.Until(t, "a log that tells of the row", func() string {
		if a.errors.Load() == 0 {
			return "nobody is told"
		}
		return ""
	})
}

// queue lists the rows of one lane of the queue for a partner.
func (n *node) queue(org record.OrgID, lane record.Lane) (keys []blobstore.Key) {
	n.t.Helper()
	check(n.t, n.store.View(n.t.Context(), func(tx blobstore.ReadTx) error {
		keys = nil
		prefix := "x/o/" + tx.Index("org", org.Key()) + "/" + blobstore.Key(lane) + "/"
		for e, err := range tx.Scan(prefix, "", false) {
			if err != nil {
				return err
			}
			keys = append(keys, e.Key)
		}
		return nil
	}))
	return keys
}

// TestADamagedRowOfAQueueIsWrittenAnew damages rows while the node is down: of
// documents, of messages that have no number yet, and of a bundle that has one.
func TestADamagedRowOfAQueueIsWrittenAnew(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	org := b.keys.Org()
	a.delivered(a.message("bert", []byte("before")).ID)
	a.halt()
	a.wrap = cutEach
	a.start()
	before := b.messagesReceived()
	first := a.message("bert", []byte("the first")).ID
	a.isNumbered(first)
	messages := append(before, first)
	for _, body := range [][]byte{[]byte("small"), randomDocument(100 << 10), []byte("small"), []byte("the last")} {
		messages = append(messages, a.message("bert", body).ID)
	}
	var documents []record.TransferID
	for range 3 {
		documents = append(documents, a.send("bert", []byte("a document")).ID)
	}
	a.halt()
	a.wrap = nil
	a.open()
	rows, docs := a.queue(org, record.LaneMsg), a.queue(org, record.LaneDoc)
	if len(rows) != 5 || len(docs) != 3 {
		t.Fatalf("%d messages and %d documents wait", len(rows), len(docs))
	}
	a.rot(rows[0], rows[1], rows[2], docs[0], docs[2])
	check(t, a.store.Close())
	a.start()
	for _, id := range append(documents, messages...) {
		a.delivered(id)
	}
	if got := b.messagesReceived(); fmt.Sprint(got) != fmt.Sprint(messages) {
		t.Errorf("%v arrived, not %v", got, messages)
	}
	alarms := a.events(event.Alarm)
	for _, alarm := range alarms {
		if alarm.Partner != org || !strings.Contains(alarm.Text, "written anew") {
			t.Errorf("an alarm is %+v", alarm)
		}
	}
	if len(alarms) != 5 {
		t.Errorf("%d alarms of 5 rows", len(alarms))
	}
	if all, err := a.Lanes(t.Context(), org); err != nil || all[0].Sent != all[0].Acknowledged || all[1].Sent != all[1].Acknowledged {
		t.Errorf("the lanes are %+v (%v)", all, err)
	}
}

// TestAMessageBeforeADamagedRowIsDelivered damages a row while the node runs and
// has looked at its queue.
func TestAMessageBeforeADamagedRowIsDelivered(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	sent := []record.TransferID{a.message("bert", []byte("before")).ID}
	a.delivered(sent[0])
	b.halt()
	for range 4 {
		sent = append(sent, a.message("bert", []byte("a message")).ID)
	}
	rows := a.queue(b.keys.Org(), record.LaneMsg)
	a.rot(rows[len(rows)-2])
	if _, err := a.Waiting(t.Context()); err != nil {
		t.Errorf("what waits can't be counted: %v", err)
	}
	sent = append(sent, a.message("bert", []byte("behind it")).ID)
	b.start()
	for _, id := range sent {
		a.delivered(id)
	}
	if got := b.messagesReceived(); fmt.Sprint(got) != fmt.Sprint(sent) {
		t.Errorf("%v arrived, not %v", got, sent)
	}
}

// TestADamagedRowWithoutATransferHoldsUpNothing damages what a row could be
// written anew from, too.
func TestADamagedRowWithoutATransferHoldsUpNothing(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	org := b.keys.Org()
	b.halt()
	lost := []record.TransferID{a.send("bert", []byte("lost")).ID, a.message("bert", []byte("lost")).ID}
	kept := []record.TransferID{a.send("bert", []byte("kept")).ID, a.message("bert", []byte("kept")).ID}
	a.halt()
	a.skewed = true
	a.open()
	a.rot(a.queue(org, record.LaneDoc)[0], a.queue(org, record.LaneMsg)[0])
	for _, id := range lost {
		a.rot("x/t/" + blobstore.Key(id[:]))
	}
	check(t, a.store.Close())
	a.start()
	b.start()
	for _, id := range kept {
		a.delivered(id)
	}
	for _, alarm := range a.events(event.Alarm) {
		if alarm.Partner != org || !strings.Contains(alarm.Text, "is not delivered") {
			t.Errorf("an alarm is %+v", alarm)
		}
	}
	if n := len(a.events(event.Alarm)); n != len(lost) {
		t.Errorf("%d alarms of %d rows", n, len(lost))
	}
}

// TestAPartnerWithADamagedQueueCanBeRemoved has its rows end all the same.
func TestAPartnerWithADamagedQueueCanBeRemoved(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	b.halt()
	sent := []record.TransferID{a.send("bert", []byte("a document")).ID, a.send("bert", []byte("a document")).ID, a.message("bert", []byte("a message")).ID}
	a.rot(a.queue(b.keys.Org(), record.LaneDoc)[0])
	_, err := a.book.SetState(t.Context(), "bert", partner.Removed, a.Remove)
	check(t, err)
	for _, id := range sent {
		if v := a.ended(id); v.State != exchange.Failed || v.Reason != "removed" {
			t.Errorf("a transfer is %s (%s)", v.State, v.Reason)
		}
	}
}

// TestDamagedNewsHoldUpNoOther has a row of the queue of news not open.
func TestDamagedNewsHoldUpNoOther(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	b.halt()
	sent := a.send("bert", []byte("a document"))
	row := blobstore.Key("")
	check(t, a.store.View(t.Context(), func(tx blobstore.ReadTx) error {
		row = "x/p/" + tx.Index("org", b.keys.Org().Key()) + "/"
		return nil
	}))
	a.rot(row + "\x00")
	_, err := a.Cancel(t.Context(), sent.ID)
	check(t, err)
	b.start()
	party.Until(t, "a void that the partner took", func() string {
		all, err := a.Lanes(t.Context(), b.keys.Org())
		if err != nil || all[0].Acknowledged != 1 {
			return fmt.Sprintf("%+v, %v", all, err)
		}
		return ""
	})
	if alarms := a.events(event.Alarm); len(alarms) != 1 {
		t.Errorf("the alarms are %+v", alarms)
	}
}
