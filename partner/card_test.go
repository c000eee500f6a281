package partner_test

import (
	"bytes"
	"crypto/ed25519"
	"testing"
	"time"

	"dxd/partner"
	"dxd/record"
)

// badCard is a card file that must not be taken by one who knows Globex, a
// suspended and a removed partner.
type badCard struct {
	what  string
	file  []byte
	alias string
	kind  record.Kind
}

func TestABadCardIsRefusedAndChangesNothing(t *testing.T) {
	h, globex, gone, paused := newHome(t), newOrg(t), newOrg(t), newOrg(t)
	first := globex.card(func(c *record.Card) { c.Serial, c.Previous = 5, record.RecordID{1} })
	h.has(file(t, first), "globex")
	h.has(file(t, gone.card(nil)), "gone")
	h.set("gone", partner.Removed)
	h.has(file(t, paused.card(nil)), "paused")
	h.set("paused", partner.Suspended)
	before := h.List()
	changed := h.store.Watch(t.Context(), "p/")
	cases := badSignatures(t)
	cases = append(cases, foreignKeys(t, h.own, "our own")...)
	cases = append(cases, badCard{"our own recipient key", file(t, copies(t, h.own).card(nil)), "new", record.Conflict})
	cases = append(cases, foreignKeys(t, globex, "a partner's")...)
	cases = append(cases, foreignKeys(t, gone, "a removed partner's")...)
	cases = append(cases, foreignKeys(t, paused, "a suspended partner's")...)
	cases = append(cases, badSuccessors(t, globex, first)...)
	cases = append(cases, badAliases(t, globex, first)...)
	cases = append(cases, badDates(t, h)...)
	for _, c := range cases {
		if _, err := h.add(c.file, c.alias); record.KindOf(err) != c.kind || err == nil {
			t.Errorf("%s: %v, of kind %v; want kind %v", c.what, err, record.KindOf(err), c.kind)
		}
	}
	select {
	case <-changed:
		t.Error("a refused card was written")
	default:
	}
	if !same(before, h.List()) {
		t.Error("a refused card changed the book")
	}
}

func same(a, b []partner.Partner) bool {
	equal := len(a) == len(b)
	for i := 0; equal && i < len(a); i++ {
		x, y := a[i], b[i]
		equal = x.Org == y.Org && x.Alias == y.Alias && x.State == y.State && x.Private == y.Private &&
			x.Card.ID() == y.Card.ID() && len(x.Presence) == len(y.Presence) && x.Added.Equal(y.Added) && x.LastSeen.Equal(y.LastSeen)
		for j := 0; equal && j < len(x.Presence); j++ {
			equal = x.Presence[j].ID() == y.Presence[j].ID()
		}
	}
	return equal
}

func badSignatures(t *testing.T) []badCard {
	o, other := newOrg(t), newOrg(t)
	all := o.signers()
	by := func(i int, s signer) []byte {
		signers := append(append(append([]signer{}, all[:i]...), s), all[i+1:]...)
		return file(t, o.signCard(o.body(nil), signers...))
	}
	flipped := func(pae []byte) ([]byte, error) {
		sig := ed25519.Sign(o.root, pae)
		sig[40] ^= 1
		return sig, nil
	}
	return []badCard{
		{"a flipped bit in the root's signature", by(0, flipped), "new", record.Invalid},
		{"signed by another root", by(0, signWith(other.root)), "new", record.Invalid},
		{"countersigned by another signing key", by(1, signWith(other.signing)), "new", record.Invalid},
		{"countersigned by another node", by(2, signWith(other.node)), "new", record.Invalid},
		{"countersigned by another account", by(3, other.signAccount), "new", record.Invalid},
		{"without its account's countersignature", file(t, o.signCard(o.body(nil), all[:3]...)), "new", record.Invalid},
		{"without any countersignature", file(t, o.signCard(o.body(nil), all[0])), "new", record.Invalid},
		{"a presence of a node that is not on the card", file(t, o.card(nil), other.presence(o.card(nil), in(0), "/ip4/192.0.2.1/tcp/1")), "new", record.Invalid},
		{"a file that was changed", bytes.Replace(file(t, o.card(nil)), []byte(`"card"`), []byte(`"Card"`), 1), "new", record.Invalid},
		{"no file at all", nil, "new", record.Invalid},
	}
}

