package partner_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"dxd/crypto"
	"dxd/partner"
	"dxd/record"
)

// owner is a home whose keys and card belong together, with the keyring's file.
type owner struct {
	*home
	file string
	die  partner.Point // at which the process ends
}

func newRotating(t testing.TB) *owner {
	t.Helper()
	o := &owner{home: newOwner(t), file: filepath.Join(t.TempDir(), "keyring")}
	locked, err := o.keys.Lock(nil)
	check(t, err)
	check(t, os.WriteFile(o.file, locked, 0o600))
	o.restart()
	return o
}

// restart is what a crash and a new start leave of keys and book.
func (o *owner) restart() {
	o.t.Helper()
	locked, err := os.ReadFile(o.file)
	check(o.t, err)
	o.keys, err = crypto.Unlock(locked, nil)
	check(o.t, err)
	o.Book = o.open(o.store)
	o.Save = func(file []byte) error { return os.WriteFile(o.file, file, 0o600) }
	o.Seam = func(p partner.Point) {
		if p == o.die {
			panic(p)
		}
	}
}

// dies runs do, which must not come further than the point.
func (o *owner) dies(at partner.Point, do func() error) {
	o.t.Helper()
	o.die = at
	defer func() {
		o.die = ""
		if r := recover(); r != at {
			o.t.Errorf("it came to %v", r)
		}
	}()
	check(o.t, do())
}

// agrees fails unless file, keyring and card name the same keys.
func (o *owner) agrees(what string) {
	o.t.Helper()
	locked, err := os.ReadFile(o.file)
	check(o.t, err)
	inFile, err := crypto.Unlock(locked, nil)
	check(o.t, err)
	if card := o.Self().Body; !o.keys.OnCard(card) || !inFile.OnCard(card) {
		o.t.Errorf("%s: the card has other keys than the keyring, or than its file", what)
	}
}

// partnerHas adds a partner who has our present card.
func (o *owner) partnerHas(alias string) *org {
	o.t.Helper()
	p := newOrg(o.t)
	o.has(file(o.t, p.card(nil)), alias)
	o.tells(p)
	return p
}

func (o *owner) tells(p *org) {
	o.t.Helper()
	check(o.t, o.Told(o.t.Context(), p.id(), o.Self().ID(), nil))
}

func TestARotatedKeyIsOnTheNextCard(t *testing.T) {
	for _, role := range crypto.Roles {
		o := newRotating(t)
		before := o.keys.Keys(role)
		check(t, o.Rotate(t.Context(), role))
		o.agrees(string(role))
		after := crypto.KeysOn(o.Self().Body, role)
		if o.Self().Body.Serial != 2 || len(after) != 2 || !slices.Contains(after, before[0]) {
			t.Errorf("%s: card %d has %v", role, o.Self().Body.Serial, after)
		}
		if first := after[0] == before[0]; first != (role == crypto.RoleNode) {
			t.Errorf("%s: the older key comes first: %v", role, first)
		}
	}
}

func TestADeathBetweenKeyringAndCardEndsInOneState(t *testing.T) {
	for _, role := range crypto.Roles {
		for _, at := range []partner.Point{partner.BeforeKeyring, partner.AfterKeyring, partner.AfterCard} {
			o := newRotating(t)
			o.dies(at, func() error { return o.Rotate(t.Context(), role) })
			o.restart()
			check(t, o.Settle(t.Context()))
			what := string(role) + " " + string(at)
			o.agrees(what)
			keys, serial := 2, int64(2)
			if at == partner.BeforeKeyring {
				keys, serial = 1, 1
			}
			if got := o.keys.Keys(role); len(got) != keys || o.Self().Body.Serial != serial {
				t.Errorf("%s: %d keys on card %d", what, len(got), o.Self().Body.Serial)
			}
			check(t, o.Settle(t.Context()))
			if o.Self().Body.Serial != serial {
				t.Errorf("%s: each start signs another card", what)
			}
		}
	}
}

func TestAKeyringThatIsNotKeptDoesNotChange(t *testing.T) {
	o := newRotating(t)
	full := record.Errorf(record.Full, "no room")
	o.Save = func([]byte) error { return full }
	if err := o.Rotate(t.Context(), crypto.RoleSigning); err != full {
		t.Errorf("it gave %v", err)
	}
	o.agrees("after a full disk")
	if o.Self().Body.Serial != 1 {
		t.Error("there is a new card")
	}
}

