package crypto

import (
	"bytes"
	stdcrypto "crypto"
	"crypto/ed25519"
	"crypto/rand"
	"io"
	"slices"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"dxd/record"
)

// signer signs the DSSE pre-authentication encoding of a record.
type signer = func(pae []byte) ([]byte, error)

func signWith(key ed25519.PrivateKey) signer {
	return func(pae []byte) ([]byte, error) { return ed25519.Sign(key, pae), nil }
}

// countersign signs a card with an account: r ‖ s ‖ v over the hash of a
// personal message, which no transaction can be taken for.
func countersign(key *secp256k1.PrivateKey) signer {
	return func(pae []byte) ([]byte, error) {
		hash := record.AccountHash(pae)
		sig, err := signHash(key, hash)
		if err != nil {
			return nil, err
		}
		sig[64] += 27
		return sig[:], nil
	}
}

// signHash gives r ‖ s ‖ v with the smaller s and v 0 or 1 (RFC 6979).
func signHash(key *secp256k1.PrivateKey, hash [32]byte) (sig [65]byte, err error) {
	compact := ecdsa.SignCompact(key, hash[:], false) // 27+v ‖ r ‖ s
	v := compact[0] - 27
	if v > 1 { // r at or above the group's order: 1 in 2^127, and no v for it
		return sig, record.Errorf(record.Internal, "couldn't sign: no recovery id of one bit")
	}
	copy(sig[:], compact[1:])
	sig[64] = v
	return sig, nil
}

// header completes the header of a record that we sign.
func header[T record.Body](k *Keyring, h record.Header) record.Header {
	var nonce record.Nonce
	rand.Read(nonce[:])
	return record.NewHeader[T](k.secrets().org, h.Card, h.Created, nonce)
}

// signerUnder signs records that name this card.
func (k *Keyring) signerUnder(card record.RecordID) signer { return signWith(k.state().signing(card)) }

// SignCard signs a card with the root and with every key that the keyring
// has, all of which it puts on the card.
func (k *Keyring) SignCard(c record.Card) (record.Signed[record.Card], error) {
	s := k.secrets()
	c.Header = header[record.Card](k, record.Header{Created: c.Created})
	c.SigningKeys, c.Nodes, c.Recipients, c.Accounts = nil, nil, nil, []record.Account{}
	signers := []signer{signWith(s.root)}
	for _, key := range s.signing {
		c.SigningKeys = append(c.SigningKeys, record.PublicKey(publicKey(key)))
		signers = append(signers, signWith(key))
	}
	for i, key := range s.nodes {
		c.Nodes = append(c.Nodes, s.nodeIDs[i])
		signers = append(signers, signWith(key))
	}
	for _, r := range s.recipients {
		c.Recipients = append(c.Recipients, r.Recipient().String())
	}
	for _, key := range s.accounts {
		c.Accounts = append(c.Accounts, accountOf(key))
		signers = append(signers, countersign(key))
	}
	return record.Sign(c, signers...)
}

// SignPresence signs where one of the keyring's nodes can be reached: the one
// in use if none is named.
func (k *Keyring) SignPresence(p record.Presence) (record.Signed[record.Presence], error) {
	s, at := k.secrets(), 0
	if !p.Node.IsZero() {
		at = slices.Index(s.nodeIDs, p.Node)
	}
	if at < 0 {
		return record.Signed[record.Presence]{}, record.Errorf(record.Internal, "no key of the node %s is here", p.Node)
	}
	p.Header = header[record.Presence](k, p.Header)
	p.Node = s.nodeIDs[at]
	return record.Sign(p, signWith(s.nodes[at]))
}

// SignManifest signs a manifest.
func (k *Keyring) SignManifest(m record.Manifest) (record.Signed[record.Manifest], error) {
	m.Header = header[record.Manifest](k, m.Header)
	return record.Sign(m, k.signerUnder(m.Card))
}

// SignReceipt signs a receipt.
func (k *Keyring) SignReceipt(r record.Receipt) (record.Signed[record.Receipt], error) {
	r.Header = header[record.Receipt](k, r.Header)
	return record.Sign(r, k.signerUnder(r.Card))
}

// SignVoid signs a void.
func (k *Keyring) SignVoid(v record.Void) (record.Signed[record.Void], error) {
	v.Header = header[record.Void](k, v.Header)
	return record.Sign(v, k.signerUnder(v.Card))
}

// SignNotarization signs a notarisation.
func (k *Keyring) SignNotarization(n record.Notarization) (record.Signed[record.Notarization], error) {
	n.Header = header[record.Notarization](k, n.Header)
	return record.Sign(n, k.signerUnder(n.Card))
}

// SignHeads signs heads.
func (k *Keyring) SignHeads(h record.Heads) (record.Signed[record.Heads], error) {
	h.Header = header[record.Heads](k, h.Header)
	return record.Sign(h, k.signerUnder(h.Card))
}

// SignErasure signs an answer to a request to erase.
func (k *Keyring) SignErasure(e record.Erasure) (record.Signed[record.Erasure], error) {
	e.Header = header[record.Erasure](k, e.Header)
	return record.Sign(e, k.signerUnder(e.Card))
}

// nodeSigner signs what the network's handshakes need signed.
type nodeSigner struct {
	hidden
	key func() ed25519.PrivateKey
}

func (s *nodeSigner) Public() stdcrypto.PublicKey { return publicKey(s.key()) }

// recordPrefix begins the pre-authentication encoding of every record.
var recordPrefix = []byte("DSSEv1 ")

// Sign signs a message, not a hash of one. Records are refused: a presence or
// a card is signed only by the functions that know what is in it.
func (s *nodeSigner) Sign(_ io.Reader, message []byte, opts stdcrypto.SignerOpts) ([]byte, error) {
	if opts != nil && opts.HashFunc() != 0 {
		return nil, record.Errorf(record.Invalid, "a node key signs messages, not hashes")
	}
	if bytes.HasPrefix(message, recordPrefix) {
		return nil, record.Errorf(record.Refused, "a node key signs no records for the network")
	}
	return ed25519.Sign(s.key(), message), nil
}
