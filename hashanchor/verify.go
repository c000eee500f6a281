package hashanchor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"dxd/record"
)

// Document is what the verifier holds in hand.
type Document struct {
	Digest record.Digest
	Length int64
}

// Options are what the verifier knows and whom it can ask. The zero value
// knows nothing and asks no one.
type Options struct {
	Chain     Chain              // nil: no chain is asked
	ChainID   int64              // the chain that must be meant; zero: any
	Contract  record.Account     // the contract that must be meant; zero: whatever Chain takes
	Sender    record.Fingerprint // zero: any, told as claimed
	Recipient record.Fingerprint // likewise

	// Cards are newer cards of sender and recipient, opened by OpenCardFile:
	// what they revoke counts from when they are anchored.
	Cards []CardFile

	CheckState CheckState    // nil: evidence with a state proof is refused
	Blocks     []record.Hash // blocks of the chain that the verifier knows; then no chain is asked
}

// verifier is one verification on its way. Each step leaves what the later
// ones build on.
type verifier struct {
	Report
	o         Options
	e         *Evidence
	cards     []record.Signed[record.Card]
	statement statement
	receipts  []record.Signed[record.Receipt]
	states    map[Anchor]record.Beacon // the block to which the state proof of an anchor leads
	blocks    []record.Beacon          // those blocks, one for each state proof
}

// statement is what a manifest and a notarisation have in common.
type statement struct {
	record.Header
	id     record.RecordID
	what   string // for people
	kind   record.ItemKind
	root   record.Hash
	items  int64
	beacon record.Beacon
}

// Verify checks an evidence file against the document that it is said to be
// about, in the numbered steps of docs/spec/evidence.md. All that is found out
// stands in the report. The error says that the chain could not be asked: that
// is no verdict.
func Verify(ctx context.Context, doc Document, data []byte, o Options) (Report, error) {
	v := &verifier{o: o, Report: Report{Receipt: "none"}}
	v.checkFile(data, doc)
	var err error
	if !v.failed() { // else no chain can mend it, and one that is away shall not hide it
		err = v.checkChain(ctx)
	}
	if err == nil && !v.failed() {
		err = v.checkRevocation(ctx)
	}
	v.finish()
	if err != nil {
		return Report{}, err
	}
	return v.Report, nil
}

// checkFile takes all the steps that need no chain. Without the first three
// there is nothing to say about the rest; the others stand for themselves.
func (v *verifier) checkFile(data []byte, doc Document) {
	var err error
	v.e, err = ParseEvidence(data)
	if !v.add(CheckFile, "the evidence file is complete and in its one form", hint(err, mendFile)) {
		return
	}
	if !v.add(CheckCards, "every card is signed by its organisation and by each key on it", hint(v.openCards(), mendFile)) {
		return
	}
	if !v.add(CheckRecord, "the record is signed by a key on the signer's card, and names these cards", hint(v.openRecord(), mendFile)) {
		return
	}
	v.checkParties()
	v.add(CheckOpening, fmt.Sprintf("the opening is item %d of the %d that the %s signs", v.e.Opening.Index, v.statement.items, v.statement.what),
		hint(v.checkOpening(), mendFile))
	v.add(CheckDocument, "the document has the digest and the length that were signed", v.checkDocument(doc))
	v.add(CheckReceipts, unlessNone(len(v.e.Receipts), "every receipt is by the recipient and about this item", "the file holds no receipt"),
		hint(v.openReceipts(), mendFile))
	v.add(CheckProofs, unlessNone(len(v.e.Proofs), "each proof leads from a record of this file to an anchored root", "the file holds no proof of an anchor"),
		hint(v.checkProofs(), mendFile))
	v.checkStates()
	v.add(CheckValidity, "no card had expired when its key signed", v.checkValidity())
	if v.o.ChainID != 0 && len(v.e.Proofs) > 0 {
		v.add(CheckChain, fmt.Sprintf("the evidence names chain %d", v.o.ChainID), v.checkChainID())
	}
}

// unlessNone keeps a check of nothing from sounding like something.
func unlessNone(n int, holds, none string) string {
	if n == 0 {
		return none
	}
	return holds
}

const (
	mendFile     = "the file was changed, or put together wrongly; whoever took the evidence, sender or recipient, can take it again"
	mendDocument = "look for the file that was sent; a copy that was opened and saved again is another one"
	mendExpired  = "its signer, by renewing the card and signing anew"
)

// hint adds who can mend it, if the error does not say so itself.
func hint(err error, mend string) error {
	if record.Hint(err) != "" {
		return err
	}
	return record.WithHint(err, mend)
}

func (v *verifier) openCards() error {
	ids := map[record.RecordID]bool{}
	for _, e := range v.e.Cards {
		card, err := record.OpenCard(e)
		if err != nil {
			return err
		}
		if ids[card.ID()] {
			return record.Errorf(record.Invalid, "the card %s stands in the file twice", card.ID())
		}
		ids[card.ID()] = true
		v.cards = append(v.cards, card)
	}
	if len(v.cards) == 0 {
		return record.Errorf(record.Invalid, "the file holds no card")
	}
	return nil
}

