package crypto

import (
	"bytes"
	stdcrypto "crypto"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"strings"
	"time"

	"dxd/record"
)

// Ticket lets one visitor who is not known yet come to a node, once and for a
// short time, to pair two organisations (docs/spec/pairing.md). Whoever has it
// has the visitor's key.
type Ticket struct {
	hidden
	Node      record.NodeID // who issued it
	Addresses []string      // where that node is said to be
	Expires   time.Time     // by the issuer's clock, in whole seconds

	secret func() *[ticketSecret]byte
}

const (
	ticketPrefix  = "dxdpair1" // its 1 is in no base32 alphabet
	ticketVersion = 1
	ticketSecret  = 32
	ticketSum     = 4
	// maxTicketAddresses is what a presence may have, too.
	maxTicketAddresses = 16
	maxTicketAddress   = 255
	// maxTicket bounds the text before anything is decoded.
	maxTicket = 8 << 10
)

// Labels keep what is derived here apart from every other hash and signature.
const (
	ticketLabel  = "dxd/ticket/v1\n"
	visitorLabel = "dxd/pair/visitor/v1"
	pairingLabel = "dxd/pair/node/v1\n"
)

// ticketEncoding has no signs at which a double click would stop.
var ticketEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// NewTicket draws the secret of a ticket for a node.
func NewTicket(node record.NodeID, addresses []string, expires time.Time) (Ticket, error) {
	var secret [ticketSecret]byte
	rand.Read(secret[:])
	t := Ticket{Node: node, Addresses: addresses, Expires: expires.Truncate(time.Second), secret: func() *[ticketSecret]byte { return &secret }}
	return t, t.check()
}

func (t Ticket) check() error {
	if len(t.Addresses) < 1 || len(t.Addresses) > maxTicketAddresses {
		return record.Errorf(record.Invalid, "a ticket with %d addresses, not 1 to %d", len(t.Addresses), maxTicketAddresses)
	}
	for _, a := range t.Addresses {
		if err := record.CheckText("an address of a ticket", a, maxTicketAddress); err != nil {
			return err
		}
	}
	if s := t.Expires.Unix(); s < 0 || s >= 1<<53 {
		return record.Errorf(record.Invalid, "a ticket that expires at no time")
	}
	return nil
}

// Text is the ticket on one line, to be handed over. It is a secret.
func (t Ticket) Text() string {
	b := append([]byte{ticketVersion}, t.Node.Key()...)
	b = append(b, t.secret()[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(t.Expires.Unix()))
	b = append(b, byte(len(t.Addresses)))
	for _, a := range t.Addresses {
		b = append(append(b, byte(len(a))), a...)
	}
	return ticketPrefix + ticketEncoding.EncodeToString(append(b, sumOfTicket(b)...))
}

// sumOfTicket finds typing errors; it proves nothing.
func sumOfTicket(b []byte) []byte {
	sum := sha256.Sum256(append([]byte(ticketLabel), b...))
	return sum[:ticketSum]
}

// ParseTicket reads what Text wrote, and nothing else. No error quotes it.
func ParseTicket(s string) (Ticket, error) {
	data, ok := strings.CutPrefix(s, ticketPrefix)
	b, err := ticketEncoding.DecodeString(data)
	if !ok || err != nil || len(s) > maxTicket || len(b) < 1+ticketSum {
		return Ticket{}, errTicket()
	}
	b, sum := b[:len(b)-ticketSum], b[len(b)-ticketSum:]
	if !bytes.Equal(sum, sumOfTicket(b)) {
		return Ticket{}, errTicket()
	}
	if b[0] != ticketVersion {
		return Ticket{}, record.WithHint(record.Errorf(record.Invalid, "a ticket of version %d", b[0]), "the other side runs another version of dxd")
	}
	t, err := readTicket(b[1:])
	if err != nil {
		return Ticket{}, err
	}
	if t.Text() != s { // bits to spare at the end, say
		return Ticket{}, errTicket()
	}
	return t, nil
}

func errTicket() error {
	return record.WithHint(record.Errorf(record.Invalid, "not a ticket, or not all of it"),
		"a ticket is the line that `dxd pair` prints, from "+ticketPrefix+" to its end")
}

// readTicket reads what stands between version and checksum.
func readTicket(b []byte) (Ticket, error) {
	const fixed = ed25519.PublicKeySize + ticketSecret + 8 + 1
	if len(b) < fixed {
		return Ticket{}, errTicket()
	}
	node, err := record.MakeNodeID(b[:ed25519.PublicKeySize])
	if err != nil {
		return Ticket{}, err
	}
	secret := [ticketSecret]byte(b[ed25519.PublicKeySize:])
	t := Ticket{Node: node, secret: func() *[ticketSecret]byte { return &secret }}
	t.Expires = time.Unix(int64(binary.BigEndian.Uint64(b[fixed-9:])), 0)
	n := int(b[fixed-1])
	for b = b[fixed:]; len(b) > 0 && len(t.Addresses) < n; {
		end := 1 + int(b[0])
		if end > len(b) {
			return Ticket{}, errTicket()
		}
		t.Addresses = append(t.Addresses, string(b[1:end]))
		b = b[end:]
	}
	if len(b) > 0 || len(t.Addresses) != n {
		return Ticket{}, errTicket()
	}
	return t, t.check()
}

// key is the visitor's. It stands on no card and signs nothing but the
// network's handshake.
func (t Ticket) key() ed25519.PrivateKey {
	seed, err := hkdf.Key(sha256.New, t.secret()[:], nil, visitorLabel, ed25519.SeedSize)
	if err != nil {
		panic(err) // 32 bytes are fewer than HKDF can give
	}
	return ed25519.NewKeyFromSeed(seed)
}

// Signer signs the visitor's handshake.
func (t Ticket) Signer() stdcrypto.Signer { return &nodeSigner{key: t.key} }

// Visitor is the node that the bearer of the ticket comes as.
func (t Ticket) Visitor() (record.NodeID, error) { return record.MakeNodeID(publicKey(t.key())) }

// ProvePairing signs with the node key that a visitor comes from the node in
// use to this host. The visitor's key is one ticket's own, so the signature
// serves for that ticket alone.
func (k *Keyring) ProvePairing(visitor, host record.NodeID) []byte {
	return ed25519.Sign(k.secrets().nodes[0], pairingMessage(visitor, host))
}

// CheckPairing tells whether the node says of itself that the visitor comes
// from it.
func CheckPairing(node, visitor, host record.NodeID, proof []byte) error {
	if node.IsZero() || !ed25519.Verify(node.Key(), pairingMessage(visitor, host), proof) {
		return record.Errorf(record.Invalid, "the visitor does not come from the node that it names")
	}
	return nil
}

func pairingMessage(visitor, host record.NodeID) []byte {
	return append(append([]byte(pairingLabel), visitor.Key()...), host.Key()...)
}
