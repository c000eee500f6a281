package exchange_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dxd/blobstore"
	"dxd/event"
	"dxd/exchange"
	"dxd/record"
)

// checked opens the node again with a check, and waits until the state of it
// is what a test wants.
func (n *node) checked(c exchange.Checking, want func(r exchange.Round) bool) (r exchange.Round) {
	n.t.Helper()
	n.halt()
	n.checks = c
	n.start()
	return n.round(want)
}

func (n *node) round(want func(r exchange.Round) bool) (r exchange.Round) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), waitAtMost)
	defer cancel()
	changed := n.store.Watch(ctx, "x/check")
	for {
		r, err := n.Round(ctx)
		check(n.t, err)
		if want(r) {
			return r
		}
		select {
		case <-changed:
		case <-ctx.Done():
			n.t.Fatalf("the check is at %+v", r)
		}
	}
}

func ended(r exchange.Round) bool { return r.Ended != 0 }

// kept makes two nodes of which the second keeps documents and messages.
func kept(t *testing.T) (b *node, ids []record.TransferID) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	for _, doc := range [][]byte{randomDocument(1 << 20), []byte("small"), nil} {
		ids = append(ids, a.delivered(a.send("bert", doc).ID).ID)
	}
	ids = append(ids, a.delivered(a.message("bert", []byte("a message")).ID).ID)
	n, err := b.Notarize(t.Context(), "will.txt", "text/plain", 4, strings.NewReader("mine"))
	check(t, err)
	return b, append(ids, n.ID)
}

func TestAllThatIsKeptIsChecked(t *testing.T) {
	b, _ := kept(t)
	r := b.checked(exchange.Checking{Every: time.Hour}, ended)
	if r.Payloads != 4 || r.Bytes != 1<<20+5+9 || r.Damaged != 0 || !r.At.IsZero() {
		t.Errorf("the round has %+v", r)
	}
	again := b.checked(exchange.Checking{Every: time.Hour}, ended)
	if again != r {
		t.Errorf("before its time another round went to %+v", again)
	}
	b.awake(2 * time.Hour)
	later := b.round(func(next exchange.Round) bool { return next.Begun != r.Begun && ended(next) })
	if later.Payloads != 4 || later.Last == nil || *later.Last != r {
		t.Errorf("the next round has %+v, and remembers %+v", later, later.Last)
	}
}

func TestADamagedPayloadIsAnAlarmOnce(t *testing.T) {
	b, ids := kept(t)
	var file string
	for f, err := range b.store.List() {
		check(t, err)
		if f.Size > 1<<20 {
			file = filepath.Join(b.dir, "payloads", f.ID.String())
		}
	}
	whole, err := os.ReadFile(file)
	check(t, err)
	flip(500<<10)(t, file)
	every := exchange.Checking{Every: time.Millisecond}
	r := b.checked(every, func(r exchange.Round) bool { return r.Last != nil && r.Last.Damaged == 1 && r.Last.Payloads == 4 })
	if alarms := b.events(event.Alarm); len(alarms) != 1 || alarms[0].ID != ids[0] || !strings.Contains(alarms[0].Text, "damaged on our disk") {
		t.Errorf("after %+v the alarms are %+v", r, alarms)
	}
	if broken, err := b.Broken(t.Context(), 10); err != nil || len(broken) != 1 || broken[0] != ids[0] {
		t.Errorf("broken: %v, %v", broken, err)
	}

	// It is known as damaged until it holds again.
	check(t, os.WriteFile(file, whole, 0o600))
	begun := b.round(ended).Begun
	b.round(func(r exchange.Round) bool { return r.Last != nil && r.Last.Begun > begun && r.Last.Damaged == 0 })
	if broken, err := b.Broken(t.Context(), 10); err != nil || len(broken) != 0 {
		t.Errorf("still broken: %v, %v", broken, err)
	}
	check(t, os.Remove(file))
	b.round(func(r exchange.Round) bool { return r.Last != nil && r.Last.Damaged == 1 })
	if broken, err := b.Broken(t.Context(), 10); err != nil || len(broken) != 1 {
		t.Errorf("a file that is gone: %v, %v", broken, err)
	}
	b.erase(ids[0])
	if broken, err := b.Broken(t.Context(), 10); err != nil || len(broken) != 0 {
		t.Errorf("what is erased is still broken: %v, %v", broken, err)
	}
}