// openRecord verifies the manifest with the first card and compares the
// second, or the notarisation with its only card.
func (v *verifier) openRecord() error {
	if v.e.Record.Name() == "notarization" {
		n, err := record.OpenNotarization(v.e.Record, v.cards[0])
		if err != nil {
			return err
		}
		if len(v.cards) != 1 {
			return record.Errorf(record.Invalid, "the file holds %d cards; a notarisation names one", len(v.cards))
		}
		v.statement = statement{n.Body.Header, n.ID(), "notarisation", record.Notarized, n.Body.Root, 1, n.Body.Beacon}
		v.Sender = party(v.cards[0])
		return nil
	}
	m, err := record.OpenManifest(v.e.Record, v.cards[0])
	if err != nil {
		return err
	}
	if err := v.checkRecipientCard(m.Body); err != nil {
		return err
	}
	kind := record.Document
	if m.Body.Lane == record.LaneMsg {
		kind = record.Message
	}
	v.statement = statement{m.Body.Header, m.ID(), "manifest", kind, m.Body.Root, m.Body.Items, m.Body.Beacon}
	v.Sender, v.Recipient = party(v.cards[0]), party(v.cards[1])
	return nil
}

// checkRecipientCard compares the second card with what the manifest names.
func (v *verifier) checkRecipientCard(m record.Manifest) error {
	if len(v.cards) < 2 {
		return record.Errorf(record.Invalid, "the file holds no second card; the manifest names the recipient's, %s", m.RecipientCard)
	}
	if card := v.cards[1]; card.ID() != m.RecipientCard || card.Body.Org != m.Recipient {
		return record.Errorf(record.Invalid, "the second card of the file is %s of %s; the manifest names the recipient's card %s of %s",
			card.ID(), card.Body.Org, m.RecipientCard, m.Recipient)
	}
	return nil
}

func party(c record.Signed[record.Card]) *Party {
	return &Party{Name: c.Body.Name, Org: c.Body.Org, Fingerprint: c.Body.Org.Fingerprint()}
}

// checkParties compares who signed with whom the verifier expects.
func (v *verifier) checkParties() {
	v.checkParty(CheckSender, v.Sender, v.o.Sender)
	v.checkParty(CheckRecipient, v.Recipient, v.o.Recipient)
}

func (v *verifier) checkParty(role string, p *Party, want record.Fingerprint) {
	switch {
	case want == record.Fingerprint{}:
	case p == nil:
		v.add(role, "", record.WithHint(record.Errorf(record.Invalid, "a %s has no %s, and %s was asked for", v.statement.what, role, want),
			"a notarisation is sent to no one: whoever verifies can ask for its signer alone; evidence of a transfer is another file"))
	case p.Fingerprint != want:
		v.add(role, "", record.WithHint(record.Errorf(record.Invalid, "the %s is %s, not %s", role, p.Fingerprint, want),
			"ask the organisation that you mean for its fingerprint, by another way than this file; if it is "+want.String()+", this is another's evidence"))
	default:
		p.Confirmed = true
		v.add(role, fmt.Sprintf("the %s is %s, as expected", role, want), nil)
	}
}

// checkOpening follows the opening's bytes, at the index that they name
// themselves, to the root that was signed.
func (v *verifier) checkOpening() error {
	o := v.e.Opening
	if o.Kind != v.statement.kind {
		return record.Errorf(record.Invalid, "the opening is of a %s; this %s signs a %s", record.Printable(string(o.Kind), 40), v.statement.what, v.statement.kind)
	}
	data, err := o.Bytes()
	if err != nil {
		return err
	}
	root, err := record.RootFromPath(o.Index, v.statement.items, record.LeafHash(data), v.e.Path)
	if err != nil {
		return err
	}
	if root != v.statement.root {
		return record.Errorf(record.Invalid, "the opening leads to the root %s, but %s was signed", root, v.statement.root)
	}
	return nil
}

func (v *verifier) checkDocument(doc Document) error {
	o := v.e.Opening
	if doc.Length != o.Length {
		return record.WithHint(record.Errorf(record.Invalid, "the document has %d bytes; the signed one has %d", doc.Length, o.Length), mendDocument)
	}
	if doc.Digest != o.Digest {
		return record.WithHint(record.Errorf(record.Invalid, "the document has the SHA-256 %s; the signed one has %s", doc.Digest.Hex(), o.Digest.Hex()), mendDocument)
	}
	return nil
}

// checkValidity compares when each key signed with its card's end. The signer
// names a time, but whoever finds an old key can name any; the anchor's time
// is what nobody can move, so it counts where there is one. That a card is
// expired now says nothing about what it once signed.
func (v *verifier) checkValidity() error {
	err := v.checkExpiry(v.statement.what, v.statement.Header, v.statement.id)
	for _, r := range v.receipts {
		if err == nil {
			err = v.checkExpiry("receipt", r.Body.Header, r.ID())
		}
	}
	return err
}

func (v *verifier) checkExpiry(what string, h record.Header, id record.RecordID) error {
	expires := v.cardEnd(h)
	at, how := h.Created, "signed, as it says,"
	if p := v.proofOf(id); p != nil {
		at, how = p.Anchor.Time*1000, "anchored"
	}
	if at < expires {
		return nil
	}
	return record.WithHint(record.Errorf(record.Invalid, "the %s was %s at %s; its signer's card had ended at %s", what, how, utc(at), utc(expires)), mendExpired)
}

// cardEnd is the end of a signer's card, in ms since 1970. Each record here was
// opened with the card that it names.
func (v *verifier) cardEnd(h record.Header) int64 {
	i := slices.IndexFunc(v.cards, func(c record.Signed[record.Card]) bool { return c.ID() == h.Card })
	return v.cards[i].Body.Expires
}

// utc prints ms since 1970.
func utc(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }
