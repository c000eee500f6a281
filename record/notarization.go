package record

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
