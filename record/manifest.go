package record

// Lane is one of a partner's two queues; each counts for itself.
type Lane string

// The lanes.
const (
	LaneDoc Lane = "doc"
	LaneMsg Lane = "msg"
)

func (l Lane) check() error {
	if l != LaneDoc && l != LaneMsg {
		return Errorf(Invalid, "not a lane: %q", Printable(string(l), 40))
	}
	return nil
}

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
	if err := n.Lane.check(); err != nil {
		return err
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
