package hashanchor_test

import (
	"cmp"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"dxd/hashanchor"
	"dxd/record"
)

// next is the organisation's card with this serial, which lists the signing
// key of that number; the one that the fixture signs with is number 0.
func (o *org) next(t testing.TB, serial int64, key int) record.Signed[record.Card] {
	t.Helper()
	other := *o
	if key != 0 {
		seed := sum(fmt.Sprint(o.name, " signing ", key))
		other.signing = ed25519.NewKeyFromSeed(seed[:])
	}
	previous := o.card.ID()
	if serial == 1 {
		previous = record.RecordID{}
	}
	return other.makeCard(t, serial, previous, cardEnds+serial)
}

// shown is the card as the verifier brings it, with its anchor in that block;
// 0 for none.
func (s *story) shown(t testing.TB, o *org, card record.Signed[record.Card], block int64) hashanchor.CardFile {
	t.Helper()
	var p *hashanchor.Proof
	if block != 0 {
		proof := s.chain.anchor(t, o.address(), block, card.Envelope)
		p = &proof
	}
	f, err := hashanchor.OpenCardFile(cardFile(t, card, p))
	must(t, err)
	return f
}

// revocation is what the verifier brings beside the story, in which the
// manifest is anchored in block 50 and the first receipt in block 51; the last
// final block is 90.
type revocation struct {
	verdict
	says string // stands in the check's detail
}

func revocations() []revocation {
	alpha := func(serial int64, key int, block int64) func(*testing.T, *story, *hashanchor.Options) {
		return func(t *testing.T, s *story, o *hashanchor.Options) {
			o.Cards = append(o.Cards, s.shown(t, s.alpha, s.alpha.next(t, serial, key), block))
		}
	}
	beta := func(block int64) func(*testing.T, *story, *hashanchor.Options) {
		return func(t *testing.T, s *story, o *hashanchor.Options) {
			o.Cards = append(o.Cards, s.shown(t, s.beta, s.beta.next(t, 2, 1), block))
		}
	}
	all := func(tales ...func(*testing.T, *story, *hashanchor.Options)) func(*testing.T, *story, *hashanchor.Options) {
		return func(t *testing.T, s *story, o *hashanchor.Options) {
			for _, tale := range tales {
				tale(t, s, o)
			}
		}
	}
	accepted := func(t *testing.T, s *story, o *hashanchor.Options) {
		s.evidence.Proofs = append(s.evidence.Proofs, s.chain.anchor(t, s.beta.address(), 52, s.accepted.Envelope))
	}
	unproven := func(t *testing.T, s *story, o *hashanchor.Options) {
		s.evidence.Receipts, s.evidence.Proofs = nil, nil
	}
	return []revocation{
		{verdict{"a key that was rotated since", alpha(2, 1, 60), 0, ""}, "the manifest is older"},
		{verdict{"a key that was revoked before", alpha(2, 1, 45), 3, "revocation"}, "is revoked by the sender's card 2, anchored in block 45"},
		{verdict{"a key that was revoked in the same block", alpha(2, 1, 50), 3, "revocation"}, "anchored only at"},
		{verdict{"a newer card without an anchor revokes nothing", alpha(2, 1, 0), 0, ""}, "revokes nothing: its file has no proof"},
		{verdict{"a newer card whose anchor is not final revokes nothing yet", alpha(2, 1, 95), 0, ""}, "revokes nothing: its anchor is not final yet"},
		{verdict{"a newer card whose anchor is not there revokes nothing", all(alpha(2, 1, 45), func(t *testing.T, s *story, o *hashanchor.Options) {
			clear(s.chain.entries)
			tell(t, "hello").chain.copyTo(s.chain)
		}), 0, ""}, "revokes nothing: its proof does not hold"},
		{verdict{"a newer card with the same key", alpha(2, 0, 45), 0, ""}, "up to serial 2 of the sender, and up to serial 1 of the recipient"},
		{verdict{"a card of the same serial revokes nothing", alpha(1, 1, 45), 0, ""}, "up to serial 1 of the sender"},
		{verdict{"the earliest card without the key counts", all(alpha(2, 1, 60), alpha(3, 2, 45)), 3, "revocation"}, "card 3"},
		{verdict{"of two cards without the key, the one without an anchor does not count", all(alpha(2, 1, 0), alpha(3, 2, 60)), 0, ""}, "up to serial 3"},
		{verdict{"a key that a later card lists again stays revoked", all(alpha(2, 1, 45), alpha(3, 0, 60)), 3, "revocation"}, "card 2"},
		{verdict{"no record is anchored, and the key is revoked", all(unproven, alpha(2, 1, 60)), 4, "anchor"}, "no final anchor shows that the manifest is older"},
		{verdict{"the recipient's key is revoked, and its word has no anchor", beta(60), 4, "revocation"}, "no final anchor shows that the receipt is older"},
		{verdict{"the recipient's key is revoked after its word", all(accepted, beta(60)), 0, ""}, "up to serial 2 of the recipient"},
		{verdict{"the recipient's key is revoked before its word", all(accepted, beta(52)), 3, "revocation"}, "is revoked by the recipient's card 2"},
		{verdict{"the recipient's key is revoked before its receipt", all(accepted, beta(51)), 3, "revocation"}, "block 51"},
	}
}

// copyTo puts what stands on the chain on another one.
func (c *memoryChain) copyTo(other *memoryChain) {
	for k, a := range c.entries {
		other.entries[k] = a
	}
}

