package record

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// CardFile is what an organisation hands to another to be reached: its card,
// and where its nodes are. Proof, if it is there, says where the card is
// anchored: what it means is for package hashanchor to know, which reads it as
// strictly as all else.
type CardFile struct {
	Card     Envelope       `json:"card"`
	Presence []Envelope     `json:"presence"`
	Proof    jsontext.Value `json:"proof,omitzero"`
}

// MaxCardFile is the largest card file in bytes.
const MaxCardFile = 256 << 10

// maxCardProof is more than a proof ever has.
const maxCardProof = 8 << 10

// OpenedCardFile is a card file whose signatures hold.
type OpenedCardFile struct {
	Card     Signed[Card]
	Presence []Signed[Presence]
	Proof    jsontext.Value // as it stands in the file, unchecked; nil if there is none
}

// Addresses lists those of all nodes that the file tells of; empty, not nil, if
// it tells of none.
func (f OpenedCardFile) Addresses() []string {
	all := []string{}
	for _, p := range f.Presence {
		all = append(all, p.Body.Addresses...)
	}
	return all
}

// Bytes is the file's content, with a line break at the end.
func (f CardFile) Bytes() ([]byte, error) {
	if f.Presence == nil {
		f.Presence = []Envelope{}
	}
	b, err := Marshal(f)
	return append(b, '\n'), err
}

// OpenCardFile reads and verifies a card file.
func OpenCardFile(data []byte) (OpenedCardFile, error) {
	if len(data) > MaxCardFile {
		return OpenedCardFile{}, Errorf(Invalid, "a card file of %d bytes, %d are allowed", len(data), MaxCardFile)
	}
	var f CardFile
	if err := Unmarshal(bytes.TrimRight(data, "\r\n"), &f); err != nil {
		return OpenedCardFile{}, WithHint(Errorf(Invalid, "not a card file: %w", err),
			"a card file is what `dxd card` prints; hand it over unchanged")
	}
	return f.Open()
}

// Open verifies the card and the presences.
func (f CardFile) Open() (OpenedCardFile, error) {
	card, err := OpenCard(f.Card)
	if err != nil {
		return OpenedCardFile{}, err
	}
	if f.Proof != nil && (f.Proof.Kind() != '{' || len(f.Proof) > maxCardProof) {
		return OpenedCardFile{}, Errorf(Invalid, "a card file with something else than a proof in its place")
	}
	opened := OpenedCardFile{Card: card, Proof: f.Proof}
	if len(f.Presence) > maxKeys {
		return OpenedCardFile{}, Errorf(Invalid, "a card file with %d presences", len(f.Presence))
	}
	for _, e := range f.Presence {
		p, err := OpenPresence(e, card)
		if err != nil {
			return OpenedCardFile{}, err
		}
		opened.Presence = append(opened.Presence, p)
	}
	return opened, nil
}

// File is the card file that reads as this.
func (f OpenedCardFile) File() CardFile {
	file := CardFile{Card: f.Card.Envelope, Presence: []Envelope{}, Proof: f.Proof}
	for _, p := range f.Presence {
		file.Presence = append(file.Presence, p.Envelope)
	}
	return file
}