func TestARecipientKeyStaysUntilAllActivePartnersUseTheNewOne(t *testing.T) {
	o := newRotating(t)
	globex, acme := o.partnerHas("globex"), o.partnerHas("acme")
	silent := o.partnerHas("silent")
	o.set("silent", partner.Suspended)
	check(t, o.Rotate(t.Context(), crypto.RoleRecipient))
	left := func(want int, what string) {
		t.Helper()
		check(t, o.Tend(t.Context()))
		if got := len(o.keys.Keys(crypto.RoleRecipient)); got != want {
			t.Errorf("%s: %d recipient keys", what, got)
		}
		o.agrees(what)
	}
	left(2, "at once")
	o.tells(globex)
	left(2, "when one of two has the card")
	o.restart()
	left(2, "after a restart")
	o.tells(acme)
	left(1, "when both have")
	if o.Self().Body.Serial != 3 {
		t.Errorf("the card has serial %d", o.Self().Body.Serial)
	}
	o.set("silent", partner.Active)
	left(1, "when another comes back")
	if waits, err := o.WaitsFor(t.Context(), crypto.RoleRecipient); err != nil || len(waits) != 1 || waits[0].Org != silent.id() {
		t.Errorf("waits for %v, %v", waits, err)
	}
}

func TestANodeServesOnceAllActivePartnersKnowIt(t *testing.T) {
	o := newRotating(t)
	globex := o.partnerHas("globex")
	old := o.keys.Node()
	check(t, o.Rotate(t.Context(), crypto.RoleNode))
	if err := o.Rotate(t.Context(), crypto.RoleNode); record.KindOf(err) != record.Conflict {
		t.Errorf("a second one gives %v", err)
	}
	check(t, o.Tend(t.Context()))
	if o.keys.Node() != old {
		t.Fatal("it serves before the partner knows it")
	}
	o.tells(globex)
	switched := false
	o.OnKeys = func() error {
		switched = o.keys.Node() != old && slices.Contains(o.Self().Body.Nodes, o.keys.Node())
		return nil
	}
	o.dies(partner.AfterKeyring, func() error { return o.Tend(t.Context()) })
	o.restart()
	if o.keys.Node() == old {
		t.Error("after a crash the old one serves again")
	}
	check(t, o.Tend(t.Context()))
	o.agrees("after the switch")
	if card := o.Self().Body; len(card.Nodes) != 1 || card.Nodes[0] == old {
		t.Errorf("the card has the nodes %v", card.Nodes)
	}
	if switched {
		t.Error("OnKeys was called after the process had died")
	}
}

func TestANodeCanServeWithoutWaiting(t *testing.T) {
	o := newRotating(t)
	o.partnerHas("globex")
	old := o.keys.Node()
	if err := o.SwitchNode(t.Context()); record.KindOf(err) != record.Conflict {
		t.Errorf("without a new one: %v", err)
	}
	check(t, o.Rotate(t.Context(), crypto.RoleNode))
	told := false
	o.OnKeys = func() error {
		told = o.keys.Node() != old && slices.Contains(o.Self().Body.Nodes, old)
		return nil
	}
	check(t, o.SwitchNode(t.Context()))
	o.agrees("after the switch")
	if !told || o.keys.Node() == old {
		t.Error("the network was not told before the card without the old node")
	}
}

func TestAnOlderSigningKeyGoesWithTheNextCard(t *testing.T) {
	o := newRotating(t)
	first := o.keys.Keys(crypto.RoleSigning)[0]
	check(t, o.Rotate(t.Context(), crypto.RoleSigning))
	check(t, o.Tend(t.Context()))
	if o.Self().Body.Serial != 2 {
		t.Error("it got a card of its own")
	}
	check(t, o.Rotate(t.Context(), crypto.RoleSigning))
	if keys := o.keys.Keys(crypto.RoleSigning); len(keys) != 2 || slices.Contains(keys, first) {
		t.Errorf("after another rotation: %v of %v", keys, first)
	}
	check(t, o.Renew(t.Context()))
	if keys := o.keys.Keys(crypto.RoleSigning); len(keys) != 1 {
		t.Errorf("after a renewal: %v", keys)
	}
	o.agrees("after all")
}
