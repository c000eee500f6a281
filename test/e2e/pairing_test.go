package e2e

import (
	"bytes"
	"context"
	"io"
	"testing"
	"time"

	"dxd/api/apitype"
	"dxd/client"
	"dxd/exchange"
	"dxd/test/party"
)

// pairByTicket has one side issue a ticket, hands it over, and has a person on
// either side compare the fingerprint that the other told and say yes.
func pairByTicket(t *testing.T, host, visitor *party.Org) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), party.Patience)
	defer cancel()
	tickets, paired := make(chan string, 1), make(chan error, 1)
	go func() { paired <- says(ctx, host, visitor, "", tickets) }()
	party.Check(t, says(ctx, visitor, host, <-tickets, nil))
	party.Check(t, <-paired)
}

// says takes part in a pairing.
func says(ctx context.Context, o, other *party.Org, ticket string, issued chan<- string) error {
	var answer error
	_, err := o.Pair(ctx, ticket, func(p apitype.Pairing) {
		switch p.State {
		case "waiting":
			issued <- p.Ticket
		case "asking":
			same := p.Other.Fingerprint == other.Keys.Org().Fingerprint()
			_, answer = o.AnswerPairing(ctx, p.ID, same, other.Alias)
		}
	})
	if answer != nil {
		return answer
	}
	return err
}

// hands sends a document and reads it on the other side.
func hands(t *testing.T, from, to *party.Org, content []byte) {
	t.Helper()
	sent, err := from.Send(t.Context(), client.Submission{To: []string{to.Alias}, Name: "contract.pdf"}, bytes.NewReader(content), int64(len(content)))
	party.Check(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), party.Patience)
	defer cancel()
	got, err := from.Wait(ctx, sent.Transfers[0].ID, "delivered", nil)
	party.Check(t, err)
	if got.State != "delivered" {
		t.Fatalf("it is %s (%s)", got.State, got.Reason)
	}
	there, err := to.Content(t.Context(), sent.Transfers[0].ID)
	party.Check(t, err)
	defer there.Close()
	read, err := io.ReadAll(there)
	party.Check(t, err)
	if !bytes.Equal(read, content) {
		t.Error("another document arrived")
	}
}

func TestTwoFreshDaemonsPairByTicketAloneAndHandADocumentOverWithinAMinute(t *testing.T) {
	for name, announced := range map[string]string{
		"both can be reached":        "",
		"the visitor can't be":       `["/ip4/192.0.2.1/tcp/4600"]`,
		"the visitor tells no place": "no",
	} {
		t.Run(name, func(t *testing.T) {
			begun := time.Now()
			a, b := party.NewOrg(t, "alpha"), party.NewOrg(t, "beta")
			switch announced {
			case "":
			case "no":
				b.Config["listen"] = "[]"
			default:
				b.Config["announce"] = announced
			}
			a.Start()
			b.Start()
			pairByTicket(t, a, b)
			hands(t, b, a, []byte("from the visitor to the host"))
			hands(t, a, b, []byte("and back"))
			spent := time.Since(begun)
			t.Logf("keys, daemons, pairing and two documents took %s", spent)
			if spent > time.Minute {
				t.Error("that is more than a minute")
			}
		})
	}
}

// The host can't call the visitor, so the visitor has to come back by itself.
func TestVisitorThatCannotBeReachedComesBack(t *testing.T) {
	a, b := party.NewOrg(t, "alpha"), party.NewOrg(t, "beta")
	b.Config["announce"] = `["/ip4/192.0.2.1/tcp/4600"]`
	a.Start()
	b.Start()
	pairByTicket(t, a, b)
	hands(t, a, b, []byte("before"))
	a.Process.Kill()
	a.Start()
	hands(t, a, b, []byte("after the host was gone"))
}

func TestADeathWhilePairingIsMendedByPairingAgain(t *testing.T) {
	for _, c := range []struct {
		name           string
		point          exchange.Point
		atHost         bool // the host dies
		knows, isKnown bool // by the host: the visitor is added, and the other way round
	}{
		{"the host dies before it adds the visitor", exchange.BeforePaired, true, false, false},
		{"the host dies once it has added the visitor", exchange.AfterPaired, true, true, false},
		{"the visitor dies before it adds the host", exchange.BeforePaired, false, true, false},
		{"the visitor dies once it has added the host", exchange.AfterPaired, false, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			host, visitor := party.NewOrg(t, "alpha"), party.NewOrg(t, "beta")
			dying := visitor
			if c.atHost {
				dying = host
			}
			dying.DieAt = c.point
			host.Start()
			visitor.Start()
			ended := make(chan error, 1)
			tickets := make(chan string, 1)
			go func() { ended <- says(t.Context(), host, visitor, "", tickets) }()
			visited := says(t.Context(), visitor, host, <-tickets, nil)
			hosted := <-ended
			party.Within(t, party.Patience, "the death", dying.Process.Gone)
			if c.atHost && (visited == nil || hosted == nil) || !c.atHost && visited == nil {
				t.Errorf("the host is told %v, the visitor %v", hosted, visited)
			}
			dying.DieAt = ""
			dying.Start()
			hasPartner(t, host, c.knows)
			hasPartner(t, visitor, c.isKnown)
			pairByTicket(t, host, visitor)
			hands(t, host, visitor, []byte("after all"))
		})
	}
}

func hasPartner(t *testing.T, o *party.Org, want bool) {
	t.Helper()
	all, err := o.Partners(t.Context())
	party.Check(t, err)
	if (len(all) > 0) != want {
		t.Errorf("%s has %d partners", o.Name, len(all))
	}
}
