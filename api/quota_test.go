package api_test

import (
	"net/http"
	"strings"
	"testing"

	"dxd/api/apitype"
	"dxd/record"
)

func TestAPartnerIsGivenBoundsOfItsOwn(t *testing.T) {
	h := newHouse(t)
	h.pair("bob")
	c, ctx := h.client(), t.Context()
	stored, none := int64(5<<20), int64(0)
	p, err := c.SetQuota(ctx, "bob", apitype.Limits{Stored: &stored, UnacknowledgedEvents: &none})
	check(t, err)
	want := []apitype.Quota{
		{Name: "stored", Limit: stored, Own: true}, {Name: "in_flight"}, {Name: "partials"}, {Name: "transfers_per_minute"},
		{Name: "unacknowledged_events", Own: true},
	}
	if len(p.Quotas) != len(want) {
		t.Fatalf("%+v", p.Quotas)
	}
	for i, q := range p.Quotas {
		if q != want[i] {
			t.Errorf("%+v, not %+v", q, want[i])
		}
	}
	// What is left out goes back to the configuration.
	p, err = c.SetQuota(ctx, "bob", apitype.Limits{})
	check(t, err)
	for _, q := range p.Quotas {
		if q.Own {
			t.Errorf("%+v", q)
		}
	}
	small, below := int64(1000), int64(-1)
	for what, l := range map[string]apitype.Limits{"too small": {Stored: &small}, "below zero": {Partials: &below}} {
		if _, err := c.SetQuota(ctx, "bob", l); record.KindOf(err) != record.Invalid {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := c.SetQuota(ctx, "nobody", apitype.Limits{}); record.KindOf(err) != record.NotFound {
		t.Errorf("nobody: %v", err)
	}
	all, err := c.Partners(ctx)
	check(t, err)
	if len(all) != 1 || all[0].Quotas != nil {
		t.Errorf("a listing shows %+v", all)
	}
}

func TestOnlyAnAdminSetsAQuota(t *testing.T) {
	h := newHouse(t)
	h.pair("bob")
	for _, token := range []string{sendToken, readToken, ""} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+h.tcp+"/v1/partners/bob/quota", strings.NewReader(`{"stored":0}`))
		check(t, err)
		r.Header.Set("Content-Type", "application/json")
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		got, err := h.web.RoundTrip(r)
		check(t, err)
		got.Body.Close()
		if got.StatusCode != http.StatusForbidden && got.StatusCode != http.StatusUnauthorized {
			t.Errorf("%q: %s", token, got.Status)
		}
	}
}
