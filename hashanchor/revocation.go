package hashanchor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"dxd/record"
)

// A card revokes the keys that it leaves out. Evidence holds the cards of its
// time, so what came after them the verifier brings along. It counts from the
// anchor of the newer card, as the chain has it, and never from a time that the
// card claims: whoever has the root key can write any. In the same way a record
// is older only if its own anchor is: whoever has a stolen signing key can
// claim any time, but can't anchor in the past.

// revoker is a card that the verifier brought, and what is known of its anchor.
type revoker struct {
	CardFile
	from   string // "sender" or "recipient"
	weight weight
	why    string // if it has no weight
}

// weight says what a card's anchor is worth.
type weight int

const (
	weightless weight = iota // nobody can say since when the card has stood there: it revokes nothing
	claimed                  // its file names an anchor, and no chain was to be asked
	confirmed                // the chain has it in a final block
)

// signature is one that the evidence rests on.
type signature struct {
	what string // of which record, for people
	from string
	id   record.RecordID
	card record.Card
	key  record.PublicKey
}

// checkRevocation compares each signature with the newer cards that the
// verifier brought.
func (v *verifier) checkRevocation(ctx context.Context) error {
	if len(v.o.Cards) == 0 {
		return nil
	}
	revokers, err := v.revokers(ctx)
	if err != nil {
		return err
	}
	var said findings
	for _, s := range v.signatures() {
		if err := v.judge(ctx, s, revokers, &said); err != nil {
			return err
		}
	}
	known := v.knownSerials(revokers)
	switch {
	case said.fails != nil:
		v.add(CheckRevocation, "", said.fails)
	case len(said.open) > 0:
		v.addUndecided(CheckRevocation, strings.Join(append(said.open, known), "; "), mendRevoked)
	default:
		v.add(CheckRevocation, strings.Join(append([]string{known}, said.notes...), "; "), nil)
	}
	return nil
}

const mendRevoked = "its signer, by signing anew with a key that is still good"

// findings are what came of comparing signatures with cards.
type findings struct {
	fails error    // a record that is not older than the revocation of its key
	open  []string // what could not be found out
	notes []string // what is worth to be told, and no fault
}

func (f *findings) note(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(f.notes, text) {
		f.notes = append(f.notes, text)
	}
}

