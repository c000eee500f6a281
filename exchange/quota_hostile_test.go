package exchange_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dxd/exchange"
	"dxd/p2p"
	"dxd/partner"
)

// refusedAs is a refusal as a peer reads it.
type refusedAs struct {
	Reason string
	Retry  bool
}

// announces writes the offer of a document whose body begins as the forgery's, and
// announces another length if that is not 0.
func (f *forgery) announces(t *testing.T, s exchange.Stream, sealed int64) {
	t.Helper()
	if sealed == 0 {
		sealed = f.Sealed
	}
	early := min(len(f.Body), 64<<10)
	offer, err := json.Marshal(map[string]any{
		"v": 1, "id": f.ID.String(), "lane": "doc", "sealed_length": sealed,
		"body_nonce": f.Nonce.String(), "header": f.Header, "early": early,
	})
	check(t, err)
	writeFrame(t, s, typeOffer, offer)
	writeFrame(t, s, typeBody, f.Body[:early])
}

// large is a forgery whose body is larger than what goes along with an offer.
func large(t *testing.T, from, to *node, size int) *forgery {
	t.Helper()
	f := newForgery(t, from, to)
	f.Doc = randomDocument(size)
	f.seal(t, to)
	return f
}

// asked offers, and reads what comes back.
func (f *forgery) asked(t *testing.T, from, to *node, sealed int64) (s exchange.Stream, kind byte, r refusedAs) {
	t.Helper()
	s = openRaw(t, from, to)
	f.announces(t, s, sealed)
	kind, content, err := readFrame(s)
	check(t, err)
	if kind == typeRefusal {
		check(t, json.Unmarshal(content, &r))
	}
	return s, kind, r
}

// begun is a stream on which a document of this size was let in, and of which
// nothing more comes.
func begun(t *testing.T, from, to *node, size int) exchange.Stream {
	t.Helper()
	s, kind, r := large(t, from, to, size).asked(t, from, to, 0)
	if kind != typeAnswer {
		t.Fatalf("answered with type %d: %+v", kind, r)
	}
	return s
}

// pours sends the rest of the body behind what went along with the offer, until
// the other side has had enough; stop ends that and the stream.
func (f *forgery) pours(s exchange.Stream) (stop func()) {
	var pouring sync.WaitGroup
	pouring.Go(func() {
		for at := 64 << 10; at < len(f.Body); at += 256 << 10 {
			piece := f.Body[at:min(at+256<<10, len(f.Body))]
			head := append(binary.BigEndian.AppendUint32(nil, uint32(1+len(piece))), typeBody)
			if _, err := s.Write(append(head, piece...)); err != nil {
				return
			}
		}
	})
	return func() {
		s.Reset()
		pouring.Wait()
	}
}

// onDisk is how many bytes the node's payload files have.
func (n *node) onDisk() (bytes int64) {
	n.t.Helper()
	for f, err := range n.store.List() {
		check(n.t, err)
		bytes += f.Size
	}
	return bytes
}

// sealedLength is the length of a sealed body of so many chunks.
func sealedLength(chunks int64) int64 { return 16 + chunks*(64<<10+16) }

func TestMoreThanTheQuotaIsNotEvenBegun(t *testing.T) {
	a, b := newNode(t, "anna"), bounded(t, "bert", partner.Quota{Stored: 1 << 30})
	pair(t, a, b)
	_, kind, r := large(t, a, b, mib).asked(t, a, b, sealedLength(10<<30/(64<<10)))
	if kind != typeRefusal || r != (refusedAs{"quota", false}) {
		t.Errorf("10 GiB against 1 GiB: answered with type %d: %+v", kind, r)
	}
	b.keepsNothing()
	if u := b.uses(a); !u.IsZero() {
		t.Errorf("anna uses %+v", u)
	}
}

func TestALengthStaysAsItWasLetIn(t *testing.T) {
	a, b := newNode(t, "anna"), bounded(t, "bert", partner.Quota{Stored: 4 * mib})
	pair(t, a, b)
	f := large(t, a, b, mib)
	s, kind, r := f.asked(t, a, b, 0)
	if kind != typeAnswer {
		t.Fatalf("answered with type %d: %+v", kind, r)
	}
	was := b.uses(a)
	for _, other := range []int64{sealedLength(16 << 10), sealedLength(2)} {
		check(t, s.Reset())
		if s, kind, r = f.asked(t, a, b, other); kind != typeRefusal || r != (refusedAs{"rejected", false}) {
			t.Errorf("the same body with %d bytes: answered with type %d: %+v", other, kind, r)
		}
	}
	if u := b.uses(a); u != was || u.Stored != f.Sealed {
		t.Errorf("anna uses %+v, before that %+v", u, was)
	}
	check(t, s.Reset())
	if s, kind, r = f.asked(t, a, b, 0); kind != typeAnswer {
		t.Errorf("the length that it has: answered with type %d: %+v", kind, r)
	}
	check(t, s.Reset())
}

