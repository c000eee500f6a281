package record

// Opening holds what is known of one item of a payload. Only its leaf hash
// stands in the signed record, and the salt in it keeps the leaf from being
// guessed; whoever is shown the opening can compare.
type Opening struct {
	Type      string     `json:"type"`
	Transfer  TransferID `json:"transfer"`
	Index     int64      `json:"index"` // of the item in its payload, from 0
	Kind      ItemKind   `json:"kind"`
	Name      string     `json:"name,omitzero"` // documents and notarisations
	MediaType string     `json:"media_type"`
	Length    int64      `json:"length"` // bytes
	Digest    Digest     `json:"digest"`
	Salt      Nonce      `json:"salt"`
}

// ItemKind says what an item is.
type ItemKind string

// The kinds of items.
const (
	Document  ItemKind = "document"
	Message   ItemKind = "message"
	Notarized ItemKind = "notarization"
)

// openingType sets openings apart from everything else that is hashed.
const openingType = "application/vnd.dxd.opening.v1+json"

// MaxOpening is the largest opening in bytes.
const MaxOpening = 4096

func (o Opening) check() error {
	if o.Type != openingType {
		return Errorf(Invalid, "not an opening of this version: %q", Printable(o.Type, 80))
	}
	if err := o.Transfer.Check(); err != nil {
		return err
	}
	switch o.Kind {
	case Document, Notarized:
		if err := CheckName(o.Name); err != nil {
			return err
		}
	case Message:
		if o.Name != "" {
			return Errorf(Invalid, "a message has no name")
		}
	default:
		return Errorf(Invalid, "not a kind of item: %q", Printable(string(o.Kind), 40))
	}
	if err := CheckMediaType(o.MediaType); err != nil {
		return err
	}
	if o.Digest.IsZero() || o.Salt == (Nonce{}) {
		return Errorf(Invalid, "an opening without digest or salt")
	}
	if err := checkInteger("index", o.Index, 0); err != nil {
		return err
	}
	return checkInteger("length", o.Length, 0)
}

// Bytes is the opening's one encoding, over which its leaf is computed. The
// type is filled in.
func (o Opening) Bytes() ([]byte, error) {
	o.Type = openingType
	if err := o.check(); err != nil {
		return nil, err
	}
	b, err := Marshal(o)
	if err != nil {
		return nil, err
	}
	if len(b) > MaxOpening {
		return nil, Errorf(Invalid, "an opening of %d bytes, %d are allowed", len(b), MaxOpening)
	}
	return b, nil
}

// ParseOpening reads what Bytes wrote, and nothing else.
func ParseOpening(data []byte) (Opening, error) {
	if len(data) > MaxOpening {
		return Opening{}, Errorf(Invalid, "an opening of %d bytes, %d are allowed", len(data), MaxOpening)
	}
	var o Opening
	if err := Unmarshal(data, &o); err != nil {
		return Opening{}, err
	}
	if err := o.check(); err != nil {
		return Opening{}, err
	}
	return o, nil
}
