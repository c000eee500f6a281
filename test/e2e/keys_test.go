package e2e

import (
	"fmt"
	"strings"
	"testing"

	"dxd/crypto"
	"dxd/exchange"
	"dxd/internal/statedir"
	"dxd/partner"
	"dxd/test/party"
)

func TestAKeyIsRotatedWhileADocumentIsOnItsWay(t *testing.T) {
	t.Parallel()
	for _, role := range crypto.Roles {
		t.Run(string(role), func(t *testing.T) {
			t.Parallel()
			rotateUnderWay(t, role)
		})
	}
}

func rotateUnderWay(t *testing.T, role crypto.Role) {
	a, b := party.NewOrg(t, "alpha"), party.NewOrg(t, "beta")
	c := party.NewChain(t, a, b)
	l := party.NewLink(t, a, b, false)
	for _, o := range []*party.Org{a, b} {
		o.AnchorAt(c.URL)
		o.Start()
	}
	party.Pair(a, b)
	before := party.ExchangeDocuments(a, b)
	taken := map[party.Sent][]byte{}
	for _, s := range before[:2] {
		c.Proven(s)
		_, taken[s] = s.From.ParsedEvidence(s.ID)
	}

	d := party.Document{Seed: "under way", Size: 8 << 20}
	held := l.Hold(d.Size / 2)
	flying := party.Sent{From: a, To: b, Document: d, ID: a.SendDocument(b, d)}
	party.Within(t, party.Patience, "the middle", held)
	for _, o := range []*party.Org{a, b} {
		rotated, err := o.RotateKey(t.Context(), string(role), false)
		party.Check(t, err)
		if rotated.Key == o.Keys.Keys(role)[0] || rotated.Serial != 2 {
			t.Errorf("%s: %+v", o.Name, rotated)
		}
	}
	l.Release()
	a.Delivered(flying.ID)
	b.Keeps(flying.ID, d)
	knows(b, a, 2)
	knows(a, b, 2)

	for _, s := range append(before, append(party.ExchangeDocuments(a, b), flying)...) {
		c.Proven(s) // of those from before, too, whose evidence is taken now
	}
	for s, evidence := range taken {
		if r := c.Verify(s.Document, evidence, s); r.ExitCode() != 0 {
			t.Errorf("evidence from before the rotation gives %d: %+v", r.ExitCode(), r.Checks)
		}
	}
	for _, o := range []*party.Org{a, b} {
		hasNewKey(o, role)
	}
}

// knows waits until the organisation has a card of the other, or a later one.
func knows(o *party.Org, other *party.Org, serial int64) {
	o.T.Helper()
	party.Until(o.T, "the card of "+other.Name, func() string {
		p, err := o.Partner(o.T.Context(), other.Alias)
		party.Check(o.T, err)
		if p.Serial < serial {
			return fmt.Sprintf("%s has card %d", o.Name, p.Serial)
		}
		return ""
	})
}

// onDisk is the keyring as its file has it.
func onDisk(o *party.Org) *crypto.Keyring {
	o.T.Helper()
	d, err := statedir.Open(o.Dir)
	party.Check(o.T, err)
	keys, err := party.Unlock(d)
	party.Check(o.T, err)
	return keys
}

// hasNewKey waits until the older key of the role is gone, where it goes by
// itself: one that signed goes with the next card, and an account when the
// chain has said what it holds.
func hasNewKey(o *party.Org, role crypto.Role) {
	o.T.Helper()
	stays := role == crypto.RoleSigning || role == crypto.RoleAccount && o.Config["anchor.rpc"] == ""
	party.Until(o.T, "the end of the older key", func() string {
		keys := onDisk(o).Keys(role)
		if stays || len(keys) == 1 && keys[0] != o.Keys.Keys(role)[0] {
			return ""
		}
		return fmt.Sprintf("%s has %d %s keys", o.Name, len(keys), role)
	})
	if keys := onDisk(o).Keys(role); keys[0] == o.Keys.Keys(role)[0] {
		o.T.Errorf("%s: the older %s key is in use", o.Name, role)
	}
}