func TestNoLengthOverflowsAQuota(t *testing.T) {
	const beyond = (math.MaxInt64 - 16) / (64<<10 + 16) // chunks in a body of not quite 2^63 bytes
	a, b := newNode(t, "anna"), bounded(t, "bert", partner.Quota{Stored: 8 * mib, InFlight: 8 * mib})
	pair(t, a, b)
	defer begun(t, a, b, mib).Reset() // in flight, and stored
	for _, chunks := range []int64{beyond, 1<<37 + 1} {
		f := large(t, a, b, mib)
		s, kind, r := f.asked(t, a, b, -1)
		if kind != typeAnswer {
			t.Fatalf("without a length: answered with type %d: %+v", kind, r)
		}
		check(t, s.Reset())
		if _, kind, r = f.asked(t, a, b, sealedLength(chunks)); kind != typeRefusal || r != (refusedAs{"rejected", false}) {
			t.Errorf("%d bytes: answered with type %d: %+v", sealedLength(chunks), kind, r)
		}
	}
	if used := b.used(a, "in_flight"); used < mib || used > 2*mib {
		t.Errorf("%d bytes in flight", used)
	}
	if u := b.uses(a); u.Stored < mib || u.Stored > 2*mib {
		t.Errorf("anna uses %+v", u)
	}
}

func TestALengthThatIsToldLaterFitsOnTheDisk(t *testing.T) {
	a, b := newNode(t, "anna"), bounded(t, "bert", partner.Quota{})
	pair(t, a, b)
	f := large(t, a, b, mib)
	s, kind, r := f.asked(t, a, b, -1)
	if kind != typeAnswer {
		t.Fatalf("without a length: answered with type %d: %+v", kind, r)
	}
	check(t, s.Reset())
	if _, kind, r = f.asked(t, a, b, sealedLength(1<<36)); kind != typeRefusal || r != (refusedAs{"full", true}) {
		t.Errorf("4 PiB: answered with type %d: %+v", kind, r)
	}
}

func TestABodyWithoutEndIsCutAtTheQuota(t *testing.T) {
	a, b, c := newNode(t, "anna"), bounded(t, "bert", partner.Quota{Stored: 24 * mib}), newNode(t, "carl")
	pair(t, a, b)
	pair(t, c, b)
	f := large(t, a, b, 64*mib)
	s, kind, r := f.asked(t, a, b, -1)
	if kind != typeAnswer {
		t.Fatalf("answered with type %d: %+v", kind, r)
	}
	var most int64
	done := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
				most = max(most, b.onDisk())
			}
		}
	})
	stop := f.pours(s)
	kind, content := lastFrame(s)
	stop()
	close(done)
	watcher.Wait()
	if kind == typeRefusal {
		check(t, json.Unmarshal(content, &r))
	}
	if kind != typeRefusal || r != (refusedAs{"quota", false}) {
		t.Errorf("answered with type %d: %s", kind, content)
	}
	if most > 24*mib {
		t.Errorf("%d bytes were on the disk", most)
	}
	b.keepsNothing()
	c.delivered(c.send("bert", randomDocument(mib)).ID)
	a.delivered(a.send("bert", randomDocument(mib)).ID)
}

func TestABodyOfUnknownLengthEndsForNowWhereOthersHaveTheRoom(t *testing.T) {
	a, b := newNode(t, "anna"), bounded(t, "bert", partner.Quota{Stored: 8 * mib})
	pair(t, a, b)
	kept := a.delivered(a.send("bert", randomDocument(6*mib)).ID)
	r := a.reads(t.Context(), t, exchange.Submission{To: []string{"bert"}})
	doc := randomDocument(5 * mib)
	r.write(doc)
	b.alarmed(1, "at its quota stored")
	v := r.end()[0]
	a.stillWaits(v.ID)
	_, err := b.Erase(t.Context(), kept.ID, "test")
	check(t, err)
	a.delivered(v.ID)
	same(t, b.document(v.ID), doc)
}

