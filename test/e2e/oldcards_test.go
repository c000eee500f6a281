package e2e

import (
	"strings"
	"testing"

	"dxd/crypto"
	"dxd/exchange"
	"dxd/partner"
	"dxd/record"
	"dxd/test/party"
)

// told waits until people were told all of this, and fails unless that is all.
func told(o *party.Org, parts ...string) {
	o.T.Helper()
	party.Until(o.T, "the alarms at "+o.Name, func() string {
		if all := o.Alarms(); len(all) < len(parts) {
			return strings.Join(all, "\n")
		}
		return ""
	})
	all := o.Alarms()
	for _, part := range parts {
		if !strings.Contains(strings.Join(all, "\n"), part) {
			o.T.Errorf("%s was not told %q, but %q", o.Name, part, all)
		}
	}
	if len(all) != len(parts) {
		o.T.Errorf("%s was told %d times: %q", o.Name, len(all), all)
	}
}

func TestAnOldCopyLearnsTheCardThatItMissed(t *testing.T) {
	renew := func(o *party.Org) {
		_, err := o.RenewCard(o.T.Context())
		party.Check(o.T, err)
	}
	rotate := func(role crypto.Role) func(*party.Org) {
		return func(o *party.Org) {
			_, err := o.RotateKey(o.T.Context(), string(role), false)
			party.Check(o.T, err)
		}
	}
	for name, c := range map[string]struct {
		replace func(*party.Org)
		point   exchange.Point
		serial  int64 // of the card in the end
	}{
		"renewed":                            {renew, "", 2},
		"signing key rotated":                {rotate(crypto.RoleSigning), "", 4},
		"recipient key rotated":              {rotate(crypto.RoleRecipient), "", 5},
		"it dies before it takes the card":   {rotate(crypto.RoleSigning), exchange.Point(partner.BeforeCatchUp), 4},
		"it dies when it has taken the card": {rotate(crypto.RoleSigning), exchange.Point(partner.AfterCatchUp), 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := party.NewPair(t)
			sendSome(a, b, "before the copy", 1)
			a.Stop()
			putBack := a.Backup()
			a.Start()
			c.replace(a)
			knows(b, a, 2)
			if strings.HasPrefix(name, "recipient") {
				knows(b, a, 3) // without the older key
			}
			lost, lostDocs := sendSome(a, b, "behind the copy", 2)
			old := a.Number(lost[1])
			a.Stop()
			putBack()
			a.DieAt = c.point
			if c.point == "" {
				a.Start()
			} else {
				a.Launch()
				a.StartAfterDeath()
			}
			goOnAfterCatchUp(t, a, b, c.serial)
			for i, id := range lost {
				verifies(b, id, lostDocs[i])
			}
			told(a, "signed with our root key, which is not known here", "our number 3 (lane doc, epoch "+old.Epoch.String()+")")
			told(b, "number 3 (lane doc, epoch "+old.Epoch.String()+")")
		})
	}
}

// A copy from before a new node key reaches nobody, and so learns nothing: the
// doctor of either side says why, and people hand a card over.
func TestAnOldCopyFromBeforeANewNodeKeyIsTakenBackByPeople(t *testing.T) {
	t.Parallel()
	a, b := party.NewPair(t)
	sendSome(a, b, "before the copy", 1)
	a.Stop()
	putBack := a.Backup()
	a.Start()
	_, err := a.RotateKey(t.Context(), string(crypto.RoleNode), false)
	party.Check(t, err)
	knows(b, a, 3) // without the older key
	lost, lostDocs := sendSome(a, b, "behind the copy", 2)
	old := a.Number(lost[1])
	a.Stop()
	putBack()
	a.Start()
	if amiss := doctorSaysOf(a, b.Name, "partner "+b.Name, false, "the partner may not have accepted this organisation's card"); amiss != "" {
		t.Error(amiss)
	}
	if amiss := doctorSaysOf(b, a.Name, "partner "+a.Name, false, "another node answers at this address"); amiss != "" {
		t.Error(amiss)
	}
	if _, err := b.AddPartner(t.Context(), "", card(a), ""); err == nil || !strings.Contains(record.Hint(err), "past serial 4") {
		t.Errorf("an older card: %v (%s)", err, record.Hint(err))
	}
	for range 4 {
		_, err := a.RenewCard(t.Context())
		party.Check(t, err)
	}
	_, err = b.AddPartner(t.Context(), "", card(a), "")
	party.Check(t, err)
	goOnAfterCatchUp(t, a, b, 5)
	for i, id := range lost {
		verifies(b, id, lostDocs[i])
	}
	told(a, "signed with our root key, which is not known here", "our number 3 (lane doc, epoch "+old.Epoch.String()+")")
	told(b, "number 3 (lane doc, epoch "+old.Epoch.String()+")")
}

// card is the file that `dxd card` prints.
func card(o *party.Org) []byte {
	o.T.Helper()
	content, err := o.Card(o.T.Context())
	party.Check(o.T, err)
	return content
}

// goOnAfterCatchUp sends both ways, and fails unless the evidence holds on
// both sides and the card is the one that it is to be.
func goOnAfterCatchUp(t *testing.T, a, b *party.Org, serial int64) {
	t.Helper()
	for _, s := range []struct{ from, to *party.Org }{{a, b}, {b, a}} {
		ids, docs := sendSome(s.from, s.to, "later, from "+s.from.Name, 2)
		for i, id := range ids {
			verifies(s.from, id, docs[i])
			verifies(s.to, id, docs[i])
		}
	}
	knows(b, a, serial)
	p, err := b.Partner(t.Context(), a.Alias)
	party.Check(t, err)
	if p.Serial != serial {
		t.Errorf("the card is %d, not %d", p.Serial, serial)
	}
}