func checkNamed(r hashanchor.Report, name string) hashanchor.Check {
	i := slices.IndexFunc(r.Checks, func(c hashanchor.Check) bool { return c.Name == name })
	if i < 0 {
		return hashanchor.Check{}
	}
	return r.Checks[i]
}

func TestRevocations(t *testing.T) {
	cases := []specCase{}
	for _, c := range revocations() {
		s := tell(t, "hello")
		o := hashanchor.Options{Chain: s.chain}
		c.tale(t, s, &o)
		r := verify(t, s.doc(), s.file(t), o)
		if b := broken(r); r.ExitCode() != c.exit || b.Name != c.check {
			t.Errorf("%s: exit code %d at %q (%s), not %d at %q", c.name, r.ExitCode(), b.Name, b.Detail, c.exit, c.check)
		}
		said := checkNamed(r, hashanchor.CheckRevocation)
		if !strings.Contains(said.Detail, c.says) || !said.OK && said.Mend == "" {
			t.Errorf("%s: %+v, which lacks %q", c.name, said, c.says)
		}
		entry := specCase{Name: c.name, Exit: c.exit, Check: c.check, Evidence: string(s.file(t))}
		for _, a := range s.chain.entries {
			entry.Anchors = append(entry.Anchors, a)
		}
		slices.SortFunc(entry.Anchors, func(a, b hashanchor.Anchor) int { return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		for _, card := range o.Cards {
			data, err := card.File().Bytes()
			must(t, err)
			entry.Cards = append(entry.Cards, string(data))
		}
		cases = append(cases, entry)
	}
	data, err := json.MarshalIndent(cases, "", " ")
	must(t, err)
	golden(t, "revocation-cases.json", append(data, '\n'))
}

func TestWithoutAChainARevocationIsWhatItsFileSays(t *testing.T) {
	s := tell(t, "hello")
	o := hashanchor.Options{Cards: []hashanchor.CardFile{s.shown(t, s.alpha, s.alpha.next(t, 2, 1), 60)}}
	r := verify(t, s.doc(), s.file(t), o)
	if said := checkNamed(r, hashanchor.CheckRevocation); r.ExitCode() != 4 || !strings.Contains(said.Detail, "as its file says, for which no chain was asked") {
		t.Errorf("%d, %+v", r.ExitCode(), said)
	}
}

func TestAStateProofShowsThatARecordIsOlderThanACardSays(t *testing.T) {
	s, c, block := proven(t)
	newer := s.alpha.next(t, 2, 1)
	p := s.chain.anchor(t, s.alpha.address(), 60, newer.Envelope)
	c.anchor(s.alpha, &p)
	later, err := hashanchor.OpenCardFile(cardFile(t, newer, &p))
	must(t, err)
	o := stateOptions(block.Hash)
	o.Cards = []hashanchor.CardFile{later}
	if r := verify(t, s.doc(), s.file(t), o); r.ExitCode() != 0 || r.Sender.KnownSerial != 2 {
		t.Errorf("of a later card: %d, %+v", r.ExitCode(), checkNamed(r, hashanchor.CheckRevocation))
	}
	p.Anchor.Time = s.evidence.Proofs[0].Anchor.Time - 1
	earlier, err := hashanchor.OpenCardFile(cardFile(t, newer, &p))
	must(t, err)
	o.Cards = []hashanchor.CardFile{earlier}
	if r := verify(t, s.doc(), s.file(t), o); r.ExitCode() != 4 || broken(r).Name != hashanchor.CheckRevocation {
		t.Errorf("of a card that claims to be earlier: %d, %+v", r.ExitCode(), broken(r))
	}
}

func TestAStrangersCardIsNoVerdict(t *testing.T) {
	s, gamma := tell(t, "hello"), newOrg(t, "Gamma")
	o := hashanchor.Options{Chain: s.chain, Cards: []hashanchor.CardFile{s.shown(t, gamma, gamma.next(t, 2, 1), 60)}}
	_, err := hashanchor.Verify(t.Context(), s.doc(), s.file(t), o)
	if record.KindOf(err) != record.Invalid || record.Hint(err) == "" {
		t.Errorf("of a third organisation's card: %v", err)
	}
	s.notarise(t)
	o.Cards = []hashanchor.CardFile{s.shown(t, s.beta, s.beta.next(t, 2, 1), 60)}
	if _, err := hashanchor.Verify(t.Context(), s.doc(), s.file(t), o); record.KindOf(err) != record.Invalid {
		t.Errorf("of somebody else's card, beside a notarisation: %v", err)
	}
	o.Cards = []hashanchor.CardFile{s.shown(t, s.alpha, s.alpha.next(t, 2, 1), 45)}
	if r := verify(t, s.doc(), s.file(t), o); r.ExitCode() != 3 || r.Sender.KnownSerial != 2 {
		t.Errorf("a notarisation with a revoked key: %+v", broken(r))
	}
}

func TestARevocationThatCantBeAskedForIsNoVerdict(t *testing.T) {
	s := tell(t, "hello")
	o := hashanchor.Options{Chain: s.chain, Cards: []hashanchor.CardFile{s.shown(t, s.alpha, s.alpha.next(t, 2, 1), 60)}}
	s.chain.down = errDown
	if _, err := hashanchor.Verify(t.Context(), s.doc(), s.file(t), o); err == nil {
		t.Error("an endpoint that is down has a verdict")
	}
}
