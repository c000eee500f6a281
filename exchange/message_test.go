package exchange_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"dxd/event"
	"dxd/exchange"
	"dxd/hashanchor"
	"dxd/record"
)

// message submits a message to the partner and returns the transfer.
func (n *node) message(to string, body []byte) exchange.View {
	n.t.Helper()
	sent, err := n.SubmitMessage(n.t.Context(), exchange.Submission{To: []string{to}, MediaType: "text/plain", Size: int64(len(body))}, bytes.NewReader(body))
	check(n.t, err)
	return sent[0]
}

// messagesReceived lists the messages that arrived, in the order of their events.
func (n *node) messagesReceived() (ids []record.TransferID) {
	n.t.Helper()
	for _, e := range n.events(event.MessageReceived) {
		ids = append(ids, e.ID)
	}
	return ids
}

// proves fails unless the evidence of the transfer verifies for this body, and
// for no other.
func (n *node) proves(id record.TransferID, body []byte) []byte {
	n.t.Helper()
	file, err := n.Evidence(n.t.Context(), id)
	check(n.t, err)
	doc := hashanchor.Document{Digest: record.Digest(sha256.Sum256(body)), Length: int64(len(body))}
	r, err := hashanchor.Verify(n.t.Context(), doc, file, hashanchor.Options{})
	check(n.t, err)
	for _, c := range r.Checks {
		if !c.OK && !c.Undecided {
			n.t.Errorf("%s: evidence of %s: %s: %s", n.name, id, c.Name, c.Detail)
		}
	}
	if r.Receipt != "received" {
		n.t.Errorf("%s: the receipt in the evidence of %s says %q", n.name, id, r.Receipt)
	}
	return file
}

func TestAMessageArrivesWithItsEvidence(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	for _, body := range [][]byte{{}, []byte("hello"), randomDocument(64 << 10), randomDocument(256 << 10)} {
		sent := a.message("bert", body)
		v := a.delivered(sent.ID)
		if v.Kind != record.Message || v.Name != "" || v.BytesDone != int64(len(body)) {
			t.Errorf("sent as %+v", v)
		}
		in, err := b.Get(t.Context(), sent.ID)
		check(t, err)
		if in.State != exchange.Received || in.Kind != record.Message || in.Digest != sent.Digest || in.Alias != "anna" || in.MediaType != "text/plain" {
			t.Errorf("received as %+v", in)
		}
		for _, n := range []*node{a, b} {
			if !bytes.Equal(n.document(sent.ID), body) {
				t.Errorf("%s: another message came out", n.name)
			}
			n.proves(sent.ID, body)
		}
	}
}

func TestMessagesToAPartnerThatIsAwayArriveInOrder(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	b.halt()
	var sent []record.TransferID
	for i := range 50 {
		sent = append(sent, a.message("bert", fmt.Appendf(nil, "message %d", i)).ID)
	}
	waiting, err := a.Waiting(t.Context())
	check(t, err)
	if waiting[b.keys.Org()] != 50 {
		t.Errorf("%d messages wait", waiting[b.keys.Org()])
	}
	b.start()
	for i, id := range sent {
		a.delivered(id)
		body := fmt.Appendf(nil, "message %d", i)
		file := a.proves(id, body)
		b.proves(id, body)
		for _, other := range sent {
			if other != id && strings.Contains(string(file), other.String()) {
				t.Errorf("the evidence of message %d names another one", i)
			}
		}
	}
	if got := b.messagesReceived(); fmt.Sprint(got) != fmt.Sprint(sent) {
		t.Errorf("they arrived as %v", got)
	}
}
