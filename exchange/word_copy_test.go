package exchange_test

import (
	"testing"

	"dxd/event"
	"dxd/exchange"
)

func TestAContraryWordOfAnOldCopyIsSeenOnBothSides(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	sent := a.send("bert", []byte("a document"))
	a.delivered(sent.ID)
	b.halt()
	putBack := b.backup()
	b.start()
	b.says(sent.ID, accepted)
	a.hears(sent.ID)
	b.halt()
	putBack()
	b.start()
	b.says(sent.ID, refused)
	a.alarmed(1, "two words on one transfer: it was accepted, and now refused")
	b.alarmed(1, "does not take the word", "older copy")
	if told := b.events(event.Alarm)[0]; told.ID != sent.ID || told.Partner != a.keys.Org() {
		t.Errorf("the alarm is %+v", told)
	}
	agreeOn(t, sent.ID, accepted, a)
}

func TestASenderThatForgotTheWordIsToldOnceMore(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	sent := a.send("bert", []byte("a document"))
	a.delivered(sent.ID)
	a.halt()
	putBack := a.backup()
	a.start()
	b.says(sent.ID, refused)
	a.hears(sent.ID)
	until(t, "bert has nothing to tell", func() bool { return b.entries("x/p/") == 0 })
	a.halt()
	putBack()
	a.start()
	if v, err := a.Get(t.Context(), sent.ID); err != nil || v.State != exchange.Delivered {
		t.Fatalf("the old copy has it as %s (%v)", v.State, err)
	}
	b.says(sent.ID, refused)
	a.hears(sent.ID)
	agreeOn(t, sent.ID, refused, a, b)
	for _, n := range []*node{a, b} {
		if told := n.alarms(); len(told) > 0 {
			t.Errorf("%s was told %q", n.name, told)
		}
	}
}
