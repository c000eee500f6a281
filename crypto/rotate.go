package crypto

import (
	"slices"

	"filippo.io/age"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"

	"dxd/record"
)

// Role is what a key that can be rotated is for.
type Role string

// The roles. The root is none of them: it is the organisation.
const (
	RoleNode      Role = "node"
	RoleSigning   Role = "signing"
	RoleRecipient Role = "recipient"
	RoleAccount   Role = "account"
)

// Roles lists them, as people are told.
var Roles = [...]Role{RoleNode, RoleSigning, RoleRecipient, RoleAccount}

// ParseRole reads a role's name.
func ParseRole(s string) (Role, error) {
	if slices.Contains(Roles[:], Role(s)) {
		return Role(s), nil
	}
	return "", record.WithHint(record.Errorf(record.Invalid, "no key is called %q", record.Printable(s, 40)),
		"one of node, signing, recipient, account, storage")
}

// Keys names the keyring's keys of one role by their public halves, as they
// stand on a card.
func (k *Keyring) Keys(role Role) []string {
	s := k.secrets()
	switch role {
	case RoleNode:
		return names(s.nodeIDs, record.NodeID.String)
	case RoleSigning:
		return names(s.signing, signingName)
	case RoleRecipient:
		return names(s.recipients, recipientName)
	default:
		return names(s.accounts, accountName)
	}
}

// KeysOn names the keys of one role on a card.
func KeysOn(c record.Card, role Role) []string {
	switch role {
	case RoleNode:
		return names(c.Nodes, record.NodeID.String)
	case RoleSigning:
		return names(c.SigningKeys, record.PublicKey.String)
	case RoleRecipient:
		return c.Recipients
	default:
		return names(c.Accounts, record.Account.String)
	}
}

func names[K any](keys []K, name func(K) string) []string {
	all := make([]string, len(keys))
	for i, key := range keys {
		all[i] = name(key)
	}
	return all
}

func signingName(key ed25519Key) string { return record.PublicKey(publicKey(key)).String() }
func nodeName(key ed25519Key) string {
	id, err := record.MakeNodeID(publicKey(key))
	if err != nil {
		panic(err) // keyring checked it
	}
	return id.String()
}
func recipientName(key *age.HybridIdentity) string { return key.Recipient().String() }
func accountName(key *secp256k1.PrivateKey) string { return accountOf(key).String() }

// OnCard tells whether the card lists exactly the keyring's keys, in their order.
func (k *Keyring) OnCard(c record.Card) bool {
	for _, role := range Roles {
		if !slices.Equal(k.Keys(role), KeysOn(c, role)) {
			return false
		}
	}
	return true
}

// With gives the keyring with one key more, drawn at random. It comes first
// and so into use; only a node's comes last, since partners have to know it
// before it can serve. The keyring itself stays as it is until Become.
func (k *Keyring) With(role Role) (*Keyring, error) {
	next := k.secrets().clone()
	var err error
	switch role {
	case RoleNode:
		next.nodes, err = oneMore(next.nodes, newEd25519(), len(next.nodes))
	case RoleSigning:
		next.signing, err = oneMore(next.signing, newEd25519(), 0)
	case RoleRecipient:
		var key *age.HybridIdentity
		if key, err = newRecipient(); err == nil {
			next.recipients, err = oneMore(next.recipients, key, 0)
		}
	case RoleAccount:
		var key *secp256k1.PrivateKey
		if key, err = newAccount(); err == nil {
			next.accounts, err = oneMore(next.accounts, key, 0)
		}
	}
	if err != nil {
		return nil, err
	}
	return next.keyring()
}

func oneMore[K any](keys []K, key K, at int) ([]K, error) {
	if len(keys) == maxKeys {
		return nil, record.WithHint(record.Errorf(record.Conflict, "a card holds at most %d keys of a sort", maxKeys),
			"old ones go once nothing needs them: `dxd doctor` says what for")
	}
	return slices.Insert(slices.Clone(keys), at, key), nil
}

// Without gives the keyring without one key, which must not be the only one of
// its role. What was behind it comes into use if it was first.
func (k *Keyring) Without(role Role, name string) (*Keyring, error) {
	if len(k.Keys(role)) < 2 {
		return nil, record.Errorf(record.Internal, "the only %s key can't be dropped", role)
	}
	next := k.secrets().clone()
	switch role {
	case RoleNode:
		next.nodes = drop(next.nodes, nodeName, name)
	case RoleSigning:
		next.signing = drop(next.signing, signingName, name)
	case RoleRecipient:
		next.recipients = drop(next.recipients, recipientName, name)
	case RoleAccount:
		next.accounts = drop(next.accounts, accountName, name)
	}
	return next.keyring()
}

func drop[K any](keys []K, nameOf func(K) string, name string) []K {
	return slices.DeleteFunc(slices.Clone(keys), func(key K) bool { return nameOf(key) == name })
}

// Become takes over the keys of next, which With or Without made of it, at
// once for whoever uses the keyring. Its file must say the same by then.
func (k *Keyring) Become(next *Keyring) { k.state().set(next.secrets()) }

// Adopt has records that name this card signed with the first of its signing
// keys that the keyring holds now. So a record never names a card that lacks
// the key that signed it, whenever its writer looked which card is ours.
func (k *Keyring) Adopt(card record.Signed[record.Card]) {
	for _, on := range KeysOn(card.Body, RoleSigning) {
		for _, key := range k.secrets().signing {
			if signingName(key) == on {
				k.state().adopt(card.ID(), key)
				return
			}
		}
	}
}
