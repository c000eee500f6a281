package e2e

import (
	"testing"

	"dxd/test/party"
)

// cutOff is how one side of a transfer turns its partner away in the middle.
type cutOff struct {
	what    string
	by      func(a, b *party.Org) (who, partner *party.Org) // of sender and recipient
	removes bool
}

func bySender(a, b *party.Org) (who, partner *party.Org)    { return a, b }
func byRecipient(a, b *party.Org) (who, partner *party.Org) { return b, a }

// TestWhoIsTurnedAwayInTheMiddleIsCutOffAtOnce suspends and removes a partner
// while half of a document is over, from either side: what is not on its way by
// then stays, and goes on once both are partners again.
func TestWhoIsTurnedAwayInTheMiddleIsCutOffAtOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []cutOff{
		{"the recipient is suspended", bySender, false}, {"the sender is suspended", byRecipient, false},
		{"the recipient is removed", bySender, true}, {"the sender is removed", byRecipient, true},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			turnAway(t, c)
		})
	}
}

func turnAway(t *testing.T, c cutOff) {
	a, b := party.NewOrg(t, "alpha"), party.NewOrg(t, "beta")
	l := party.NewLink(t, a, b, false)
	a.Start()
	b.Start()
	party.Pair(a, b)
	d := party.Document{Seed: c.what, Size: 48 << 20}
	held := l.Hold(d.Size / 4)
	id := a.SendDocument(b, d)
	party.Within(t, party.Patience, "the middle", held)

	who, partner := c.by(a, b)
	shutOut := who.SuspendPartner
	if c.removes {
		shutOut = who.RemovePartner
	}
	_, err := shutOut(t.Context(), partner.Alias)
	party.Check(t, err)
	if p, err := who.Partner(t.Context(), partner.Alias); !c.removes && (err != nil || p.Connected) {
		t.Errorf("%s is still connected (%v)", partner.Name, err)
	}
	l.Release()
	party.Until(t, "the end of the connection", func() string {
		if p, err := partner.Partner(t.Context(), who.Alias); err != nil || p.Connected {
			return "still there"
		}
		return ""
	})
	// What lay in the sockets on the way may have come; no more.
	if n := l.Passed(); n > d.Size/2 {
		t.Errorf("%d MiB more went over", n>>20)
	}
	if v := b.Look(id); v.State != "receiving" && !c.removes {
		t.Errorf("at the recipient it is %s", v.State)
	}
	switch v := a.Look(id); {
	case c.removes && who == a && (v.State != "failed" || v.Reason != "removed"):
		t.Errorf("what was for a partner that was removed is %s (%s)", v.State, v.Reason)
	case !(c.removes && who == a) && v.State != "queued" && v.State != "sending":
		t.Errorf("at the sender it is %s (%s)", v.State, v.Reason)
	}
	letInAgain(t, c, who, partner)
	if c.removes && who == a { // what there was for it has failed
		id = a.SendDocument(b, d)
		a.Delivered(id)
		b.Keeps(id, d)
		return
	}
	a.Delivered(id)
	party.Agree(a, b, id, d)
}

func letInAgain(t *testing.T, c cutOff, who, partner *party.Org) {
	t.Helper()
	if !c.removes {
		_, err := who.ResumePartner(t.Context(), partner.Alias)
		party.Check(t, err)
		return
	}
	card, err := partner.Card(t.Context())
	party.Check(t, err)
	_, err = who.AddPartner(t.Context(), partner.Alias, card, "")
	party.Check(t, err)
}
