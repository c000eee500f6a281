package record

import (
	"crypto/ed25519"
	"strings"
)

// maxKeys bounds each list of keys on a card.
const maxKeys = 16

// MaxSerialJump is how far a newer card's serial may be ahead of the known
// one's. A card beyond it would use up the serials for good.
const MaxSerialJump = 1000

// Card says which keys act for an organisation, signed by its root and by each
// key on it. Times are in ms since 1970.
type Card struct {
	Header
	Name        string      `json:"name"`
	Serial      int64       `json:"serial"`            // from 1, only ever growing
	Previous    RecordID    `json:"previous,omitzero"` // the card before it
	Expires     int64       `json:"expires"`
	SigningKeys []PublicKey `json:"signing_keys"`
	Nodes       []NodeID    `json:"nodes"`
	Recipients  []string    `json:"recipients"` // age recipients, post-quantum hybrid ("age1pq1…")
	Accounts    []Account   `json:"accounts"`   // that anchor for the organisation
}

func (c Card) check() error {
	if err := c.Header.check("card"); err != nil {
		return err
	}
	if err := CheckText("the organisation's name", c.Name, MaxOrgName); err != nil {
		return err
	}
	if err := checkInteger("serial", c.Serial, 1); err != nil {
		return err
	}
	if err := checkInteger("expires", c.Expires, c.Created+1); err != nil {
		return err
	}
	if c.Previous.IsZero() != (c.Serial == 1) {
		return Errorf(Invalid, "card %d: all cards but the first name the one before", c.Serial)
	}
	return c.checkKeys()
}

// checkKeys holds the rules for the keys on a card.
func (c Card) checkKeys() error {
	for _, n := range []int{len(c.SigningKeys), len(c.Nodes), len(c.Recipients)} {
		if n < 1 || n > maxKeys {
			return Errorf(Invalid, "a card holds from 1 to %d keys of each sort, not %d", maxKeys, n)
		}
	}
	if len(c.Accounts) > maxKeys {
		return Errorf(Invalid, "a card holds at most %d accounts, not %d", maxKeys, len(c.Accounts))
	}
	for _, key := range c.SigningKeys {
		if err := key.Check(); err != nil {
			return err
		}
	}
	for _, n := range c.Nodes {
		if err := CheckPublicKey(n.key[:]); err != nil {
			return err
		}
	}
	for _, r := range c.Recipients {
		if err := checkRecipient(r); err != nil {
			return err
		}
	}
	return c.checkUnique()
}

// maxRecipient bounds a recipient key; today's have 1,959 characters.
const maxRecipient = 4096

// checkRecipient tells whether s may be a post-quantum recipient of age in
// Bech32. Whether there is a key in it only package crypto can tell.
func checkRecipient(s string) error {
	key, ok := strings.CutPrefix(s, "age1pq1")
	if !ok || key == "" || len(s) > maxRecipient || strings.Trim(key, "023456789acdefghjklmnpqrstuvwxyz") != "" {
		return Errorf(Invalid, "not a post-quantum recipient key: %q", Printable(s, 40))
	}
	return nil
}

// checkUnique refuses a key that stands on the card twice, in whatever role:
// one key has one purpose.
func (c Card) checkUnique() error {
	seen := map[string]bool{}
	for _, key := range c.Keys() {
		if seen[key] {
			return Errorf(Invalid, "the card holds one key twice")
		}
		seen[key] = true
	}
	return nil
}

// Keys lists all keys on the card, the root's included, as comparable strings.
func (c Card) Keys() []string { return append(c.ProvenKeys(), c.Recipients...) }

// ProvenKeys are those whose holder has signed the card, as comparable strings.
// An Ed25519 key is the same string in each of its roles.
func (c Card) ProvenKeys() []string {
	keys := []string{PublicKey(c.Org.key).String()}
	for _, k := range c.SigningKeys {
		keys = append(keys, k.String())
	}
	for _, n := range c.Nodes {
		keys = append(keys, PublicKey(n.key).String())
	}
	for _, a := range c.Accounts {
		keys = append(keys, a.String())
	}
	return keys
}

// OpenCard verifies a card: the root's signature, then one of each signing
// key, node and account on it, in that order (proof of possession). Recipient
// keys can't sign; whoever puts another's key on its card gains only documents
// that it can't open.
//
// Whether the card has expired is for the caller to ask, who has a clock.
func OpenCard(e Envelope) (Signed[Card], error) {
	c, err := decode[Card](e)
	if err != nil {
		return Signed[Card]{}, err
	}
	if want := 1 + len(c.SigningKeys) + len(c.Nodes) + len(c.Accounts); len(e.signatures) != want {
		return Signed[Card]{}, Errorf(Invalid, "the card has %d signatures; its root and each key on it make %d", len(e.signatures), want)
	}
	pae := e.PAE()
	rest := e.signatures
	next := func() (sig []byte) {
		sig, rest = rest[0], rest[1:]
		return sig
	}
	if !ed25519.Verify(c.Org.key[:], pae, next()) {
		return Signed[Card]{}, Errorf(Invalid, "the card's signature is not by the root key that it names")
	}
	for _, key := range c.SigningKeys {
		if !ed25519.Verify(key[:], pae, next()) {
			return Signed[Card]{}, Errorf(Invalid, "the card is not countersigned by its signing key %s", key)
		}
	}
	for _, node := range c.Nodes {
		if !ed25519.Verify(node.key[:], pae, next()) {
			return Signed[Card]{}, Errorf(Invalid, "the card is not countersigned by its node %s", node)
		}
	}
	for _, account := range c.Accounts {
		if !verifyAccount(account, pae, next()) {
			return Signed[Card]{}, Errorf(Invalid, "the card is not countersigned by its account %s", account)
		}
	}
	return Signed[Card]{e, c}, nil
}