func TestADeathBetweenKeyringAndCardEndsInOneState(t *testing.T) {
	t.Parallel()
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
	a, b := party.NewOrg(t, "alpha"), party.NewOrg(t, "beta")
	a.DieAt = exchange.Point(point)
	a.Start()
	b.Start()
	party.Pair(a, b)
	if _, err := a.RotateKey(t.Context(), string(role), false); err == nil {
		t.Error("the caller got an answer from the dead")
	}
	party.Within(t, party.Patience, "death", a.Process.Gone)
	if !a.Process.Died() {
		t.Fatalf("it ended otherwise: %s", a.Process.Log)
	}
	a.DieAt = ""
	a.Start()
	if point == partner.BeforeKeyring { // nothing has happened, and it can be asked for again
		_, err := a.RotateKey(t.Context(), string(role), false)
		party.Check(t, err)
	}
	d := party.Document{Seed: "after " + string(point), Size: party.Small}
	for _, s := range []party.Sent{{From: a, To: b, Document: d}, {From: b, To: a, Document: d}} {
		s.ID = s.From.SendDocument(s.To, d)
		s.From.Delivered(s.ID)
		s.To.Keeps(s.ID, d)
	}
	knows(b, a, 2)
	hasNewKey(a, role)
}

func TestAnAccountThatIsRotatedLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	a, b := party.NewOrg(t, "alpha"), party.NewOrg(t, "beta")
	c := party.NewChain(t, a, b)
	c.Stop() // so that there is something from before when it comes back
	for _, o := range []*party.Org{a, b} {
		o.AnchorAt(c.URL)
		o.Start()
	}
	party.Pair(a, b)
	before := party.ExchangeDocuments(a, b)
	rotated, err := a.RotateKey(t.Context(), string(crypto.RoleAccount), false)
	party.Check(t, err)
	during := party.ExchangeDocuments(a, b)
	c.Start()
	for _, s := range append(before, during...) {
		c.Proven(s)
	}
	hasNewKey(a, crypto.RoleAccount) // the older one is gone, and what it held has come to the new one
	// The file of the keyring is written first: the queue goes on with the one
	// account a moment later.
	party.Until(t, "anchoring with the new account alone", func() string {
		s, err := a.AnchorStatus(t.Context())
		party.Check(t, err)
		if s.Account.String() != rotated.Key || len(s.Balance) < 18 || len(s.Older) != 0 {
			return fmt.Sprintf("the status is %+v", s)
		}
		return ""
	})
	knows(b, a, 3)
	after := party.ExchangeDocuments(a, b)
	for _, s := range append(after, before...) {
		c.Proven(s)
	}
	for _, s := range after {
		if e, _ := a.ParsedEvidence(s.ID); s.From == a && e.Proofs[0].Anchor.Account.String() != rotated.Key {
			t.Errorf("a record from after the rotation is anchored by %s", e.Proofs[0].Anchor.Account)
		}
	}
}

// An endpoint that does not answer says of no account that nothing is left.
func TestAnAccountThatHasToStayHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	a := party.NewOrg(t, "alpha")
	c := party.NewChain(t, a)
	a.AnchorAt(c.URL)
	a.Config["anchor.rpc"] = fmt.Sprintf("[%q, %q]", c.URL, fmt.Sprintf("http://127.0.0.1:%d", party.FreePort(t)))
	a.Start()
	for older := range 2 {
		rotated, err := a.RotateKey(t.Context(), string(crypto.RoleAccount), false)
		party.Check(t, err)
		party.Until(t, "the coin on the newest account", func() string {
			s, err := a.AnchorStatus(t.Context())
			party.Check(t, err)
			if s.Account.String() != rotated.Key || len(s.Balance) < 18 || len(s.Older) != older+1 {
				return fmt.Sprintf("the status is %+v", s)
			}
			return ""
		})
	}
}

