package p2p

import (
	"bytes"
	stdcrypto "crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"

	"dxd/record"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/crypto/pb"
	"github.com/libp2p/go-libp2p/core/peer"
)

// identity is the node's key as libp2p wants it, around a signer: the private
// key stays where the signer keeps it.
type identity struct {
	signer stdcrypto.Signer
	public crypto.PubKey
	node   record.NodeID
	peer   peer.ID
}

var _ crypto.PrivKey = identity{}

func newIdentity(signer stdcrypto.Signer) (identity, error) {
	if signer == nil {
		return identity{}, record.Errorf(record.Invalid, "a host needs an identity")
	}
	key, ok := signer.Public().(ed25519.PublicKey)
	if !ok {
		return identity{}, record.Errorf(record.Invalid, "a node's key is an Ed25519 key, not %T", signer.Public())
	}
	node, err := record.MakeNodeID(key)
	if err != nil {
		return identity{}, err
	}
	public, err := crypto.UnmarshalEd25519PublicKey(key)
	if err != nil {
		return identity{}, record.Errorf(record.Invalid, "couldn't read the node's key: %v", err)
	}
	p, err := peerOf(node)
	if err != nil {
		return identity{}, err
	}
	return identity{signer: signer, public: public, node: node, peer: p}, nil
}

func (i identity) Type() pb.KeyType         { return pb.KeyType_Ed25519 }
func (i identity) GetPublic() crypto.PubKey { return i.public }

// Raw always fails: there is no way to the private key.
func (i identity) Raw() ([]byte, error) {
	return nil, errors.New("the node's private key does not leave the keyring")
}

func (i identity) Equals(other crypto.Key) bool {
	o, ok := other.(identity)
	return ok && i.public.Equals(o.public)
}

// Sign signs data as it is: libp2p puts its own label in front
// ("libp2p-tls-handshake:").
func (i identity) Sign(data []byte) ([]byte, error) {
	return i.signer.Sign(rand.Reader, data, stdcrypto.Hash(0))
}

// secret derives 32 bytes that only the holder of the node's key can know.
// libp2p derives QUIC's reset and token keys from the private key's bytes,
// which are out of reach here; an Ed25519 signature over a label that nothing
// else signs serves as well. It is the same after a restart (RFC 8032 is
// deterministic), so a node that crashed can tell its peers at once that their
// old QUIC connections are dead (RFC 9000, section 10.3).
func (i identity) secret(label string) ([32]byte, error) {
	sig, err := i.Sign([]byte("dxd/p2p/secret/v1\n" + label))
	if err != nil {
		return [32]byte{}, record.Errorf(record.Internal, "couldn't sign with the node's key: %w", err)
	}
	return sha256.Sum256(append(bytes.Clone(sig), label...)), nil
}

// nodeOf is the node behind libp2p's identifier, false if its key is not a
// valid Ed25519 key.
func nodeOf(p peer.ID) (record.NodeID, bool) {
	node, err := record.ParseNodeID(p.String())
	return node, err == nil
}

func peerOf(node record.NodeID) (peer.ID, error) {
	if node.IsZero() {
		return "", record.Errorf(record.Invalid, "no node is named")
	}
	p, err := peer.Decode(node.String())
	if err != nil {
		return "", record.Errorf(record.Invalid, "not a node's identifier: %v", err)
	}
	return p, nil
}