// foreignKeys are cards of one who has a key of another, and can sign with it.
func foreignKeys(t *testing.T, other *org, whose string) []badCard {
	with := func(change func(o *org)) []byte {
		o := newOrg(t)
		change(o)
		return file(t, o.card(nil))
	}
	of := func(what string, data []byte) badCard {
		return badCard{whose + " " + what, data, "new", record.Conflict}
	}
	return []badCard{
		of("signing key", with(func(o *org) { o.signing = other.signing })),
		of("signing key as a node", with(func(o *org) { o.node = other.signing })),
		of("root as a signing key", with(func(o *org) { o.signing = other.root })),
		of("node", with(func(o *org) { o.node = other.node })),
		of("account", with(func(o *org) { o.account = other.account })),
	}
}

// copies is one whose card shows another's recipient key, which needs no signature.
func copies(t *testing.T, other *org) *org {
	o := newOrg(t)
	o.recipient = other.recipient
	return o
}

// TestACopiedRecipientKeyKeepsNobodyOut has partners show the keys of one who comes
// later, and of a known one's next card.
func TestACopiedRecipientKeyKeepsNobodyOut(t *testing.T) {
	h, newcomer, known := newHome(t), newOrg(t), newOrg(t)
	first := known.card(nil)
	h.has(file(t, first), "known")
	known.recipient = newOrg(t).recipient // rotated
	h.has(file(t, copies(t, newcomer).card(nil)), "copies-one")
	h.has(file(t, copies(t, known).card(nil)), "copies-the-next")
	h.has(file(t, copies(t, known).card(nil)), "removed")
	h.set("removed", partner.Removed)
	h.has(file(t, newcomer.card(nil)), "newcomer")
	next := known.after(first, nil)
	h.has(file(t, next), "known")
	if p, err := h.ByOrg(known.id()); err != nil || p.Card.ID() != next.ID() {
		t.Errorf("%+v, %v", p, err)
	}
}

func badSuccessors(t *testing.T, globex *org, first record.Signed[record.Card]) []badCard {
	next := func(serial int64, previous record.RecordID) []byte {
		return file(t, globex.card(func(c *record.Card) { c.Serial, c.Previous = serial, previous }))
	}
	return []badCard{
		{"an older serial", next(4, record.RecordID{1}), "", record.Conflict},
		{"the first serial", file(t, globex.card(nil)), "", record.Conflict},
		{"another card of the same serial", next(5, record.RecordID{1}), "", record.Conflict},
		{"a jump over 1000 serials", next(5+1001, record.RecordID{2}), "", record.Conflict},
		{"the largest serial there is", next(1<<53-1, record.RecordID{2}), "", record.Conflict},
		{"the next card, after another", next(6, record.RecordID{2}), "", record.Conflict},
		{"the next card with our partner's alias for it, expired", file(t, globex.after(first, func(c *record.Card) {
			c.Created, c.Expires = in(-2*time.Hour), in(-time.Hour)
		})), "", record.Invalid},
	}
}

func badAliases(t *testing.T, globex *org, first record.Signed[record.Card]) []badCard {
	o := newOrg(t)
	fresh := file(t, o.card(nil))
	cases := []badCard{
		{"an alias that is taken", fresh, "globex", record.Conflict},
		{"the alias of a suspended partner", fresh, "paused", record.Conflict},
		{"no alias", fresh, "", record.Invalid},
		{"a second alias for a known partner", file(t, first), "globex-2", record.Conflict},
		{"a known partner under another's alias", file(t, first), "paused", record.Conflict},
		{"a second alias with a newer card", file(t, globex.after(first, nil)), "globex-2", record.Conflict},
	}
	for _, alias := range []string{"-a", ".", "..", "a b", "a/b", "a\x00", "a\n", "ä", "\u202ea", string(bytes.Repeat([]byte("a"), 64))} {
		cases = append(cases, badCard{"the alias " + alias, fresh, alias, record.Invalid})
	}
	return cases
}

