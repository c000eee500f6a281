package record

import (
	"crypto/ed25519"
	"slices"
)

// maxAddresses and maxAddress bound a presence; addresses are multiaddrs.
const (
	maxAddresses = 16
	maxAddress   = 256
)

// Presence says where a node can be reached for now, signed by the node's key.
type Presence struct {
	Header
	Node      NodeID   `json:"node"`
	Addresses []string `json:"addresses"`
	Expires   int64    `json:"expires"`
}

func (p Presence) check() error {
	if err := p.Header.check("presence"); err != nil {
		return err
	}
	if p.Node.IsZero() {
		return Errorf(Invalid, "a presence without a node")
	}
	if len(p.Addresses) > maxAddresses {
		return Errorf(Invalid, "a presence with %d addresses, %d are allowed", len(p.Addresses), maxAddresses)
	}
	for _, a := range p.Addresses {
		if err := CheckText("an address", a, maxAddress); err != nil {
			return err
		}
	}
	return checkInteger("expires", p.Expires, p.Created+1)
}

// OpenPresence verifies a presence against a card of its organisation.
func OpenPresence(e Envelope, card Signed[Card]) (Signed[Presence], error) {
	p, err := decode[Presence](e)
	if err != nil {
		return Signed[Presence]{}, err
	}
	if p.Org != card.Body.Org || p.Card != card.ID() || !slices.Contains(card.Body.Nodes, p.Node) {
		return Signed[Presence]{}, Errorf(Invalid, "the presence is not of a node on this card")
	}
	if len(e.signatures) != 1 || !ed25519.Verify(p.Node.key[:], e.PAE(), e.signatures[0]) {
		return Signed[Presence]{}, Errorf(Invalid, "the presence is not signed by its node")
	}
	return Signed[Presence]{e, p}, nil
}