func TestOpenPartialsAreBounded(t *testing.T) {
	a, b, c := newNode(t, "anna"), bounded(t, "bert", partner.Quota{Partials: 3}), newNode(t, "carl")
	pair(t, a, b)
	pair(t, c, b)
	var all []*forgery
	for range 3 {
		f := large(t, a, b, mib)
		s, kind, r := f.asked(t, a, b, 0)
		if kind != typeAnswer {
			t.Fatalf("answered with type %d: %+v", kind, r)
		}
		s.Reset()
		all = append(all, f)
	}
	for range 20 {
		s, kind, r := large(t, a, b, mib).asked(t, a, b, 0)
		if kind != typeRefusal || r != (refusedAs{"quota", true}) {
			t.Errorf("one too many: answered with type %d: %+v", kind, r)
		}
		s.Reset()
	}
	if n := b.filesLeft(); n != 3 || b.uses(a).Partials != 3 {
		t.Errorf("%d files, and %+v", n, b.uses(a))
	}
	// One that is open goes on, what needs none comes, and so do others.
	if _, kind, r := all[1].asked(t, a, b, 0); kind != typeAnswer {
		t.Errorf("one that is open: answered with type %d: %+v", kind, r)
	}
	a.delivered(a.send("bert", randomDocument(1000)).ID)
	c.delivered(c.send("bert", randomDocument(mib)).ID)
	// And those that nobody sends on make room again, in time.
	b.halt()
	b.now = func() time.Time { return time.Now().Add(31 * 24 * time.Hour) }
	b.start()
	for b.uses(a).Partials != 0 {
		<-time.After(10 * time.Millisecond)
	}
}

func TestOffersAMinuteAreBounded(t *testing.T) {
	a, b, c := newNode(t, "anna"), bounded(t, "bert", partner.Quota{Transfers: 5}), newNode(t, "carl")
	at := time.Now()
	b.startAt(func() time.Time { return at }) // no minute ends meanwhile
	pair(t, a, b)
	pair(t, c, b)
	var first *forgery
	for i := range 5 {
		f := newForgery(t, a, b)
		if kind, content := f.deliver(t, a, b); kind != typeReceipt {
			t.Fatalf("number %d: answered with type %d: %s", i, kind, content)
		}
		first = f
	}
	for range 50 {
		s, kind, r := large(t, a, b, mib).asked(t, a, b, 0)
		if kind != typeRefusal || r != (refusedAs{"quota", true}) {
			t.Errorf("one too many: answered with type %d: %+v", kind, r)
		}
		s.Reset()
	}
	told := slices.DeleteFunc(b.alarms(), func(text string) bool { return !strings.Contains(text, "transfers_per_minute") })
	if len(told) != 1 { // beside those of numbers, which are made up
		t.Errorf("people were told %q", told)
	}
	if n := b.filesLeft(); n != 5 {
		t.Errorf("%d files", n)
	}
	// What is here is answered with its receipt.
	if kind, content := first.deliver(t, a, b); kind != typeAnswer {
		t.Errorf("offered again: answered with type %d: %s", kind, content)
	}
	c.delivered(c.send("bert", randomDocument(1000)).ID)
}

// Another body under an id that was let in takes the place of the first, whose room
// it gets, and is one more that begins.
func TestAnotherBodyUnderOneIDCountsAnew(t *testing.T) {
	a, b := newNode(t, "anna"), bounded(t, "bert", partner.Quota{Transfers: 2, Stored: 3 * mib, Partials: 1})
	pair(t, a, b)
	f := large(t, a, b, 2*mib)
	for i, want := range []byte{typeAnswer, typeAnswer, typeRefusal, typeRefusal} {
		s, kind, r := f.asked(t, a, b, 0)
		if kind != want || kind == typeRefusal && r != (refusedAs{"quota", true}) {
			t.Errorf("body %d: answered with type %d: %+v", i, kind, r)
		}
		check(t, s.Reset())
		f.seal(t, b)
	}
	if u := b.uses(a); u.Partials != 1 || b.filesLeft() != 1 {
		t.Errorf("%d files, and %+v", b.filesLeft(), u)
	}
}