func badDates(t *testing.T, h *home) []badCard {
	o := newOrg(t)
	expired := func(at int64) []byte {
		return file(t, o.card(func(c *record.Card) { c.Created, c.Expires = in(-time.Hour), at }))
	}
	noKey := newOrg(t)
	noKey.recipient = "age1pq1qqqqqq"
	ours := h.Self()
	return []badCard{
		{"expired a millisecond ago", expired(in(0) - 1), "new", record.Invalid},
		{"expiring right now", expired(in(0)), "new", record.Invalid},
		{"a recipient key that is none", file(t, noKey.card(nil)), "new", record.Invalid},
		{"our own card", file(t, ours), "self", record.Conflict},
		{"our own next card", file(t, h.own.after(ours, nil)), "self", record.Conflict},
		{"a presence from the future", file(t, o.card(nil), o.presence(o.card(nil), in(49*time.Hour), "/ip4/192.0.2.1/tcp/1")), "new", record.Invalid},
	}
}

func TestANewerCardTakesThePlaceOfTheOlder(t *testing.T) {
	h, globex := newHome(t), newOrg(t)
	first := globex.card(nil)
	h.has(file(t, first), "globex")
	oldNode := globex.nodeID()
	globex.node = newKey(t)
	second := globex.after(first, nil)
	p := h.has(file(t, second), "")
	if p.Alias != "globex" || p.Card.ID() != second.ID() || p.State != partner.Active {
		t.Errorf("the partner is %+v", p)
	}
	if h.Admit(oldNode) || !h.Admit(globex.nodeID()) {
		t.Error("the gate goes by the old card")
	}
	// What the old card signed must be verifiable for ever.
	if _, err := h.Card(t.Context(), first.ID()); err != nil {
		t.Errorf("the first card: %v", err)
	}
	jump := globex.card(func(c *record.Card) { c.Serial, c.Previous = 2+1000, record.RecordID{7} })
	if p := h.has(file(t, jump), "globex"); p.Card.ID() != jump.ID() {
		t.Error("a card 1000 serials ahead is not taken")
	}
}

func TestOneCardFileIsWrittenOnce(t *testing.T) {
	h, globex := newHome(t), newOrg(t)
	card := globex.card(nil)
	data := file(t, card, globex.presence(card, in(0), "/ip4/192.0.2.1/tcp/1"))
	h.has(data, "globex")
	changed := h.store.Watch(t.Context(), "p/")
	wrote := func() bool {
		select {
		case <-changed:
			return true
		default:
			return false
		}
	}
	check(t, h.learn(globex.id(), data))
	check(t, h.learn(globex.id(), file(t, card)))
	if wrote() {
		t.Error("a file that was learnt before was written")
	}
	h.has(data, "globex")
	h.has(data, "")
	if wrote() {
		t.Error("a file that was added before was written")
	}
	check(t, h.learn(globex.id(), file(t, card, globex.presence(card, in(time.Second), "/ip4/192.0.2.2/tcp/1"))))
	if !wrote() {
		t.Error("a newer presence was not written")
	}
}

func TestOnlyAPartnersOwnCardIsLearnt(t *testing.T) {
	h, globex, other, stranger := newHome(t), newOrg(t), newOrg(t), newOrg(t)
	first := globex.card(nil)
	h.has(file(t, first), "globex")
	h.has(file(t, other.card(nil)), "other")
	second := file(t, globex.after(first, nil))
	refused := func(what string, err error) {
		t.Helper()
		if record.KindOf(err) != record.Refused {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("a partner's card from another", h.learn(other.id(), second))
	refused("a stranger's card", h.learn(stranger.id(), file(t, stranger.card(nil))))
	h.set("globex", partner.Suspended)
	refused("a suspended partner's newer card", h.learn(globex.id(), second))
	refused("a suspended partner's known card", h.learn(globex.id(), file(t, first)))
	h.set("globex", partner.Removed)
	refused("a removed partner's newer card", h.learn(globex.id(), second))
	if p, err := h.ByOrg(globex.id()); err != nil || p.Card.ID() != first.ID() {
		t.Errorf("the card known of globex is %v (%v)", p.Card.ID(), err)
	}
	h.has(file(t, first), "globex")
	check(t, h.learn(globex.id(), second))
	if p, _ := h.ByAlias("globex"); p.Card.Body.Serial != 2 {
		t.Error("an active partner's newer card was not learnt")
	}
	if err := h.learn(globex.id(), file(t, first)); record.KindOf(err) != record.Conflict {
		t.Errorf("the older card again: %v", err)
	}
}
