package record

// Lane is one of a partner's two queues; each counts for itself.
type Lane string

// The lanes.
const (
	LaneDoc Lane = "doc"
	LaneMsg Lane = "msg"
)

// Number is a record's place among all that one sender signed for one
// recipient in a lane. Sequences count from 1 within an epoch.
type Number struct {
	Epoch       Epoch    `json:"epoch"`
	Lane        Lane     `json:"lane"`
	Sequence    int64    `json:"sequence"`
	Predecessor RecordID `json:"predecessor,omitzero"` // the manifest before it; absent in the very first
}

func (n Number) check() error {
	if n.Epoch.IsZero() {
		return Errorf(Invalid, "a number without an epoch")
	}
	if n.Lane != LaneDoc && n.Lane != LaneMsg {
		return Errorf(Invalid, "not a lane: %q", Printable(string(n.Lane), 40))
	}
	if n.Sequence > 1 && n.Predecessor.IsZero() {
		return Errorf(Invalid, "number %d names no predecessor", n.Sequence)
	}
	return checkInteger("sequence", n.Sequence, 1)
}

// Beacon is the last final block that a signer knew: the record is not older.
type Beacon struct {
	ChainID int64 `json:"chain_id"`
	Block   int64 `json:"block"`
	Hash    Hash  `json:"hash"`
	Time    int64 `json:"time"` // s since 1970, as the block says
}

func (b Beacon) check() error {
	if b == (Beacon{}) { // none
		return nil
	}
	if err := checkInteger("the beacon's chain", b.ChainID, 1); err != nil {
		return err
	}
	if err := checkInteger("the beacon's block", b.Block, 0); err != nil {
		return err
	}
	if b.Hash.IsZero() {
		return Errorf(Invalid, "a beacon without a block's hash")
	}
	return checkInteger("the beacon's time", b.Time, 0)
}

// MaxItems is the most items that one payload holds.
const MaxItems = 1024

// minSealedLength is the length of the shortest body, one of no bytes: a
// nonce and a tag, of 16 bytes each.
const minSealedLength = 32

// Manifest is the sender's signed record of one payload.
type Manifest struct {
	Header
	Recipient     OrgID    `json:"recipient"`
	RecipientCard RecordID `json:"recipient_card"`
	Number
	Items        int64     `json:"items"`
	Root         Hash      `json:"root"`          // over the items' openings (RFC 9162)
	SealedLength int64     `json:"sealed_length"` // of the body, in bytes, its nonce included
	BodyNonce    BodyNonce `json:"body_nonce"`
	Beacon       Beacon    `json:"beacon,omitzero"`
}

func (m Manifest) check() error {
	if err := m.Header.check("manifest"); err != nil {
		return err
	}
	if m.Recipient.IsZero() || m.RecipientCard.IsZero() || m.Root.IsZero() {
		return Errorf(Invalid, "a manifest without recipient or root")
	}
	if m.Recipient == m.Org {
		return Errorf(Invalid, "a manifest from an organisation to itself")
	}
	if err := m.Number.check(); err != nil {
		return err
	}
	if m.Items > MaxItems || m.Lane == LaneDoc && m.Items != 1 {
		return Errorf(Invalid, "a payload of %d items", m.Items)
	}
	if err := checkInteger("items", m.Items, 1); err != nil {
		return err
	}
	if err := checkInteger("sealed_length", m.SealedLength, minSealedLength); err != nil {
		return err
	}
	return m.Beacon.check()
}

// OpenManifest verifies a manifest with the card that it names.
func OpenManifest(e Envelope, sender Signed[Card]) (Signed[Manifest], error) {
	return open[Manifest](e, sender)
}

// ReceiptStatus is what a recipient says of an item.
type ReceiptStatus string

// What a recipient can say. Accepted and Refused are final and exclude each other.
const (
	StatusReceived ReceiptStatus = "received"
	StatusAccepted ReceiptStatus = "accepted"
	StatusRefused  ReceiptStatus = "refused"
	// StatusStored is reserved for a keeper that can't open what it keeps.
	StatusStored ReceiptStatus = "stored"
)

// MaxApplication is the longest opaque string of an application in a receipt,
// in bytes.
const MaxApplication = 64 << 10

// Entry says the same of the items from First to Last. A receipt about one
// item of a bundle has one entry, and so says nothing of its neighbours.
type Entry struct {
	First       int64         `json:"first"`
	Last        int64         `json:"last"`
	Status      ReceiptStatus `json:"status"`
	Reason      string        `json:"reason,omitzero"`      // only of Refused
	Application string        `json:"application,omitzero"` // opaque
}

