package exchange_test

import (
	"testing"

	"dxd/event"
	"dxd/exchange"
	"dxd/record"
)

func (n *node) hold(id record.TransferID) {
	n.t.Helper()
	v, err := n.Hold(n.t.Context(), id, "token")
	check(n.t, err)
	if v.Hold.By != "token" || v.Hold.Since == 0 {
		n.t.Errorf("%s: the hold is %+v", n.name, v.Hold)
	}
	if _, err := n.Erase(n.t.Context(), id, "socket"); record.KindOf(err) != record.Conflict || record.Hint(err) != "`dxd release "+id.String()+"` ends the hold" {
		n.t.Errorf("%s: erasing what is held: %v (%s)", n.name, err, record.Hint(err))
	}
}

func (n *node) release(id record.TransferID) {
	n.t.Helper()
	v, err := n.Release(n.t.Context(), id, "token")
	check(n.t, err)
	if v.Hold != (exchange.Hold{}) {
		n.t.Errorf("%s: the hold is %+v", n.name, v.Hold)
	}
}

func TestWhatIsHeldIsErasedOnceItIsReleased(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	b.halt()
	early := a.send("bert", []byte("held before it went")).ID
	a.hold(early)
	b.start()
	held, free := a.send("bert", []byte("held")).ID, a.send("bert", []byte("not held")).ID
	for _, id := range []record.TransferID{early, held, free} {
		a.delivered(id)
	}
	a.hold(held)
	again, err := a.Hold(t.Context(), held, "socket")
	check(t, err)
	if told := a.events(event.TransferHeld); again.Hold.By != "token" || len(told) != 2 || told[1].ID != held || told[1].By != "token" {
		t.Errorf("held again by %s, told %+v", again.Hold.By, told)
	}
	a.retain.Sent = 7 * day
	a.awake(8 * day)
	a.erased(free)
	check(t, a.ClearDue(t.Context()))
	for _, id := range []record.TransferID{early, held} {
		if v, err := a.Get(t.Context(), id); err != nil || v.Erased != 0 || v.Hold.Since == 0 {
			t.Errorf("what is held is %+v (%v)", v, err)
		}
		a.document(id)
	}
	if n, since, err := a.Held(t.Context()); n != 2 || since == 0 || err != nil {
		t.Errorf("%d are held since %d (%v)", n, since, err)
	}
	if kept, err := a.Kept(t.Context()); err != nil || kept[0].Payloads != 0 {
		t.Errorf("held ones look overdue: %+v (%v)", kept, err)
	}
	a.release(held)
	if v := a.erased(held); v.ErasedBy != exchange.RetainSent { // at once
		t.Errorf("erased by %s", v.ErasedBy)
	}
	a.release(early)
	a.erased(early)
	a.release(early)
	if told := a.events(event.TransferReleased); len(told) != 2 {
		t.Errorf("told %+v", told)
	}
	a.keepsNoFile()
}

func TestAMessageIsHeldAloneOfItsBundle(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	b.halt()
	var sent []record.TransferID
	for range 5 {
		sent = append(sent, a.message("bert", []byte("a message")).ID)
	}
	a.hold(sent[1])
	b.start()
	arriveInOrder(t, a, b, sent)
	b.hold(sent[1])
	b.hold(sent[3])
	a.retain.Sent, b.retain.Received = 7*day, 7*day
	for _, n := range []*node{a, b} {
		n.awake(8 * day)
		n.erased(sent[0])
		if v, err := n.Get(t.Context(), sent[1]); err != nil || v.Erased != 0 {
			t.Errorf("%s: what is held is %+v (%v)", n.name, v.Transfer, err)
		}
		if string(n.document(sent[1])) != "a message" {
			t.Errorf("%s: what is held is another message", n.name)
		}
		n.proves(sent[1], []byte("a message"))
	}
	a.hold(sent[2]) // its body is gone already, its opening is not
	if v, err := a.Get(t.Context(), sent[2]); err != nil || v.ErasedBy != exchange.RetainSent {
		t.Errorf("a hold brought back %+v (%v)", v.Transfer, err)
	}
	a.release(sent[2])
	b.erased(sent[2])
	b.release(sent[3])
	b.hold(sent[3]) // too late, or not: no half state
	b.release(sent[3])
	for _, n := range []*node{a, b} {
		n.release(sent[1])
		n.erased(sent[1])
		for _, id := range sent {
			n.erased(id)
			n.proves(id, []byte("a message"))
		}
		if left := n.entries("x/c/") + n.entries("x/d/"); left != 0 {
			t.Errorf("%s: %d bodies or places are left", n.name, left)
		}
	}
}
