package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"dxd/api/apitype"
	"dxd/test/party"
)

// examined is what the doctor says under a name.
func examined(o *party.Org, name string) apitype.Check {
	o.T.Helper()
	d, err := o.Doctor(o.T.Context(), "")
	party.Check(o.T, err)
	i := slices.IndexFunc(d.Checks, func(c apitype.Check) bool { return c.Name == name })
	if i < 0 {
		o.T.Fatalf("the doctor says nothing of %s: %+v", name, d.Checks)
	}
	return d.Checks[i]
}

func TestAnAccountWithoutCoinIsToldOnceAndGoesOnOnceItHasSome(t *testing.T) {
	t.Parallel()
	rich, poor := party.NewOrg(t, "rich"), party.NewOrg(t, "poor")
	c := party.NewChain(t, rich)
	poor.AnchorAt(c.URL)
	poor.Start()
	n, err := poor.Notarize(t.Context(), "a.txt", "text/plain", strings.NewReader("hello"), 5)
	party.Check(t, err)
	account := poor.Keys.Account().String()
	wants := func(where, said string) {
		t.Helper()
		if !strings.Contains(said, "account "+account+" holds 0 of the chain's coin (ether), and needs up to 0.0") {
			t.Errorf("%s says %q", where, said)
		}
	}
	wants("the status", poor.AnchorTrouble())
	poor.Alarmed(account, "holds 0 ", "needs up to 0.0")
	for _, name := range []string{"balance", "anchoring"} {
		checked := examined(poor, name)
		if checked.OK {
			t.Errorf("%s is well", name)
		}
		wants("the doctor", checked.Detail)
	}
	c.Stop()
	c.Start(poor.Keys.Account())
	if v := poor.WaitFor(party.Patience, n.ID, "anchored"); v.Anchor != "final" {
		t.Errorf("with coin it is %s", v.Anchor)
	}
	party.Until(t, "a status without trouble", func() string {
		s, err := poor.AnchorStatus(t.Context())
		party.Check(t, err)
		if s.Error == "" && s.Final == 2 { // the notarisation and the card
			return ""
		}
		return fmt.Sprintf("%+v", s)
	})
	for _, name := range []string{"balance", "anchoring"} {
		if checked := examined(poor, name); !checked.OK {
			t.Errorf("%s: %s", name, checked.Detail)
		}
	}
	poor.Alarmed(account) // and not once more
}
