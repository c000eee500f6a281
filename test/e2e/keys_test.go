package e2e

import (
	"fmt"
	"strings"
	"testing"

	"dxd/crypto"
	"dxd/exchange"
	"dxd/internal/statedir"
	"dxd/partner"
)

func TestAKeyIsRotatedWhileADocumentIsOnItsWay(t *testing.T) {
	for _, role := range crypto.Roles {
		t.Run(string(role), func(t *testing.T) {
			t.Parallel()
			rotateUnderWay(t, role)
		})
	}
}

func rotateUnderWay(t *testing.T, role crypto.Role) {
	a, b := newOrg(t, "alpha"), newOrg(t, "beta")
	c := newChain(t, a, b)
	l := newLink(t, a, b, false)
	for _, o := range []*org{a, b} {
		o.anchorAt(c.url)
		o.start()
	}
	pair(a, b)
	before := exchangeDocuments(a, b)
	taken := map[sent][]byte{}
	for _, s := range before[:2] {
		c.proven(s)
		_, taken[s] = s.from.evidence(s.id)
	}

	d := document{seed: "under way", size: 8 << 20}
	held := l.hold(d.size / 2)
	flying := sent{from: a, to: b, document: d, id: a.send(b, d)}
	within(t, patience, "the middle", held)
	for _, o := range []*org{a, b} {
		rotated, err := o.RotateKey(t.Context(), string(role), false)
		check(t, err)
		if rotated.Key == o.keys.Keys(role)[0] || rotated.Serial != 2 {
			t.Errorf("%s: %+v", o.name, rotated)
		}
	}
	l.release()
	a.delivered(flying.id)
	b.keeps(flying.id, d)
	b.knows(a, 2)
	a.knows(b, 2)

	for _, s := range append(before, append(exchangeDocuments(a, b), flying)...) {
		c.proven(s) // of those from before, too, whose evidence is taken now
	}
	for s, evidence := range taken {
		if r := c.verify(s.document, evidence, s); r.ExitCode() != 0 {
			t.Errorf("evidence from before the rotation gives %d: %+v", r.ExitCode(), r.Checks)
		}
	}
	for _, o := range []*org{a, b} {
		o.hasNewKey(role)
	}
}

// knows waits until the organisation has a card of the other, or a later one.
func (o *org) knows(other *org, serial int64) {
	o.t.Helper()
	until(o.t, "the card of "+other.name, func() string {
		p, err := o.Partner(o.t.Context(), other.alias)
		check(o.t, err)
		if p.Serial < serial {
			return fmt.Sprintf("%s has card %d", o.name, p.Serial)
		}
		return ""
	})
}

// onDisk is the keyring as its file has it.
func (o *org) onDisk() *crypto.Keyring {
	o.t.Helper()
	d, err := statedir.Open(o.dir)
	check(o.t, err)
	keys, err := unlock(d)
	check(o.t, err)
	return keys
}

// hasNewKey waits until the older key of the role is gone, where it goes by
// itself: one that signed goes with the next card, and an account when the
// chain has said what it holds.
func (o *org) hasNewKey(role crypto.Role) {
	o.t.Helper()
	stays := role == crypto.RoleSigning || role == crypto.RoleAccount && o.config["anchor.rpc"] == ""
	until(o.t, "the end of the older key", func() string {
		keys := o.onDisk().Keys(role)
		if stays || len(keys) == 1 && keys[0] != o.keys.Keys(role)[0] {
			return ""
		}
		return fmt.Sprintf("%s has %d %s keys", o.name, len(keys), role)
	})
	if keys := o.onDisk().Keys(role); keys[0] == o.keys.Keys(role)[0] {
		o.t.Errorf("%s: the older %s key is in use", o.name, role)
	}
}

func TestADeathBetweenKeyringAndCardEndsInOneState(t *testing.T) {
	for _, role := range crypto.Roles {
		for _, point := range []partner.Point{partner.BeforeKeyring, partner.AfterKeyring, partner.AfterCard} {
			t.Run(fmt.Sprint(role, " ", point), func(t *testing.T) {
				t.Parallel()
				dieRotating(t, role, point)
			})
		}
	}
}

func dieRotating(t *testing.T, role crypto.Role, point partner.Point) {
	a, b := newOrg(t, "alpha"), newOrg(t, "beta")
	a.dieAt = exchange.Point(point)
	a.start()
	b.start()
	pair(a, b)
	if _, err := a.RotateKey(t.Context(), string(role), false); err == nil {
		t.Error("the caller got an answer from the dead")
	}
	within(t, patience, "death", a.process.gone)
	if !a.process.died() {
		t.Fatalf("it ended otherwise: %s", a.process.log)
	}
	a.dieAt = ""
	a.start()
	if point == partner.BeforeKeyring { // nothing has happened, and it can be asked for again
		_, err := a.RotateKey(t.Context(), string(role), false)
		check(t, err)
	}
	d := document{seed: "after " + string(point), size: small}
	for _, s := range []sent{{from: a, to: b, document: d}, {from: b, to: a, document: d}} {
		s.id = s.from.send(s.to, d)
		s.from.delivered(s.id)
		s.to.keeps(s.id, d)
	}
	b.knows(a, 2)
	a.hasNewKey(role)
}

func TestAnAccountThatIsRotatedLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	a, b := newOrg(t, "alpha"), newOrg(t, "beta")
	c := newChain(t, a, b)
	c.stop() // so that there is something from before when it comes back
	for _, o := range []*org{a, b} {
		o.anchorAt(c.url)
		o.start()
	}
	pair(a, b)
	before := exchangeDocuments(a, b)
	rotated, err := a.RotateKey(t.Context(), string(crypto.RoleAccount), false)
	check(t, err)
	during := exchangeDocuments(a, b)
	c.start()
	for _, s := range append(before, during...) {
		c.proven(s)
	}
	a.hasNewKey(crypto.RoleAccount) // the older one is gone, and what it held has come to the new one
	s, err := a.AnchorStatus(t.Context())
	check(t, err)
	if s.Account.String() != rotated.Key || len(s.Balance) < 18 || len(s.Older) != 0 {
		t.Errorf("the status is %+v", s)
	}
	b.knows(a, 3)
	after := exchangeDocuments(a, b)
	for _, s := range append(after, before...) {
		c.proven(s)
	}
	for _, s := range after {
		if e, _ := a.evidence(s.id); s.from == a && e.Proofs[0].Anchor.Account.String() != rotated.Key {
			t.Errorf("a record from after the rotation is anchored by %s", e.Proofs[0].Anchor.Account)
		}
	}
}

func TestANodeKeyWaitsForPartnersUnlessTold(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	first := document{seed: "before", size: small}
	a.delivered(a.send(b, first))
	until(t, "that beta has told which card it has", func() string { return a.doctorSays("partner "+b.name, true, "connected") })
	b.stop()
	rotated, err := a.RotateKey(t.Context(), string(crypto.RoleNode), false)
	check(t, err)
	if len(rotated.WaitsFor) != 1 || rotated.WaitsFor[0] != b.name {
		t.Errorf("waits for %v", rotated.WaitsFor)
	}
	if amiss := a.doctorSays("node key", true, b.name); amiss != "" {
		t.Error(amiss)
	}
	a.stop()
	a.start() // it still waits
	if s, err := a.Self(t.Context()); err != nil || s.Peer != a.keys.Node() {
		t.Errorf("%s serves, %v", s.Peer, err)
	}
	if _, err := a.RotateKey(t.Context(), string(crypto.RoleNode), true); err != nil {
		t.Fatal(err)
	}
	if s, err := a.Self(t.Context()); err != nil || s.Peer.String() != rotated.Key {
		t.Errorf("%s serves, %v", s.Peer, err)
	}
	b.start()
	// Neither can call the other, until a person brings the card.
	card, err := a.Card(t.Context())
	check(t, err)
	if amiss := a.doctorSays("partner "+b.name, false, "dxd card"); amiss != "" {
		t.Error(amiss)
	}
	_, err = b.AddPartner(t.Context(), "", card, "")
	check(t, err)
	second := document{seed: "after", size: small}
	for _, s := range []sent{{from: a, to: b}, {from: b, to: a}} {
		id := s.from.send(s.to, second)
		s.from.delivered(id)
		s.to.keeps(id, second)
	}
}

// doctorSays tells what is amiss unless a check says so.
func (o *org) doctorSays(name string, ok bool, text string) string {
	o.t.Helper()
	return o.doctorSaysOf("", name, ok, text)
}

// doctorSaysOf is doctorSays of a partner that is examined thoroughly.
func (o *org) doctorSaysOf(alias, name string, ok bool, text string) string {
	o.t.Helper()
	d, err := o.Doctor(o.t.Context(), alias)
	check(o.t, err)
	for _, c := range d.Checks {
		if c.Name == name && c.OK == ok && strings.Contains(c.Detail, text) {
			return ""
		}
	}
	return fmt.Sprintf("%s does not say %q: %+v", o.name, text, d.Checks)
}

func TestADeathWhileTheNodeChangesEndsInOneState(t *testing.T) {
	for _, point := range []partner.Point{partner.BeforeKeyring, partner.AfterKeyring, partner.AfterCard} {
		t.Run(string(point), func(t *testing.T) {
			t.Parallel()
			a, b := newPair(t)
			a.delivered(a.send(b, document{seed: "before", size: small}))
			b.stop()
			_, err := a.RotateKey(t.Context(), string(crypto.RoleNode), false)
			check(t, err)
			a.stop()
			a.dieAt = exchange.Point(point)
			a.start()
			b.start()
			within(t, patience, "death", a.process.gone) // once b has taken the card
			a.dieAt = ""
			a.start()
			d := document{seed: "after", size: small}
			for _, s := range []sent{{from: a, to: b}, {from: b, to: a}} {
				id := s.from.send(s.to, d)
				s.from.delivered(id)
				s.to.keeps(id, d)
			}
			a.hasNewKey(crypto.RoleNode)
			b.knows(a, 3)
		})
	}
}

func TestANewPlaceReachesPartnersWithoutTheRootKey(t *testing.T) {
	for what, change := range map[string]func(b *org, port int){
		"another port": func(b *org, port int) {
			b.config["listen"] = fmt.Sprintf(`["/ip4/127.0.0.1/tcp/%d"]`, port)
		},
		"another address to announce": func(b *org, port int) {
			b.config["announce"] = fmt.Sprintf(`["/ip4/127.0.0.1/tcp/%d", "/dns4/localhost/tcp/%d"]`, b.port, port)
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			a, b := newPair(t)
			a.delivered(a.send(b, document{seed: "before", size: small}))
			b.stop()
			port := freePort(t)
			change(b, port)
			b.start()
			until(t, "that alpha knows the new place", func() string {
				p, err := a.Partner(t.Context(), b.name)
				check(t, err)
				if said := fmt.Sprint(p.Addresses); !strings.Contains(said, fmt.Sprint("/tcp/", port)) {
					return said
				}
				if p.Serial != 1 {
					t.Errorf("there is card %d", p.Serial)
				}
				return ""
			})
			a.stop()
			a.start() // which has to dial
			a.delivered(a.send(b, document{seed: "after", size: small}))
		})
	}
}