// Receipt is the recipient's signed record about a manifest.
type Receipt struct {
	Header
	Sender   OrgID    `json:"sender"`
	Manifest RecordID `json:"manifest"`
	Previous RecordID `json:"previous,omitzero"` // the receipt before it about the same manifest
	Entries  []Entry  `json:"entries"`           // in the order of the items, each item at most once
}

func (r Receipt) check() error {
	if err := r.Header.check("receipt"); err != nil {
		return err
	}
	if r.Sender.IsZero() || r.Manifest.IsZero() || r.Sender == r.Org {
		return Errorf(Invalid, "a receipt without sender or manifest")
	}
	if len(r.Entries) < 1 || len(r.Entries) > MaxItems {
		return Errorf(Invalid, "a receipt with %d entries", len(r.Entries))
	}
	next := int64(0)
	for _, e := range r.Entries {
		if e.First < next || e.Last < e.First || e.Last >= MaxItems {
			return Errorf(Invalid, "the entries of the receipt are not in the order of the items")
		}
		next = e.Last + 1
		if err := e.check(r.Previous.IsZero()); err != nil {
			return err
		}
	}
	return nil
}

func (e Entry) check(first bool) error {
	switch e.Status {
	case StatusReceived, StatusAccepted, StatusRefused, StatusStored:
	default:
		return Errorf(Invalid, "not a status of an item: %q", Printable(string(e.Status), 40))
	}
	if first != (e.Status == StatusReceived || e.Status == StatusStored) {
		return Errorf(Invalid, "the first receipt says that a payload is here, later ones what was said of it")
	}
	if e.Reason != "" {
		if e.Status != StatusRefused {
			return Errorf(Invalid, "only a refusal has a reason")
		}
		if err := CheckText("the reason", e.Reason, MaxReason); err != nil {
			return err
		}
	}
	if len(e.Application) > MaxApplication || e.Application != "" && e.Status != StatusAccepted && e.Status != StatusRefused {
		return Errorf(Invalid, "an application's string of %d bytes on an item that is %s", len(e.Application), e.Status)
	}
	return nil
}

// OpenReceipt verifies a receipt with the card that it names.
func OpenReceipt(e Envelope, recipient Signed[Card]) (Signed[Receipt], error) {
	return open[Receipt](e, recipient)
}

// VoidReason says why a number will not be delivered.
type VoidReason string

// The reasons of a void.
const (
	VoidCancelled VoidReason = "cancelled"
	VoidExpired   VoidReason = "expired"
	VoidRefused   VoidReason = "refused"
	VoidRemoved   VoidReason = "removed"
)

// Void is the sender's signed record that a manifest will not be delivered.
type Void struct {
	Header
	Recipient OrgID      `json:"recipient"`
	Manifest  RecordID   `json:"manifest"`
	Number               // the manifest's
	Reason    VoidReason `json:"reason"`
}

func (v Void) check() error {
	if err := v.Header.check("void"); err != nil {
		return err
	}
	if v.Recipient.IsZero() || v.Manifest.IsZero() || v.Recipient == v.Org {
		return Errorf(Invalid, "a void without recipient or manifest")
	}
	switch v.Reason {
	case VoidCancelled, VoidExpired, VoidRefused, VoidRemoved:
	default:
		return Errorf(Invalid, "not a reason of a void: %q", Printable(string(v.Reason), 40))
	}
	return v.Number.check()
}

// OpenVoid verifies a void with the card that it names.
func OpenVoid(e Envelope, sender Signed[Card]) (Signed[Void], error) {
	return open[Void](e, sender)
}

// Notarization is a signed record of an item that is sent to no one.
type Notarization struct {
	Header
	Root   Hash   `json:"root"` // over the one item's opening
	Beacon Beacon `json:"beacon,omitzero"`
}

func (n Notarization) check() error {
	if err := n.Header.check("notarization"); err != nil {
		return err
	}
	if n.Root.IsZero() {
		return Errorf(Invalid, "a notarisation without a root")
	}
	return n.Beacon.check()
}

// OpenNotarization verifies a notarisation with the card that it names.
func OpenNotarization(e Envelope, signer Signed[Card]) (Signed[Notarization], error) {
	return open[Notarization](e, signer)
}

// RecipientCardOf reads which card of the recipient a manifest names, without
// verifying it.
func RecipientCardOf(e Envelope) (RecordID, error) {
	m, err := decode[Manifest](e)
	return m.RecipientCard, err
}
