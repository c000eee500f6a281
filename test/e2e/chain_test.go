package e2e

import (
	"fmt"
	"testing"

	"dxd/test/party"
)

func TestAChainThatIsAwayDelaysOnlyProofs(t *testing.T) {
	t.Parallel()
	a, b := party.NewOrg(t, "alpha"), party.NewOrg(t, "beta")
	c := party.NewChain(t, a, b)
	c.Stop()
	for _, o := range []*party.Org{a, b} {
		o.AnchorAt(c.URL)
		o.Start()
	}
	party.Pair(a, b)
	all := party.ExchangeDocuments(a, b)
	for _, o := range []*party.Org{a, b} {
		said := o.AnchorTrouble()
		t.Logf("%s says: %s", o.Name, said)
		s, err := o.AnchorStatus(t.Context())
		party.Check(t, err)
		if s.Pending != int64(len(all))+1 || // and the own card
			s.Submitted+s.Included+s.Final != 0 {
			t.Errorf("%s: %+v", o.Name, s)
		}
	}
	for _, s := range all {
		s.To.Keeps(s.ID, s.Document)
	}
	c.Start()
	for _, s := range all {
		c.Proven(s)
	}
	for _, o := range []*party.Org{a, b} {
		party.Until(t, "a status without trouble", func() string {
			s, err := o.AnchorStatus(t.Context())
			party.Check(t, err)
			if s.Error == "" && s.Final == int64(len(all))+1 && s.Pending+s.Submitted+s.Included == 0 {
				return ""
			}
			return fmt.Sprintf("%+v", s)
		})
	}
}
