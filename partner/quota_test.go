package partner_test

import (
	"strings"
	"testing"

	"dxd/blobstore"
	"dxd/partner"
	"dxd/record"
)

func bound(n int64) *int64 { return &n }

func TestALimitOfItsOwnTakesThePlaceOfThatOfAll(t *testing.T) {
	all := partner.Quota{Stored: 10, InFlight: 20, Partials: 30, Transfers: 40, Events: 50}
	got := partner.Limits{InFlight: bound(2 << 20), Events: bound(0)}.Over(all)
	want := all
	want.InFlight, want.Events = 2<<20, 0
	if got != want {
		t.Errorf("%+v, not %+v", got, want)
	}
}

func TestLimitsThatMakeNoSenseAreRefused(t *testing.T) {
	for _, l := range []partner.Limits{
		{Stored: bound(-1)}, {Stored: bound(1<<20 - 1)}, {InFlight: bound(1)}, {Stored: bound(1 << 53)},
		{Partials: bound(-1)}, {Transfers: bound(-7)}, {Events: bound(1 << 60)},
	} {
		if err := l.Check(); record.KindOf(err) != record.Invalid {
			t.Errorf("%+v: %v", l, err)
		}
	}
	for _, l := range []partner.Limits{{}, {Stored: bound(0)}, {Stored: bound(1 << 20), Partials: bound(0), Transfers: bound(1)}} {
		if err := l.Check(); err != nil {
			t.Errorf("%+v: %v", l, err)
		}
	}
}

func TestLimitsAreKeptUntilOthersAreSet(t *testing.T) {
	h, bolt := newHome(t), newOrg(t)
	card := bolt.card(nil)
	h.has(file(t, card), "bolt")
	_, err := h.SetLimits(t.Context(), "bolt", partner.Limits{Stored: bound(5 << 20), Events: bound(0)})
	check(t, err)
	h.reopen()
	check(t, h.store.View(t.Context(), func(tx blobstore.ReadTx) error {
		raw, err := tx.Get("p/o/" + tx.Index("org", bolt.id().Key()))
		if !strings.Contains(string(raw), `,"limits":{"stored":5242880,"unacknowledged_events":0}}`) || err != nil { // docs/spec/partner.md
			t.Errorf("the row is %s (%v)", raw, err)
		}
		q, err := partner.QuotaOf(tx, bolt.id(), partner.Quota{Stored: 1, Partials: 7})
		if want := (partner.Quota{Stored: 5 << 20, Partials: 7}); q != want {
			t.Errorf("%+v", q)
		}
		return err
	}))
	check(t, h.learn(bolt.id(), file(t, bolt.after(card, nil))))
	p, err := h.ByAlias("bolt")
	check(t, err)
	if p.Limits.Stored == nil || *p.Limits.Stored != 5<<20 {
		t.Errorf("a newer card changed the limits: %+v", p.Limits)
	}
	p, err = h.SetLimits(t.Context(), "bolt", partner.Limits{})
	check(t, err)
	if p.Limits != (partner.Limits{}) {
		t.Errorf("%+v", p.Limits)
	}
	if _, err := h.SetLimits(t.Context(), "nobody", partner.Limits{}); record.KindOf(err) != record.NotFound {
		t.Errorf("%v", err)
	}
}

func TestWhatAPartnerUsesAddsUp(t *testing.T) {
	h, bolt := newHome(t), newOrg(t)
	for _, more := range []partner.Usage{{Stored: 100, Partials: 1}, {Stored: 20}, {Partials: -1}, {}} {
		check(t, h.store.Update(t.Context(), func(tx blobstore.Tx) error { return partner.Charge(tx, bolt.id(), more) }))
	}
	h.reopen()
	check(t, h.store.View(t.Context(), func(tx blobstore.ReadTx) error {
		u, err := partner.UsageOf(tx, bolt.id())
		if u != (partner.Usage{Stored: 120}) {
			t.Errorf("%+v", u)
		}
		if err != nil {
			return err
		}
		raw, err := tx.Get("u/" + tx.Index("org", bolt.id().Key()))
		if want := `{"org":"` + bolt.id().String() + `","stored":120,"partials":0}`; string(raw) != want { // docs/spec/partner.md
			t.Errorf("%s stands there, not %s", raw, want)
		}
		return err
	}))
}

func TestAMeasureIsNearFromFourFifthsOn(t *testing.T) {
	for _, test := range []struct {
		used, limit int64
		near        bool
	}{{79, 100, false}, {80, 100, true}, {120, 100, true}, {1 << 40, 0, false}, {0, 1, false}, {1, 1, true}, {3, 4, false}, {4, 4, true}} {
		if got := (partner.Measure{Used: test.used, Limit: test.limit}).Near(); got != test.near {
			t.Errorf("%d of %d: %t", test.used, test.limit, got)
		}
	}
}
