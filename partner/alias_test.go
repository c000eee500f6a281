package partner_test

import (
	"testing"

	"dxd/partner"
	"dxd/record"
)

func TestProposedAliasIsOneAndIsFree(t *testing.T) {
	h, globex := newHome(t), newOrg(t)
	for name, want := range map[string]string{
		"Bolt": "bolt", "Globex AG": "globex-ag", "  Müller & Söhne  ": "m-ller-s-hne", "東京": "partner", "": "partner",
		"A name that is very much longer than anybody would type": "a-name-that-is-very-much-longer-than-any",
		"-- 3M --": "3m",
	} {
		got := h.ProposeAlias(name)
		if got != want {
			t.Errorf("%q gives %q, not %q", name, got, want)
		}
		check(t, partner.CheckAlias(got))
	}
	h.has(file(t, globex.card(nil)), "globex")
	if got := h.ProposeAlias("Globex"); got != "globex-2" {
		t.Errorf("%q is proposed beside a partner of that name", got)
	}
}

func TestMayAddSaysWhatAddWouldAndChangesNothing(t *testing.T) {
	h, globex := newHome(t), newOrg(t)
	h.has(file(t, newOrg(t).card(nil)), "acme")
	theirs := file(t, globex.card(nil))
	for _, c := range []struct {
		card  []byte
		alias string
	}{{theirs, ""}, {theirs, "not an alias"}, {theirs, "acme"}, {file(t, h.own.card(nil)), "own"}, {theirs, "globex"}} {
		opened, err := record.OpenCardFile(c.card)
		check(t, err)
		may := h.MayAdd(t.Context(), opened, c.alias)
		if n := len(h.List()); n != 1 {
			t.Fatalf("as %q: %d partners", c.alias, n)
		}
		_, err = h.Add(t.Context(), opened, c.alias)
		if (may == nil) != (err == nil) || may != nil && may.Error() != err.Error() {
			t.Errorf("as %q it may: %v, and it does: %v", c.alias, may, err)
		}
	}
	if _, err := h.ByAlias("globex"); err != nil {
		t.Error(err)
	}
}