// revokers finds out whose the cards are and what their anchors are worth.
func (v *verifier) revokers(ctx context.Context) (all []revoker, err error) {
	for _, c := range v.o.Cards {
		r := revoker{CardFile: c}
		switch org := c.Card.Body.Org; {
		case org == v.Sender.Org:
			r.from = "sender"
		case v.Recipient != nil && org == v.Recipient.Org:
			r.from = "recipient"
		default:
			return nil, record.WithHint(record.Errorf(record.Invalid, "the card %d of %s is neither the sender's nor the recipient's",
				c.Card.Body.Serial, org.Fingerprint()), "give cards of the two organisations that the evidence names, and of no other")
		}
		if r.weight, r.why, err = v.weigh(ctx, c.Proof); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// weigh asks the chain for a card's anchor. One that does not hold is no fault
// of the evidence: the card only revokes nothing.
func (v *verifier) weigh(ctx context.Context, p *Proof) (weight, string, error) {
	switch {
	case p == nil:
		return weightless, "its file has no proof that it is anchored", nil
	case v.o.ChainID != 0 && p.Anchor.ChainID != v.o.ChainID:
		return weightless, fmt.Sprintf("it is anchored on chain %d", p.Anchor.ChainID), nil
	case !v.o.Contract.IsZero() && p.Anchor.Contract != v.o.Contract:
		return weightless, fmt.Sprintf("its proof names the contract %s, which is not the genuine one", p.Anchor.Contract), nil
	case v.o.Chain == nil || len(v.o.Blocks) > 0:
		return claimed, "", nil
	}
	found, differs, err := v.lookup(ctx, p.Anchor)
	switch {
	case err != nil:
		return weightless, "", err
	case differs != nil:
		return weightless, "its proof does not hold: " + differs.Error(), nil
	case found.Standing != Final:
		return weightless, "its anchor is not final yet", nil
	}
	return confirmed, "", nil
}

// signatures lists those of the record and of the receipts.
func (v *verifier) signatures() []signature {
	all := []signature{v.signature(v.statement.what, "sender", v.e.Record, v.statement.Card)}
	for _, r := range v.receipts {
		all = append(all, v.signature("receipt", "recipient", r.Envelope, r.Body.Card))
	}
	return all
}

// signature finds the key; each record here was opened with the card that it
// names, so there is one.
func (v *verifier) signature(what, from string, e record.Envelope, card record.RecordID) signature {
	i := slices.IndexFunc(v.cards, func(c record.Signed[record.Card]) bool { return c.ID() == card })
	key, _ := record.SigningKey(e, v.cards[i].Body)
	return signature{what, from, e.ID(), v.cards[i].Body, key}
}

// judge compares one signature with the cards that came after its own.
func (v *verifier) judge(ctx context.Context, s signature, revokers []revoker, f *findings) error {
	var earliest *revoker // all that have weight have the same: a chain is asked for each, or for none
	for i := range revokers {
		r := &revokers[i]
		body := r.Card.Body
		if r.from != s.from || body.Serial <= s.card.Serial || slices.Contains(body.SigningKeys, s.key) {
			continue
		}
		if r.weight == weightless {
			f.note("the %s's card %d, which leaves out the key that signed the %s, revokes nothing: %s", r.from, body.Serial, s.what, r.why)
		} else if earliest == nil || r.Proof.Anchor.Time < earliest.Proof.Anchor.Time {
			earliest = r
		}
	}
	if earliest == nil {
		return nil
	}
	return v.compare(ctx, s, earliest, f)
}

// compare compares when a record was anchored with when its key was revoked.
func (v *verifier) compare(ctx context.Context, s signature, r *revoker, f *findings) error {
	at, anchored, err := v.finalTime(ctx, s.id)
	if err != nil {
		return err
	}
	revoked := fmt.Sprintf("the key %s, which signed the %s, is revoked by the %s's card %d, anchored in block %d at %s",
		s.key, s.what, r.from, r.Card.Body.Serial, r.Proof.Anchor.Block, utc(r.Proof.Anchor.Time*1000))
	if r.weight == claimed {
		revoked += " as its file says, for which no chain was asked"
	}
	switch {
	case anchored && at < r.Proof.Anchor.Time:
		f.note("%s; the %s is older: anchored at %s", revoked, s.what, utc(at*1000))
	case !anchored:
		f.open = append(f.open, fmt.Sprintf("%s, and no final anchor shows that the %s is older", revoked, s.what))
	case r.weight == claimed:
		f.open = append(f.open, fmt.Sprintf("%s; the %s was anchored only at %s", revoked, s.what, utc(at*1000)))
	case f.fails == nil:
		f.fails = record.WithHint(record.Errorf(record.Invalid, "%s; the %s was anchored only at %s", revoked, s.what, utc(at*1000)), mendRevoked)
	}
	return nil
}

// finalTime is when a record of the file was anchored for good, in s since
// 1970, as the chain or a known block has it.
func (v *verifier) finalTime(ctx context.Context, id record.RecordID) (at int64, ok bool, err error) {
	p := v.proofOf(id)
	if p == nil || v.o.Chain == nil && len(v.o.Blocks) == 0 {
		return 0, false, nil
	}
	found, differs, err := v.lookup(ctx, p.Anchor)
	return p.Anchor.Time, err == nil && differs == nil && found.Standing == Final, err
}

// knownSerials says up to which card of each party its revocations are known:
// the newest of the evidence, or of the cards that have any weight.
func (v *verifier) knownSerials(revokers []revoker) string {
	for _, p := range []*Party{v.Sender, v.Recipient} {
		if p == nil {
			continue
		}
		for _, c := range v.cards {
			if c.Body.Org == p.Org {
				p.KnownSerial = max(p.KnownSerial, c.Body.Serial)
			}
		}
		for _, r := range revokers {
			if r.Card.Body.Org == p.Org && r.weight != weightless {
				p.KnownSerial = max(p.KnownSerial, r.Card.Body.Serial)
			}
		}
	}
	text := fmt.Sprintf("revocation is known up to serial %d of the sender", v.Sender.KnownSerial)
	if v.Recipient != nil {
		text += fmt.Sprintf(", and up to serial %d of the recipient", v.Recipient.KnownSerial)
	}
	return text
}
