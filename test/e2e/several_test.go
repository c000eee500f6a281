package e2e

import (
	"os"
	"strings"
	"testing"

	"dxd/client"
	"dxd/record"
	"dxd/test/party"
)

// containsAlarm tells whether a log has one.
func containsAlarm(log string) bool { return strings.Contains(log, "msg=alarm") }

// TestADocumentForFivePartners sends one document to five: one takes it, one
// accepts it, one refuses it, one is away, and one is suspended.
func TestADocumentForFivePartners(t *testing.T) {
	a := party.NewOrg(t, "alpha")
	a.Config["log.level"] = `"debug"`
	a.Start()
	names := []string{"taker", "accepter", "refuser", "away", "suspended"}
	partners := map[string]*party.Org{}
	for _, name := range names {
		p := party.NewOrg(t, name)
		p.Start()
		party.Pair(a, p)
		partners[name] = p
	}
	partners["away"].Stop()
	partners["suspended"].Stop()
	d := party.Document{Seed: "to five", Size: party.Large}
	s := client.Submission{To: names, Name: "contract.pdf", RequestID: "r"}

	// Who is suspended already is not sent to, and neither is anybody else.
	_, err := a.SuspendPartner(t.Context(), "suspended")
	party.Check(t, err)
	if _, err := a.Send(t.Context(), s, d.Open(), d.Size); record.KindOf(err) != record.Refused {
		t.Fatalf("sending to one that is suspended: %v", err)
	}
	if all := a.AllTransfers(); len(all) != 0 || len(a.Payloads()) != 0 {
		t.Fatalf("a call that was refused left %+v", all)
	}

	_, err = a.ResumePartner(t.Context(), "suspended")
	party.Check(t, err)
	sent, err := a.Send(t.Context(), s, d.Open(), d.Size)
	party.Check(t, err)
	_, err = a.SuspendPartner(t.Context(), "suspended")
	party.Check(t, err)
	sealed, err := os.Stat(a.OnlyPayload())
	party.Check(t, err)
	ids := map[string]record.TransferID{}
	for _, tr := range sent.Transfers {
		ids[tr.To] = tr.ID
	}
	for _, name := range []string{"taker", "accepter", "refuser"} {
		a.Delivered(ids[name])
		partners[name].Keeps(ids[name], d)
	}
	_, err = partners["accepter"].Accept(t.Context(), ids["accepter"], "order 4711")
	party.Check(t, err)
	_, err = partners["refuser"].Refuse(t.Context(), ids["refuser"], "page 3 is missing", "")
	party.Check(t, err)
	for _, name := range []string{"accepter", "refuser"} {
		a.WaitFor(party.Patience, ids[name], "accepted")
	}
	partners["suspended"].Start() // it is there again, and shut out

	// The same request, in whatever order, shows the five states.
	s.To = []string{"suspended", "away", "refuser", "accepter", "taker"}
	again, err := a.Send(t.Context(), s, d.Open(), d.Size)
	party.Check(t, err)
	states := map[string]string{}
	for _, tr := range again.Transfers {
		if tr.ID != ids[tr.To] {
			t.Errorf("another transfer to %s", tr.To)
		}
		states[tr.To] = tr.State
	}
	for name, want := range map[string]string{"taker": "delivered", "accepter": "accepted", "refuser": "refused", "away": "queued", "suspended": "queued"} {
		if states[name] != want {
			t.Errorf("the transfer to %s is %s, not %s", name, states[name], want)
		}
	}

	// What waits goes on, from the one body that was sealed once.
	_, err = a.ResumePartner(t.Context(), "suspended")
	party.Check(t, err)
	partners["away"].Start()
	for _, name := range []string{"away", "suspended"} {
		a.Delivered(ids[name])
		partners[name].Keeps(ids[name], d)
	}
	now, err := os.Stat(a.OnlyPayload())
	party.Check(t, err)
	if !os.SameFile(now, sealed) || !now.ModTime().Equal(sealed.ModTime()) || now.Size() != sealed.Size() {
		t.Errorf("the sealed body was written again: %v, then %v", sealed, now)
	}
	if n := strings.Count(a.Process.Log.String(), "sealed a payload"); n != 1 {
		t.Errorf("the body was sealed %d times", n)
	}
}
