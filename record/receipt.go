package record

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

// ManifestOf reads which manifest a receipt is about, without verifying it.
func ManifestOf(e Envelope) (RecordID, error) {
	r, err := decode[Receipt](e)
	return r.Manifest, err
}
