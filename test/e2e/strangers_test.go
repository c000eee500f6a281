package e2e

import (
	"testing"
	"time"
)

// A partner that shuts us out ends each connection as soon as it has seen who
// we are, at which time it is up here.
func TestWhoIsShutOutKnocksWithPauses(t *testing.T) {
	t.Parallel()
	a, b := newOrg(t, "alpha"), newOrg(t, "beta")
	l := newLink(t, a, b, false)
	a.start()
	b.start()
	card, err := b.Card(t.Context())
	check(t, err)
	_, err = a.AddPartner(t.Context(), b.alias, card, "")
	check(t, err)
	d := document{"patient", small}
	id := a.send(b, d)
	const span = 4 * time.Second
	<-time.After(span)
	// Pauses grow to half a second here; calls and documents have their own.
	knocks := l.connections()
	t.Logf("%d connections in %s", knocks, span)
	if knocks < 2 || knocks > 60 {
		t.Errorf("%d connections", knocks)
	}
	card, err = a.Card(t.Context())
	check(t, err)
	begun := time.Now()
	_, err = b.AddPartner(t.Context(), a.alias, card, "")
	check(t, err)
	a.delivered(id)
	t.Logf("delivered %s after it was let in", time.Since(begun).Round(time.Millisecond))
	agree(a, b, id, d)
}
