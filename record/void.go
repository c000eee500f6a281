package record

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

// NumberOf reads the number of a manifest or a void, without verifying it.
func NumberOf(e Envelope) (Number, error) {
	if e.Name() == nameOf[Void]() {
		v, err := decode[Void](e)
		return v.Number, err
	}
	m, err := decode[Manifest](e)
	return m.Number, err
}
