package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"dxd/api/apitype"
)

// examined is what the doctor says under a name.
func (o *org) examined(name string) apitype.Check {
	o.t.Helper()
	d, err := o.Doctor(o.t.Context(), "")
	check(o.t, err)
	i := slices.IndexFunc(d.Checks, func(c apitype.Check) bool { return c.Name == name })
	if i < 0 {
		o.t.Fatalf("the doctor says nothing of %s: %+v", name, d.Checks)
	}
	return d.Checks[i]
}

func TestAnAccountWithoutCoinIsToldOnceAndGoesOnOnceItHasSome(t *testing.T) {
	t.Parallel()
	rich, poor := newOrg(t, "rich"), newOrg(t, "poor")
	c := newChain(t, rich)
	poor.anchorAt(c.url)
	poor.start()
	n, err := poor.Notarize(t.Context(), "a.txt", "text/plain", strings.NewReader("hello"), 5)
	check(t, err)
	account := poor.keys.Account().String()
	wants := func(where, said string) {
		t.Helper()
		if !strings.Contains(said, "account "+account+" holds 0 of the chain's coin (ether), and needs up to 0.0") {
			t.Errorf("%s says %q", where, said)
		}
	}
	wants("the status", poor.anchorTrouble())
	poor.alarmed(account, "holds 0 ", "needs up to 0.0")
	for _, name := range []string{"balance", "anchoring"} {
		checked := poor.examined(name)
		if checked.OK {
			t.Errorf("%s is well", name)
		}
		wants("the doctor", checked.Detail)
	}
	c.stop()
	c.start(poor.keys.Account())
	if v := poor.wait(patience, n.ID, "anchored"); v.Anchor != "final" {
		t.Errorf("with coin it is %s", v.Anchor)
	}
	until(t, "a status without trouble", func() string {
		s, err := poor.AnchorStatus(t.Context())
		check(t, err)
		if s.Error == "" && s.Final == 2 { // the notarisation and the card
			return ""
		}
		return fmt.Sprintf("%+v", s)
	})
	for _, name := range []string{"balance", "anchoring"} {
		if checked := poor.examined(name); !checked.OK {
			t.Errorf("%s: %s", name, checked.Detail)
		}
	}
	poor.alarmed(account) // and not once more
}
