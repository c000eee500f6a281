package e2e

import (
	"testing"
	"time"

	"dxd/test/party"
)

// The doctor is also asked by monitors: a partner that is away is only worth an
// alarm once work has waited for it for long, and one that was suspended never.
func TestTheDoctorIsWellWhileAPartnerIsAwayForAWhile(t *testing.T) {
	t.Parallel()
	a, b := party.NewPair(t)
	a.Delivered(a.SendDocument(b, party.Document{Seed: "before", Size: party.Small}))
	b.Stop()
	party.Until(t, "that beta is away", func() string { return doctorSays(a, "partner "+b.Name, true, "nothing waits for it") })
	a.SendDocument(b, party.Document{Seed: "waits", Size: party.Small})
	if amiss := doctorSays(a, "partner "+b.Name, true, "waits for it since"); amiss != "" {
		t.Error(amiss)
	}
	a.StepClock(25 * time.Hour)
	party.Until(t, "that work has waited for long", func() string { return doctorSays(a, "partner "+b.Name, false, "for more than a day") })
	_, err := a.SuspendPartner(t.Context(), b.Name)
	party.Check(t, err)
	if amiss := doctorSays(a, "partner "+b.Name, true, "suspended"); amiss != "" {
		t.Error(amiss)
	}
}
