package record

// ErasureAnswer says what became of a request to erase.
type ErasureAnswer string

// The answers. Whoever refused may erase later, and says so then; what is
// erased stays so.
const (
	AnswerErased  ErasureAnswer = "erased"
	AnswerRefused ErasureAnswer = "refused"
)

// Erasure is the signed answer of one side of a transfer to the other, which
// asked it to erase an item: that its payload, key and opening are destroyed
// where the signer keeps its own, or that they are not.
type Erasure struct {
	Header
	Asker    OrgID         `json:"asker"`
	Manifest RecordID      `json:"manifest"`
	Item     int64         `json:"item"` // its index in the payload
	Answer   ErasureAnswer `json:"answer"`
	Reason   string        `json:"reason,omitzero"` // only of AnswerRefused
}

func (r Erasure) check() error {
	if err := r.Header.check("erasure"); err != nil {
		return err
	}
	if r.Asker.IsZero() || r.Manifest.IsZero() || r.Asker == r.Org {
		return Errorf(Invalid, "an erasure without asker or manifest")
	}
	if r.Item < 0 || r.Item >= MaxItems {
		return Errorf(Invalid, "an erasure of item %d", r.Item)
	}
	switch r.Answer {
	case AnswerErased:
		if r.Reason != "" {
			return Errorf(Invalid, "only a refusal has a reason")
		}
		return nil
	case AnswerRefused:
		if r.Reason == "" {
			return nil
		}
		return CheckText("the reason", r.Reason, MaxReason)
	}
	return Errorf(Invalid, "not an answer to a request to erase: %q", Printable(string(r.Answer), 40))
}

// OpenErasure verifies an erasure with the card that it names.
func OpenErasure(e Envelope, signer Signed[Card]) (Signed[Erasure], error) {
	return open[Erasure](e, signer)
}
