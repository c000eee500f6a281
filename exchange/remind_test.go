package exchange_test

import (
	"encoding/json"
	"testing"
	"time"

	"dxd/blobstore"
	"dxd/crypto"
	"dxd/event"
	"dxd/exchange"
	"dxd/record"
)

// restored goes on with a copy that was made then, as a restore from a backup
// does, in this epoch.
func (n *node) restored(putBack func(), made time.Time, epoch byte) {
	n.t.Helper()
	n.halt()
	putBack()
	n.open()
	check(n.t, n.store.Update(n.t.Context(), func(tx blobstore.Tx) error { return exchange.Restored(tx, record.Epoch{epoch}, made) }))
	n.begin()
}

func TestARestoredNodeIsRemindedOfWhatWasErased(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	var docs, messages []record.TransferID
	for range 5 {
		docs = append(docs, a.send("bert", []byte("a document")).ID)
	}
	b.halt()
	for range 3 { // in one bundle
		messages = append(messages, a.message("bert", []byte("a message")).ID)
	}
	b.start()
	for _, id := range append(docs, messages...) {
		a.delivered(id)
	}
	back := b.send("anna", []byte("one back")).ID
	b.delivered(back)
	b.hold(docs[4])
	b.halt()
	made, putBack := time.Now(), b.backup()
	b.start()

	erased := []record.TransferID{docs[0], messages[1]}
	b.release(docs[4])
	for _, id := range append(erased, docs[4]) {
		b.erase(id)
		a.asks(id)
		a.answered(id, record.AnswerErased)
	}
	a.asks(docs[1])
	b.requested(docs[1])
	_, err := b.RefuseErase(t.Context(), docs[1], "")
	check(t, err)
	a.answered(docs[1], record.AnswerRefused)
	a.asks(docs[2])
	b.requested(docs[2]) // and nobody has said yet
	b.asks(back)
	a.requested(back)
	a.erase(back)
	b.answered(back, record.AnswerErased)

	for restore := range byte(2) { // the second time, it knows already
		if restore == 1 {
			b.halt()
			made, putBack = time.Now(), b.backup()
		}
		b.restored(putBack, made, 2+restore)
		for _, id := range erased {
			v := b.asking(id, func(a exchange.Asking) bool { return a.Said == record.AnswerErased })
			if v.ErasedBy != exchange.ByErase || v.Name != "" {
				t.Errorf("what is left is %+v", v.Transfer)
			}
			if _, err := b.Evidence(t.Context(), id); record.KindOf(err) != record.Gone {
				t.Errorf("its opening is left: %v", err)
			}
		}
		for _, id := range []record.TransferID{docs[2], docs[4]} { // this one is on hold again
			if v := b.requested(id); v.Erased != 0 {
				t.Errorf("nobody has said so: %+v", v)
			}
		}
	}
	b.alarmed(1, "asked to erase a transfer, which is not erased here", back.String())
	b.document(back) // on the partner's word alone
	for _, id := range []record.TransferID{docs[1], docs[3]} {
		if string(b.document(id)) != "a document" {
			t.Error("another document")
		}
	}
	b.proves(messages[0], []byte("a message"))
	b.proves(messages[2], []byte("a message"))
	if told := b.events(event.EraseRequested); len(told) != 2 {
		t.Errorf("told %+v", told)
	}
	b.erase(docs[2])
	a.answered(docs[2], record.AnswerErased)
	a.signedAnswer(docs[2], b)
}

func TestOnlyARestoredNodeIsReminded(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	one, other := a.send("bert", []byte("one")).ID, a.send("bert", []byte("another")).ID
	a.delivered(one)
	a.delivered(other)
	before := time.Now()
	reminder := func(change func(*record.Erasure)) map[string]any {
		v, err := a.Get(t.Context(), one)
		check(t, err)
		e := record.Erasure{
			Header: record.Header{Card: b.book.Self().ID(), Created: time.Now().UnixMilli()},
			Asker:  a.keys.Org(), Manifest: v.Record, Answer: record.AnswerErased,
		}
		if change != nil {
			change(&e)
		}
		signed, err := b.keys.SignErasure(e)
		check(t, err)
		return map[string]any{"transfer": one.String(), "erasure": json.RawMessage(signed.Bytes())}
	}
	tell := func(what string, news map[string]any, ok bool) {
		t.Helper()
		s := a.tells(t, b)
		defer s.Reset()
		if got := s.tell(news); got.OK != ok || got.Retry {
			t.Errorf("%s: %+v", what, got)
		}
		if v, err := b.Get(t.Context(), one); err != nil || (v.Erased != 0) != ok {
			t.Errorf("%s: erased %d (%v)", what, v.Erased, err)
		}
	}
	tell("to a node that never was restored", reminder(nil), false)
	b.halt()
	b.restored(b.backup(), before, 2)
	about := func(id record.TransferID) map[string]any {
		news := reminder(nil)
		news["transfer"] = id.String()
		return news
	}
	tell("about another manifest", about(other), false)
	tell("about another item", reminder(func(e *record.Erasure) { e.Item = 1 }), false)
	tell("signed long before the backup", reminder(func(e *record.Erasure) { e.Created -= (48 * time.Hour).Milliseconds() }), false)
	keys, err := crypto.Generate()
	check(t, err)
	tell("to somebody else", reminder(func(e *record.Erasure) { e.Asker = keys.Org() }), false)
	tell("of a refusal", reminder(func(e *record.Erasure) { e.Answer = record.AnswerRefused }), false)
	tell("under a card that was lost", reminder(func(e *record.Erasure) { e.Card[0] ^= 1 }), false)
	if alarms := b.alarms(); len(alarms) != 1 {
		t.Errorf("alarms: %q", alarms)
	}
	if v, err := b.Get(t.Context(), other); err != nil || v.Erased != 0 {
		t.Errorf("another is erased: %+v (%v)", v, err)
	}
	tell("that holds", reminder(nil), true)
	tell("that holds, once more", reminder(nil), true)
}
