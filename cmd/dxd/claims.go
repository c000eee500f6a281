package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"dxd/hashanchor"
	"dxd/hashanchor/evm/stateproof"
	"dxd/record"
)

// claims is what an evidence file says, not believed: no signature, no path
// and no chain was looked at. What a part of it can't be read says so itself.
type claims struct {
	Checked     bool           `json:"checked"` // never: it stands there for who reads only this
	Size        int            `json:"size"`
	SHA256      string         `json:"sha256"`
	Record      recordClaim    `json:"record"`
	Sender      partyClaim     `json:"sender"`
	Recipient   *partyClaim    `json:"recipient"` // null in a notarisation
	Opening     openingClaim   `json:"opening"`
	Receipts    []receiptClaim `json:"receipts"`
	Proofs      []proofClaim   `json:"proofs"`
	StateProofs []stateClaim   `json:"state_proofs"`
	Cards       []cardClaim    `json:"cards"`
}

// recordClaim is the manifest or the notarisation.
type recordClaim struct {
	Kind         string       `json:"kind"` // "manifest" or "notarization"
	ID           string       `json:"id"`
	Unreadable   string       `json:"unreadable,omitzero"` // why
	Created      string       `json:"created,omitzero"`    // by the signer's clock
	Epoch        string       `json:"epoch,omitzero"`
	Lane         string       `json:"lane,omitzero"`
	Sequence     int64        `json:"sequence,omitzero"`
	Predecessor  string       `json:"predecessor,omitzero"`
	Items        int64        `json:"items,omitzero"`
	Root         string       `json:"root,omitzero"`
	SealedLength int64        `json:"sealed_length,omitzero"`
	Beacon       *beaconClaim `json:"beacon"`
}

// beaconClaim is a block that somebody names.
type beaconClaim struct {
	ChainID int64  `json:"chain_id"`
	Block   int64  `json:"block"`
	Hash    string `json:"hash"`
	Time    string `json:"time"`
}

// partyClaim is an organisation that a record names, and what the card that
// the record names for it says. Without that card there is no name.
type partyClaim struct {
	Org         string `json:"org"`
	Fingerprint string `json:"fingerprint"`
	Card        string `json:"card"`
	Name        string `json:"name"`
	Serial      int64  `json:"serial"`
	Expires     string `json:"expires"`
}

// cardClaim is a card of the file.
type cardClaim struct {
	ID         string   `json:"id"`
	Unreadable string   `json:"unreadable,omitzero"`
	Org        string   `json:"org,omitzero"`
	Name       string   `json:"name,omitzero"`
	Serial     int64    `json:"serial,omitzero"`
	Created    string   `json:"created,omitzero"`
	Expires    string   `json:"expires,omitzero"`
	Accounts   []string `json:"accounts"`
}

// openingClaim is what is shown of the item.
type openingClaim struct {
	Transfer  string `json:"transfer"`
	Index     int64  `json:"index"`
	Kind      string `json:"kind"`
	Name      string `json:"name"` // empty for a message
	MediaType string `json:"media_type"`
	Size      int64  `json:"size"`
	SHA256    string `json:"sha256"`
}

// receiptClaim is what a receipt says of the item that is shown.
type receiptClaim struct {
	ID          string `json:"id"`
	Unreadable  string `json:"unreadable,omitzero"`
	Card        string `json:"card,omitzero"`
	Created     string `json:"created,omitzero"`
	Status      string `json:"status,omitzero"`
	Reason      string `json:"reason,omitzero"`
	Application string `json:"application,omitzero"` // its beginning, made printable
	Length      int    `json:"application_length,omitzero"`
}

// proofClaim is where a record is said to stand.
type proofClaim struct {
	Of       string `json:"of"` // "record", "receipt 1", "receipt 2", or "no record of this file"
	Record   string `json:"record"`
	Index    int64  `json:"index"`
	Leaves   int64  `json:"leaves"` // of the batch
	ChainID  int64  `json:"chain_id"`
	Contract string `json:"contract"`
	Account  string `json:"account"`
	Owner    string `json:"owner"` // on whose card the account stands: "sender", "recipient", ""
	Root     string `json:"root"`
	Block    int64  `json:"block"`
	Time     string `json:"time"`
}

// stateClaim is the block to which a state proof is said to lead.
type stateClaim struct {
	Unreadable string   `json:"unreadable,omitzero"`
	Block      int64    `json:"block,omitzero"`
	Hash       string   `json:"hash,omitzero"`
	Time       string   `json:"time,omitzero"`
	Records    []string `json:"records"` // whose anchors it shows
	Bytes      int      `json:"bytes"`
}

// applicationShown is how many characters of an application's string are shown.
const applicationShown = 200

// claimsOf reads an evidence file without believing it.
func claimsOf(data []byte) (*claims, error) {
	e, err := hashanchor.ParseEvidence(data)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	c := &claims{Size: len(data), SHA256: hex.EncodeToString(sum[:]), Opening: openingOf(e.Opening)}
	cards := map[record.RecordID]record.Card{}
	c.Cards = []cardClaim{}
	for _, envelope := range e.Cards {
		card, err := record.Unverified[record.Card](envelope)
		if err == nil {
			cards[envelope.ID()] = card
		}
		c.Cards = append(c.Cards, cardOf(envelope.ID(), card, err))
	}
	c.readRecord(e.Record, cards)
	c.Receipts, c.Proofs, c.StateProofs = []receiptClaim{}, []proofClaim{}, []stateClaim{}
	for _, envelope := range e.Receipts {
		c.Receipts = append(c.Receipts, receiptOf(envelope, e.Opening.Index))
	}
	for _, p := range e.Proofs {
		c.Proofs = append(c.Proofs, c.proofOf(p))
	}
	for _, s := range e.StateProof {
		c.StateProofs = append(c.StateProofs, stateOf(s))
	}
	return c, nil
}

