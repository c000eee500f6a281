package exchange_test

import (
	"sync"
	"testing"

	"dxd/exchange"
	"dxd/record"
)

// road sees the documents that are on their way, and can stop them at the
// beginning or behind so many bytes.
type road struct {
	stop    int           // bytes behind which a document waits
	open    chan struct{} // closed: it goes on
	reached chan struct{} // one for each that waits there

	mu        sync.Mutex // guards what follows
	now, most int        // of those that came so far
}

func newRoad(n *node, stop int) *road {
	r := &road{stop: stop, open: make(chan struct{}), reached: make(chan struct{}, 100)}
	n.wrap = func(s exchange.Stream) exchange.Stream { return &traveller{Stream: s, road: r} }
	return r
}

func (r *road) count(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now += n
	r.most = max(r.most, r.now)
}

// peak is how many were on their way at a time.
func (r *road) peak() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.most
}

type traveller struct {
	exchange.Stream
	*road
	sent    int
	counted bool
}

func (t *traveller) Write(b []byte) (int, error) {
	if t.sent += len(b); t.sent > t.stop && !t.counted {
		t.counted = true
		t.count(1)
		t.reached <- struct{}{}
		<-t.open
	}
	return t.Stream.Write(b)
}

func (t *traveller) Close() error {
	if t.counted {
		t.count(-1)
	}
	return t.Stream.Close()
}

func TestSmallDocumentsPassALargeOneAndNoLargeOneDoes(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	r := newRoad(a, 1<<20)
	first := a.send("bert", randomDocument(5<<20))
	<-r.reached // it has come so far, and waits
	for range 20 {
		a.delivered(a.send("bert", randomDocument(100_000)).ID)
	}
	others := []record.TransferID{first.ID}
	for range 3 {
		others = append(others, a.send("bert", randomDocument(5<<20)).ID, a.send("bert", randomDocument(1000)).ID)
	}
	close(r.open)
	for _, id := range others {
		a.delivered(id)
	}
	if n := r.peak(); n != 1 {
		t.Errorf("%d large documents were on their way at a time", n)
	}
}

func TestSoManyDocumentsTravelAtATime(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	r := newRoad(a, 0)
	var ids []record.TransferID
	for range 3 * exchange.Abreast {
		ids = append(ids, a.send("bert", randomDocument(1000)).ID)
	}
	for range exchange.Abreast {
		<-r.reached
	}
	close(r.open)
	for _, id := range ids {
		a.delivered(id)
	}
	if n := r.peak(); n != exchange.Abreast {
		t.Errorf("%d documents were on their way at a time", n)
	}
}

// TestWhenManyTravelEachPartnerStillHasOne fills the room for all.
func TestWhenManyTravelEachPartnerStillHasOne(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	a.FillRoads()
	r := newRoad(a, 0)
	first, second := a.send("bert", randomDocument(1000)), a.send("bert", randomDocument(1000))
	<-r.reached
	close(r.open)
	a.delivered(first.ID)
	a.delivered(second.ID)
	if n := r.peak(); n != 1 {
		t.Errorf("%d documents were on their way at a time", n)
	}
}
