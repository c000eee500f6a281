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
	const span = 4 * time.Second
	<-time.After(span)
	// Pauses grow to half a second here; calls and documents have their own.
	knocks := l.Connections()
	t.Logf("%d connections in %s", knocks, span)
	if knocks < 2 || knocks > 60 {
		t.Errorf("%d connections", knocks)
	}
	card, err = a.Card(t.Context())
	party.Check(t, err)
	begun := time.Now()
	_, err = b.AddPartner(t.Context(), a.Alias, card, "")
	party.Check(t, err)
	a.Delivered(id)
	t.Logf("delivered %s after it was let in", time.Since(begun).Round(time.Millisecond))
	party.Agree(a, b, id, d)
}
