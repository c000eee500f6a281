package e2e

import (
	"testing"
	"time"

	"dxd/test/party"
)

// A partner that shuts us out ends each connection as soon as it has seen who
// we are, at which time it is up here.
func TestWhoIsShutOutKnocksWithPauses(t *testing.T) {
	t.Parallel()
	a, b := party.NewOrg(t, "alpha"), party.NewOrg(t, "beta")
	l := party.NewLink(t, a, b, false)
	a.Start()
	b.Start()
	card, err := b.Card(t.Context())
	party.Check(t, err)
	_, err = a.AddPartner(t.Context(), b.Alias, card, "")
	party.Check(t, err)
	d := party.Document{Seed: "patient", Size: party.Small}
	id := a.SendDocument(b, d)
	begun := time.Now()
	party.Until(t, "a second knock", func() string {
		if l.Connections() < 2 {
			return "there is none"
		}
		return ""
	})
	<-time.After(4 * time.Second)
	// Pauses grow to half a second here; calls and documents have their own.
	knocks, took := l.Connections(), time.Since(begun)
	t.Logf("%d connections in %s", knocks, took.Round(time.Millisecond))
	if knocks > int(15*took/time.Second) {
		t.Errorf("%d connections", knocks)
	}
	card, err = a.Card(t.Context())
	party.Check(t, err)
	begun = time.Now()
	_, err = b.AddPartner(t.Context(), a.Alias, card, "")
	party.Check(t, err)
	a.Delivered(id)
	t.Logf("delivered %s after it was let in", time.Since(begun).Round(time.Millisecond))
	party.Agree(a, b, id, d)
}