// utcMilli is a moment in ms since 1970, as JSON has it. It may be any number:
// time.Time refuses years with five digits.
func utcMilli(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }

func openingOf(o record.Opening) openingClaim {
	return openingClaim{o.Transfer.String(), o.Index, string(o.Kind), o.Name, o.MediaType, o.Length, o.Digest.Hex()}
}

func cardOf(id record.RecordID, card record.Card, err error) cardClaim {
	if err != nil {
		return cardClaim{ID: id.String(), Unreadable: err.Error(), Accounts: []string{}}
	}
	c := cardClaim{id.String(), "", card.Org.String(), card.Name, card.Serial, utcMilli(card.Created), utcMilli(card.Expires), []string{}}
	for _, a := range card.Accounts {
		c.Accounts = append(c.Accounts, a.String())
	}
	return c
}

// partyOf looks the party's card up by the id that a record names.
func partyOf(org record.OrgID, id record.RecordID, cards map[record.RecordID]record.Card) partyClaim {
	p := partyClaim{Org: org.String(), Fingerprint: org.Fingerprint().String(), Card: id.String()}
	if card, ok := cards[id]; ok && card.Org == org {
		p.Name, p.Serial, p.Expires = card.Name, card.Serial, utcMilli(card.Expires)
	}
	return p
}

// readRecord reads the manifest or the notarisation, and who stands in it.
func (c *claims) readRecord(e record.Envelope, cards map[record.RecordID]record.Card) {
	c.Record = recordClaim{Kind: e.Name(), ID: e.ID().String()}
	r := &c.Record
	if e.Name() == "notarization" {
		n, err := record.Unverified[record.Notarization](e)
		if err != nil {
			r.Unreadable = err.Error()
			return
		}
		r.Created, r.Items, r.Root, r.Beacon = utcMilli(n.Created), 1, n.Root.String(), beaconOf(n.Beacon)
		c.Sender = partyOf(n.Org, n.Card, cards)
		return
	}
	m, err := record.Unverified[record.Manifest](e)
	if err != nil {
		r.Unreadable = err.Error()
		return
	}
	r.Created, r.Items, r.Root, r.Beacon = utcMilli(m.Created), m.Items, m.Root.String(), beaconOf(m.Beacon)
	r.Epoch, r.Lane, r.Sequence, r.SealedLength = m.Epoch.String(), string(m.Lane), m.Sequence, m.SealedLength
	if !m.Predecessor.IsZero() {
		r.Predecessor = m.Predecessor.String()
	}
	recipient := partyOf(m.Recipient, m.RecipientCard, cards)
	c.Sender, c.Recipient = partyOf(m.Org, m.Card, cards), &recipient
}

func beaconOf(b record.Beacon) *beaconClaim {
	if b == (record.Beacon{}) {
		return nil
	}
	return &beaconClaim{b.ChainID, b.Block, b.Hash.String(), utcSecond(b.Time)}
}

// utcSecond is a moment in s since 1970; it may be any number up to 2^53.
func utcSecond(s int64) string { return time.Unix(s, 0).UTC().Format(time.RFC3339) }

// receiptOf reads what a receipt says of one item.
func receiptOf(e record.Envelope, item int64) receiptClaim {
	r, err := record.Unverified[record.Receipt](e)
	if err != nil {
		return receiptClaim{ID: e.ID().String(), Unreadable: err.Error()}
	}
	c := receiptClaim{ID: e.ID().String(), Card: r.Card.String(), Created: utcMilli(r.Created)}
	for _, entry := range r.Entries {
		if entry.First <= item && item <= entry.Last {
			c.Status, c.Reason, c.Length = string(entry.Status), entry.Reason, len(entry.Application)
			c.Application = record.Printable(entry.Application, applicationShown)
		}
	}
	c.Status = cmp.Or(c.Status, "says nothing of this item")
	return c
}

func (c *claims) proofOf(p hashanchor.Proof) proofClaim {
	a := p.Anchor
	return proofClaim{c.whose(p.Record.String()), p.Record.String(), p.Index, 1 << len(p.Path), a.ChainID, a.Contract.String(), a.Account.String(),
		c.ownerOf(a.Account.String()), a.Root.String(), a.Block, utcSecond(a.Time)}
}

// whose says which record of the file has this id.
func (c *claims) whose(id string) string {
	if c.Record.ID == id {
		return "record"
	}
	for i, r := range c.Receipts {
		if r.ID == id {
			return []string{"receipt 1", "receipt 2"}[i]
		}
	}
	return "no record of this file"
}

// ownerOf says on whose card of the file an account stands.
func (c *claims) ownerOf(account string) string {
	for _, card := range c.Cards {
		for _, a := range card.Accounts {
			switch {
			case a != account:
			case card.Org == c.Sender.Org:
				return "sender"
			case c.Recipient != nil && card.Org == c.Recipient.Org:
				return "recipient"
			}
		}
	}
	return ""
}

// stateOf hashes and reads the header of a state proof. Its nodes are not
// followed.
func stateOf(s hashanchor.StateProof) stateClaim {
	c := stateClaim{Records: []string{}, Bytes: len(s.Header)}
	nodes := s.Account
	for _, slot := range s.Slots {
		c.Records = append(c.Records, slot.Record.String())
		nodes = append(nodes[:len(nodes):len(nodes)], slot.Nodes...)
	}
	for _, n := range nodes {
		c.Bytes += len(n)
	}
	h, err := stateproof.ParseHeader(s.Header)
	if err != nil {
		c.Unreadable = err.Error()
		return c
	}
	c.Block, c.Hash, c.Time = h.Block, h.Hash.String(), utcSecond(h.Time)
	return c
}
