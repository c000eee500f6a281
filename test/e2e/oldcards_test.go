package e2e

import (
	"strings"
	"testing"

	"dxd/crypto"
	"dxd/exchange"
	"dxd/partner"
	"dxd/record"
)

// told waits until people were told all of this, and fails unless that is all.
func (o *org) told(parts ...string) {
	o.t.Helper()
	until(o.t, "the alarms at "+o.name, func() string {
		if all := o.alarms(); len(all) < len(parts) {
			return strings.Join(all, "\n")
		}
		return ""
	})
	all := o.alarms()
	for _, part := range parts {
		if !strings.Contains(strings.Join(all, "\n"), part) {
			o.t.Errorf("%s was not told %q, but %q", o.name, part, all)
		}
	}
	if len(all) != len(parts) {
		o.t.Errorf("%s was told %d times: %q", o.name, len(all), all)
	}
}

func TestAnOldCopyLearnsTheCardThatItMissed(t *testing.T) {
	renew := func(o *org) {
		_, err := o.RenewCard(o.t.Context())
		check(o.t, err)
	}
	rotate := func(role crypto.Role) func(*org) {
		return func(o *org) {
			_, err := o.RotateKey(o.t.Context(), string(role), false)
			check(o.t, err)
		}
	}
	for name, c := range map[string]struct {
		replace func(*org)
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
			a, b := newPair(t)
			a.sendSome(b, "before the copy", 1)
			a.stop()
			putBack := a.backup()
			a.start()
			c.replace(a)
			b.knows(a, 2)
			if strings.HasPrefix(name, "recipient") {
				b.knows(a, 3) // without the older key
			}
			lost, lostDocs := a.sendSome(b, "behind the copy", 2)
			old := a.number(lost[1])
			a.stop()
			putBack()
			a.dieAt = c.point
			if c.point == "" {
				a.start()
			} else {
				a.launch()
				a.startAfterDeath()
			}
			goOnAfterCatchUp(t, a, b, c.serial)
			for i, id := range lost {
				b.verifies(id, lostDocs[i])
			}
			a.told("signed with our root key, which is not known here", "our number 3 (lane doc, epoch "+old.Epoch.String()+")")
			b.told("number 3 (lane doc, epoch " + old.Epoch.String() + ")")
		})
	}
}

// A copy from before a new node key reaches nobody, and so learns nothing: the
// doctor of either side says why, and people hand a card over.
func TestAnOldCopyFromBeforeANewNodeKeyIsTakenBackByPeople(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	a.sendSome(b, "before the copy", 1)
	a.stop()
	putBack := a.backup()
	a.start()
	_, err := a.RotateKey(t.Context(), string(crypto.RoleNode), false)
	check(t, err)
	b.knows(a, 3) // without the older key
	lost, lostDocs := a.sendSome(b, "behind the copy", 2)
	old := a.number(lost[1])
	a.stop()
	putBack()
	a.start()
	if amiss := a.doctorSaysOf(b.name, "partner "+b.name, false, "the partner may not have accepted this organisation's card"); amiss != "" {
		t.Error(amiss)
	}
	if amiss := b.doctorSaysOf(a.name, "partner "+a.name, false, "another node answers at this address"); amiss != "" {
		t.Error(amiss)
	}
	if _, err := b.AddPartner(t.Context(), "", a.card(), ""); err == nil || !strings.Contains(record.Hint(err), "past serial 4") {
		t.Errorf("an older card: %v (%s)", err, record.Hint(err))
	}
	for range 4 {
		_, err := a.RenewCard(t.Context())
		check(t, err)
	}
	_, err = b.AddPartner(t.Context(), "", a.card(), "")
	check(t, err)
	goOnAfterCatchUp(t, a, b, 5)
	for i, id := range lost {
		b.verifies(id, lostDocs[i])
	}
	a.told("signed with our root key, which is not known here", "our number 3 (lane doc, epoch "+old.Epoch.String()+")")
	b.told("number 3 (lane doc, epoch " + old.Epoch.String() + ")")
}

// card is the file that `dxd card` prints.
func (o *org) card() []byte {
	o.t.Helper()
	content, err := o.Card(o.t.Context())
	check(o.t, err)
	return content
}

// goOnAfterCatchUp sends both ways, and fails unless the evidence holds on
// both sides and the card is the one that it is to be.
func goOnAfterCatchUp(t *testing.T, a, b *org, serial int64) {
	t.Helper()
	for _, s := range []struct{ from, to *org }{{a, b}, {b, a}} {
		ids, docs := s.from.sendSome(s.to, "later, from "+s.from.name, 2)
		for i, id := range ids {
			s.from.verifies(id, docs[i])
			s.to.verifies(id, docs[i])
		}
	}
	b.knows(a, serial)
	p, err := b.Partner(t.Context(), a.alias)
	check(t, err)
	if p.Serial != serial {
		t.Errorf("the card is %d, not %d", p.Serial, serial)
	}
}
