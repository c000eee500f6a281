package exchange_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"dxd/blobstore"
	"dxd/event"
	"dxd/exchange"
	"dxd/record"
)

// events gives the node's events of some types, all if none is named.
func (n *node) events(types ...event.Type) (found []event.Event) {
	n.t.Helper()
	check(n.t, n.store.View(n.t.Context(), func(tx blobstore.ReadTx) error {
		all, err := event.After(tx, 0, 100_000)
		found = slices.DeleteFunc(all, func(e event.Event) bool { return len(types) > 0 && !slices.Contains(types, e.Type) })
		return err
	}))
	return found
}

func TestTwoRecordsWithOneNumberAreAnAlarm(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	b.hushed.Store(true)
	pair(t, a, b)
	f := newForgery(t, a, b)
	if kind, content := f.deliver(t, a, b); kind != typeReceipt {
		t.Fatalf("a frame of type %d came back: %s", kind, content)
	}
	for range 3 {
		g := newForgery(t, a, b)
		g.Manifest.Number = f.Manifest.Number
		if kind, content := g.deliver(t, a, b); kind != typeRefusal {
			t.Fatalf("a second record with the number: a frame of type %d: %s", kind, content)
		}
	}
	alarms := b.events(event.Alarm)
	if len(alarms) != 1 || alarms[0].Partner != a.keys.Org() || !strings.Contains(alarms[0].Text, "two records") {
		t.Errorf("three times the same contradiction: %+v", alarms)
	}
}

func TestOtherContentUnderAUsedIDIsAnAlarm(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	v := a.delivered(a.send("bert", []byte("the one")).ID)
	f := newForgery(t, a, b)
	f.ID, f.Opening.Transfer = v.ID, v.ID
	if kind, content := f.deliver(t, a, b); kind != typeRefusal {
		t.Fatalf("a frame of type %d came back: %s", kind, content)
	}
	alarms := b.events(event.Alarm)
	if len(alarms) != 1 || alarms[0].Partner != a.keys.Org() || alarms[0].ID != v.ID {
		t.Errorf("the alarms are %+v", alarms)
	}
}

func TestTwoCardsWithOneSerialAreAnAlarm(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	other, err := a.keys.SignCard(record.Card{
		Header: record.Header{Created: time.Now().UnixMilli()}, Name: "anna", Serial: 1, Expires: time.Now().Add(time.Hour).UnixMilli(),
	})
	check(t, err)
	hello, err := json.Marshal(map[string]any{"v": 1, "file": record.OpenedCardFile{Card: other}.File()})
	check(t, err)
	s := a.stream(t, b, exchange.ProtocolHello)
	writeFrame(t, s, typeHello, hello)
	if kind, _, err := readFrame(s); err == nil {
		t.Errorf("it is answered with type %d", kind)
	}
	alarms := b.events(event.Alarm)
	if len(alarms) != 1 || alarms[0].Partner != a.keys.Org() || !strings.Contains(alarms[0].Text, "serial 1") {
		t.Errorf("the alarms are %+v", alarms)
	}
	if p, err := b.book.ByOrg(a.keys.Org()); err != nil || p.Card.ID() != a.book.Self().ID() {
		t.Errorf("the first card is no longer the partner's (%v)", err)
	}
}