func TestANodeKeyWaitsForPartnersUnlessTold(t *testing.T) {
	t.Parallel()
	a, b := party.NewPair(t)
	first := party.Document{Seed: "before", Size: party.Small}
	a.Delivered(a.SendDocument(b, first))
	party.Until(t, "that beta has told which card it has", func() string { return doctorSays(a, "partner "+b.Name, true, "connected") })
	b.Stop()
	rotated, err := a.RotateKey(t.Context(), string(crypto.RoleNode), false)
	party.Check(t, err)
	if len(rotated.WaitsFor) != 1 || rotated.WaitsFor[0] != b.Name {
		t.Errorf("waits for %v", rotated.WaitsFor)
	}
	if amiss := doctorSays(a, "node key", true, b.Name); amiss != "" {
		t.Error(amiss)
	}
	a.Stop()
	a.Start() // it still waits
	if s, err := a.Self(t.Context()); err != nil || s.Peer != a.Keys.Node() {
		t.Errorf("%s serves, %v", s.Peer, err)
	}
	if _, err := a.RotateKey(t.Context(), string(crypto.RoleNode), true); err != nil {
		t.Fatal(err)
	}
	if s, err := a.Self(t.Context()); err != nil || s.Peer.String() != rotated.Key {
		t.Errorf("%s serves, %v", s.Peer, err)
	}
	b.Start()
	// Neither can call the other, until a person brings the card.
	card, err := a.Card(t.Context())
	party.Check(t, err)
	if amiss := doctorSays(a, "partner "+b.Name, false, "dxd card"); amiss != "" {
		t.Error(amiss)
	}
	_, err = b.AddPartner(t.Context(), "", card, "")
	party.Check(t, err)
	second := party.Document{Seed: "after", Size: party.Small}
	for _, s := range []party.Sent{{From: a, To: b}, {From: b, To: a}} {
		id := s.From.SendDocument(s.To, second)
		s.From.Delivered(id)
		s.To.Keeps(id, second)
	}
}

// doctorSays tells what is amiss unless a check says so.
func doctorSays(o *party.Org, name string, ok bool, text string) string {
	o.T.Helper()
	return doctorSaysOf(o, "", name, ok, text)
}

// doctorSaysOf is doctorSays of a partner that is examined thoroughly.
func doctorSaysOf(o *party.Org, alias, name string, ok bool, text string) string {
	o.T.Helper()
	d, err := o.Doctor(o.T.Context(), alias)
	party.Check(o.T, err)
	for _, c := range d.Checks {
		if c.Name == name && c.OK == ok && strings.Contains(c.Detail, text) {
			return ""
		}
	}
	return fmt.Sprintf("%s does not say %q: %+v", o.Name, text, d.Checks)
}

func TestADeathWhileTheNodeChangesEndsInOneState(t *testing.T) {
	for _, point := range []partner.Point{partner.BeforeKeyring, partner.AfterKeyring, partner.AfterCard} {
		t.Run(string(point), func(t *testing.T) {
			t.Parallel()
			a, b := party.NewPair(t)
			a.Delivered(a.SendDocument(b, party.Document{Seed: "before", Size: party.Small}))
			b.Stop()
			_, err := a.RotateKey(t.Context(), string(crypto.RoleNode), false)
			party.Check(t, err)
			a.Stop()
			a.DieAt = exchange.Point(point)
			a.Start()
			b.Start()
			party.Within(t, party.Patience, "death", a.Process.Gone) // once b has taken the card
			a.DieAt = ""
			a.Start()
			d := party.Document{Seed: "after", Size: party.Small}
			for _, s := range []party.Sent{{From: a, To: b}, {From: b, To: a}} {
				id := s.From.SendDocument(s.To, d)
				s.From.Delivered(id)
				s.To.Keeps(id, d)
			}
			hasNewKey(a, crypto.RoleNode)
			knows(b, a, 3)
		})
	}
}

func TestANewPlaceReachesPartnersWithoutTheRootKey(t *testing.T) {
	for what, change := range map[string]func(b *party.Org, port int){
		"another port": func(b *party.Org, port int) {
			b.Config["listen"] = fmt.Sprintf(`["/ip4/127.0.0.1/tcp/%d"]`, port)
		},
		"another address to announce": func(b *party.Org, port int) {
			b.Config["announce"] = fmt.Sprintf(`["/ip4/127.0.0.1/tcp/%d", "/dns4/localhost/tcp/%d"]`, b.Port, port)
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			a, b := party.NewPair(t)
			a.Delivered(a.SendDocument(b, party.Document{Seed: "before", Size: party.Small}))
			b.Stop()
			port := party.FreePort(t)
			change(b, port)
			b.Start()
			party.Until(t, "that alpha knows the new place", func() string {
				p, err := a.Partner(t.Context(), b.Name)
				party.Check(t, err)
				if said := fmt.Sprint(p.Addresses); !strings.Contains(said, fmt.Sprint("/tcp/", port)) {
					return said
				}
				if p.Serial != 1 {
					t.Errorf("there is card %d", p.Serial)
				}
				return ""
			})
			a.Stop()
			a.Start() // which has to dial
			a.Delivered(a.SendDocument(b, party.Document{Seed: "after", Size: party.Small}))
		})
	}
}