// TestALiarAboutSizesLeavesNothing sends more, and less, than was announced.
func TestALiarAboutSizesLeavesNothing(t *testing.T) {
	a, b := newNode(t, "anna"), bounded(t, "bert", partner.Quota{Stored: 16 * mib})
	pair(t, a, b)
	f := large(t, a, b, 64*mib)
	announced := sealedLength(16) // 1 MiB
	s, kind, r := f.asked(t, a, b, announced)
	if kind != typeAnswer {
		t.Fatalf("answered with type %d: %+v", kind, r)
	}
	stop := f.pours(s)
	if kind, content := lastFrame(s); kind != typeRefusal {
		t.Errorf("longer: answered with type %d: %s", kind, content)
	}
	stop()
	b.keepsNothing()
	g := large(t, a, b, mib)
	s, kind, r = g.asked(t, a, b, sealedLength(8*mib/(64<<10)))
	if kind != typeAnswer {
		t.Fatalf("answered with type %d: %+v", kind, r)
	}
	writeFrame(t, s, typeBody, g.Body[64<<10:])
	writeFrame(t, s, typeBody, nil)
	if kind, content := lastFrame(s); kind != typeRefusal {
		t.Errorf("shorter: answered with type %d: %s", kind, content)
	}
	b.keepsNothing()
	if u := b.uses(a); !u.IsZero() {
		t.Errorf("anna uses %+v", u)
	}
}

// TestThousandsOfStreamsStayFew opens many streams at once, each with a document
// that it never goes on with, and goes on doing so until another partner's message
// has come through.
func TestThousandsOfStreamsStayFew(t *testing.T) {
	a, b, c := newNode(t, "anna"), bounded(t, "bert", partner.Quota{Partials: 8}), newNode(t, "carl")
	pair(t, a, b)
	pair(t, c, b)
	c.delivered(c.message("bert", []byte("before")).ID)
	f := large(t, a, b, mib)
	before := heap()
	const callers, each = 16, 150
	flooding, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for n := 0; n < each || flooding.Err() == nil; n++ {
				s, err := a.host.Open(t.Context(), b.keys.Node(), b.host.Addrs(), exchange.ProtocolTransfer)
				if err != nil {
					continue // the other side takes no more
				}
				floods(t, s, f, a, b)
			}
		})
	}
	c.delivered(c.message("bert", []byte("meanwhile")).ID)
	stop()
	wg.Wait()
	if n := b.uses(a).Partials; n > 8 {
		t.Errorf("%d partials are open", n)
	}
	if grown := heap() - before; grown > 64*mib {
		t.Errorf("memory grew by %d bytes", grown)
	}
	c.delivered(c.send("bert", randomDocument(mib)).ID)
}

// floods offers a document under an id of its own, and leaves it at that.
func floods(t *testing.T, s *p2p.Conn, f *forgery, a, b *node) {
	g := *f
	fresh := newForgery(t, a, b)
	g.ID = fresh.ID
	g.announces(t, s, 0)
}

// heap is how many bytes are in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestTinyFramesWithoutEndHoldNobodyUp sends a body in frames of one byte, with
// frames that say nothing between them: neither size nor speed ends a transfer,
// and no other partner waits for it.
func TestTinyFramesWithoutEndHoldNobodyUp(t *testing.T) {
	a, b, c := newNode(t, "anna"), newNode(t, "bert"), newNode(t, "carl")
	pair(t, a, b)
	pair(t, c, b)
	c.delivered(c.message("bert", []byte("before")).ID)
	f := newForgery(t, a, b)
	f.large(t, b)
	_, finish := f.finish(t, a)
	s := f.begins(t, a, b) // without a length, since one that has one does not pause
	offset := answered(t, s)
	before := heap()
	var tiny []byte
	for _, one := range f.Body[offset:] {
		tiny = append(tiny, 0, 0, 0, 1, typeWait, 0, 0, 0, 2, typeBody, one)
	}
	half := len(tiny) / 22 * 11
	_, err := s.Write(tiny[:half])
	check(t, err)
	c.delivered(c.message("bert", []byte("meanwhile")).ID) // who waited for the body would wait for its other half
	_, err = s.Write(tiny[half:])
	check(t, err)
	if kind, content := finish(s, f.Sealed); kind != typeReceipt {
		t.Errorf("answered with type %d: %s", kind, content)
	}
	if grown := heap() - before; grown > 32*mib {
		t.Errorf("memory grew by %d bytes", grown)
	}
	same(t, b.document(f.ID), f.Doc)
}