func TestADamagedRowDoesNotStopARound(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	damaged, whole := a.send("bert", []byte("a document")).ID, a.send("bert", []byte("another")).ID
	a.delivered(damaged)
	a.delivered(whole)
	check(t, a.store.Update(t.Context(), func(tx blobstore.Tx) error {
		return tx.Set("x/t/"+blobstore.Key(damaged[:]), []byte("{"))
	}))
	if r := a.checked(exchange.Checking{Every: time.Hour}, ended); r.Payloads != 2 || r.Damaged != 1 {
		t.Errorf("the round has %+v", r)
	}
	if alarms := a.events(event.Alarm); len(alarms) != 1 || alarms[0].ID != damaged {
		t.Errorf("the alarms are %+v", alarms)
	}
}

func TestOnePayloadIsCheckedWhenItIsAskedFor(t *testing.T) {
	b, ids := kept(t)
	for i, want := range []int64{1 << 20, 5, 0, 9, -1} {
		if n, damage, err := b.Inspect(t.Context(), ids[i]); n != want || damage != nil || err != nil {
			t.Errorf("of %d bytes %d hold: %v, %v", want, n, damage, err)
		}
	}
	if _, _, err := b.Inspect(t.Context(), record.TransferID{1}); record.KindOf(err) != record.NotFound {
		t.Errorf("of what is not there: %v", err)
	}
	for f, err := range b.store.List() {
		check(t, err)
		check(t, os.Remove(filepath.Join(b.dir, "payloads", f.ID.String())))
	}
	for range 2 {
		if n, damage, err := b.Inspect(t.Context(), ids[0]); n != 0 || damage == nil || err != nil {
			t.Errorf("of what is gone %d bytes hold: %v, %v", n, damage, err)
		}
	}
	if alarms := b.events(event.Alarm); len(alarms) != 1 || alarms[0].ID != ids[0] {
		t.Errorf("the alarms are %+v", alarms)
	}
}

func TestACheckGoesOnWhereItWas(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	var last exchange.View
	for range 99 {
		last = a.message("bert", []byte("many"))
	}
	a.delivered(last.ID)
	a.delivered(a.send("bert", randomDocument(8<<20)).ID)            // at which it is for so long that it is seen before its end
	slow := exchange.Checking{Every: time.Hour, Pace: 4 << 10 * 250} // small ones count as 4 KiB
	r := b.checked(slow, func(r exchange.Round) bool { return !r.At.IsZero() })
	after := b.checked(exchange.Checking{Every: time.Hour}, ended)
	if after.Begun != r.Begun || after.Payloads != 100 || r.Payloads == 100 {
		t.Errorf("from %+v to %+v", r, after)
	}
}

func TestWhatIsErasedWhileItIsCheckedIsNotDamaged(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	a.delivered(a.send("bert", randomDocument(12<<20)).ID)
	b.retain.Received = time.Second
	r := b.checked(exchange.Checking{Every: time.Hour, Pace: 2 << 20}, ended) // whole it would take 6 s
	if r.Damaged != 0 || r.Payloads != 0 || len(b.events(event.Alarm)) != 0 {
		t.Errorf("the round has %+v", r)
	}
	b.keepsNoFile()
}

func TestAClockThatWasWrongPutsNoCheckOff(t *testing.T) {
	b, _ := kept(t)
	b.halt()
	b.now = func() time.Time { return time.Now().Add(24 * 365 * time.Hour) }
	first := b.checked(exchange.Checking{Every: 24 * time.Hour}, ended)
	b.halt()
	b.now = time.Now
	b.checked(exchange.Checking{Every: time.Second}, func(r exchange.Round) bool { return r.Begun != first.Begun })
}
