package e2e

import (
	"os"
	"strings"
	"testing"

	"dxd/client"
	"dxd/record"
)

// containsAlarm tells whether a log has one.
func containsAlarm(log string) bool { return strings.Contains(log, "msg=alarm") }

// TestADocumentForFivePartners sends one document to five: one takes it, one
// accepts it, one refuses it, one is away, and one is suspended.
func TestADocumentForFivePartners(t *testing.T) {
	a := newOrg(t, "alpha")
	a.config["log.level"] = `"debug"`
	a.start()
	names := []string{"taker", "accepter", "refuser", "away", "suspended"}
	partners := map[string]*org{}
	for _, name := range names {
		p := newOrg(t, name)
		p.start()
		pair(a, p)
		partners[name] = p
	}
	partners["away"].stop()
	partners["suspended"].stop()
	d := document{seed: "to five", size: large}
	s := client.Submission{To: names, Name: "contract.pdf", RequestID: "r"}

	// Who is suspended already is not sent to, and neither is anybody else.
	_, err := a.SuspendPartner(t.Context(), "suspended")
	check(t, err)
	if _, err := a.Send(t.Context(), s, d.open(), d.size); record.KindOf(err) != record.Refused {
		t.Fatalf("sending to one that is suspended: %v", err)
	}
	if all := a.transfers(); len(all) != 0 || len(a.payloads()) != 0 {
		t.Fatalf("a call that was refused left %+v", all)
	}

	_, err = a.ResumePartner(t.Context(), "suspended")
	check(t, err)
	sent, err := a.Send(t.Context(), s, d.open(), d.size)
	check(t, err)
	_, err = a.SuspendPartner(t.Context(), "suspended")
	check(t, err)
	sealed, err := os.Stat(a.onlyPayload())
	check(t, err)
	ids := map[string]record.TransferID{}
	for _, tr := range sent.Transfers {
		ids[tr.To] = tr.ID
	}
	for _, name := range []string{"taker", "accepter", "refuser"} {
		a.delivered(ids[name])
		partners[name].keeps(ids[name], d)
	}
	_, err = partners["accepter"].Accept(t.Context(), ids["accepter"], "order 4711")
	check(t, err)
	_, err = partners["refuser"].Refuse(t.Context(), ids["refuser"], "page 3 is missing", "")
	check(t, err)
	for _, name := range []string{"accepter", "refuser"} {
		a.wait(patience, ids[name], "accepted")
	}
	partners["suspended"].start() // it is there again, and shut out

	// The same request, in whatever order, shows the five states.
	s.To = []string{"suspended", "away", "refuser", "accepter", "taker"}
	again, err := a.Send(t.Context(), s, d.open(), d.size)
	check(t, err)
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
	check(t, err)
	partners["away"].start()
	for _, name := range []string{"away", "suspended"} {
		a.delivered(ids[name])
		partners[name].keeps(ids[name], d)
	}
	now, err := os.Stat(a.onlyPayload())
	check(t, err)
	if !os.SameFile(now, sealed) || !now.ModTime().Equal(sealed.ModTime()) || now.Size() != sealed.Size() {
		t.Errorf("the sealed body was written again: %v, then %v", sealed, now)
	}
	if n := strings.Count(a.process.log.String(), "sealed a payload"); n != 1 {
		t.Errorf("the body was sealed %d times", n)
	}
}
