package hashanchor_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"dxd/hashanchor"
	"dxd/record"
)

// The fixture's moments, in ms since 1970.
const (
	cardMade    = 1_790_000_000_000
	cardEnds    = cardMade + 365*24*3600*1000
	signedAt    = cardMade + 1000
	anchoredAt  = cardMade/1000 + 60 // in s
	chainID     = 1337
	beaconBlock = 40
)

var contract = record.Account{0xc0, 0x17, 0xac, 0x70}

// sum makes the fixture's keys, nonces and salts: the same bytes in every run.
func sum(label string) [32]byte { return sha256.Sum256([]byte("fixture: " + label)) }

func nonce(label string) record.Nonce { return record.Nonce(sum("nonce " + label)) }

// org is an organisation that signs with keys that follow from its name.
type org struct {
	name    string
	root    ed25519.PrivateKey
	signing ed25519.PrivateKey
	node    ed25519.PrivateKey
	account *secp256k1.PrivateKey
	card    record.Signed[record.Card]
}

func (o *org) id(t testing.TB) record.OrgID {
	id, err := record.MakeOrgID(o.root.Public().(ed25519.PublicKey))
	must(t, err)
	return id
}

func (o *org) address() record.Account {
	return record.AccountOf(o.account.PubKey().SerializeUncompressed())
}

func newOrg(t testing.TB, name string) *org {
	key := func(role string) ed25519.PrivateKey {
		seed := sum(name + " " + role)
		return ed25519.NewKeyFromSeed(seed[:])
	}
	account := sum(name + " account")
	o := &org{name: name, root: key("root"), signing: key("signing"), node: key("node"), account: secp256k1.PrivKeyFromBytes(account[:])}
	o.card = o.makeCard(t, 1, record.RecordID{}, cardEnds)
	return o
}

func (o *org) makeCard(t testing.TB, serial int64, previous record.RecordID, expires int64) record.Signed[record.Card] {
	node, err := record.MakeNodeID(o.node.Public().(ed25519.PublicKey))
	must(t, err)
	card, err := record.Sign(record.Card{
		Header:      record.NewHeader[record.Card](o.id(t), record.RecordID{}, cardMade, nonce(o.name+"card")),
		Name:        o.name,
		Serial:      serial,
		Previous:    previous,
		Expires:     expires,
		SigningKeys: []record.PublicKey{record.PublicKey(o.signing.Public().(ed25519.PublicKey))},
		Nodes:       []record.NodeID{node},
		Recipients:  []string{o.recipient()},
		Accounts:    []record.Account{o.address()},
	}, signer(o.root), signer(o.signing), signer(o.node), o.countersign)
	must(t, err)
	return card
}

// recipient has the form of an age recipient; nothing is sealed for it here.
func (o *org) recipient() string {
	key := sum(o.name + " recipient")
	return "age1pq1" + strings.NewReplacer("1", "q", "b", "p").Replace(hex.EncodeToString(key[:]))
}

func (o *org) countersign(pae []byte) ([]byte, error) {
	hash := record.AccountHash(pae)
	sig := ecdsa.SignCompact(o.account, hash[:], false) // v ‖ r ‖ s
	return append(sig[1:], sig[0]), nil
}

func signer(key ed25519.PrivateKey) func([]byte) ([]byte, error) {
	return func(pae []byte) ([]byte, error) { return ed25519.Sign(key, pae), nil }
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// story is one transfer of a document from Alpha to Beta, accepted, both
// records anchored for good.
type story struct {
	alpha, beta *org
	document    []byte
	opening     record.Opening
	manifest    record.Signed[record.Manifest]
	received    record.Signed[record.Receipt]
	accepted    record.Signed[record.Receipt]
	evidence    hashanchor.Evidence
	chain       *memoryChain
}

func (s *story) doc() hashanchor.Document {
	return hashanchor.Document{Digest: sha256.Sum256(s.document), Length: int64(len(s.document))}
}

// tell makes the story about a document of this text.
func tell(t testing.TB, text string) *story {
	s := &story{alpha: newOrg(t, "Alpha"), beta: newOrg(t, "Beta"), document: []byte(text), chain: newChain()}
	s.opening = opening(text, 0, record.Document)
	s.manifest = s.signManifest(t, record.LaneDoc, s.opening)
	s.received = s.signReceipt(t, s.beta.card, record.RecordID{}, record.Entry{Status: record.StatusReceived})
	s.accepted = s.signReceipt(t, s.beta.card, s.received.ID(), record.Entry{Status: record.StatusAccepted, Application: "order 17"})
	s.evidence = hashanchor.Evidence{
		Type:     hashanchor.EvidenceType,
		Cards:    []record.Envelope{s.alpha.card.Envelope, s.beta.card.Envelope},
		Record:   s.manifest.Envelope,
		Receipts: []record.Envelope{s.received.Envelope, s.accepted.Envelope},
		Opening:  s.opening,
		Path:     []record.Hash{},
		Proofs: []hashanchor.Proof{
			s.chain.anchor(t, s.alpha.address(), 50, s.manifest.Envelope),
			s.chain.anchor(t, s.beta.address(), 51, s.received.Envelope),
		},
	}
	return s
}

func opening(text string, index int64, kind record.ItemKind) record.Opening {
	o := record.Opening{
		Type:      "application/vnd.dxd.opening.v1+json",
		Transfer:  record.TransferID{0x01, 0x90, 0xb8, 0xf0, 0x3c, 0x5e, 0x7a, 0xbc, 0x8d, 0xef, 1, 2, 3, 4, 5, byte(index)},
		Index:     index,
		Kind:      kind,
		Name:      "contract.txt",
		MediaType: "text/plain",
		Length:    int64(len(text)),
		Digest:    sha256.Sum256([]byte(text)),
		Salt:      nonce("salt of " + text),
	}
	if kind == record.Message {
		o.Name = ""
	}
	return o
}

func leafOf(t testing.TB, o record.Opening) record.Hash {
	data, err := o.Bytes()
	must(t, err)
	return record.LeafHash(data)
}

func (s *story) signManifest(t testing.TB, lane record.Lane, items ...record.Opening) record.Signed[record.Manifest] {
	var leaves []record.Hash
	for _, o := range items {
		leaves = append(leaves, leafOf(t, o))
	}
	m, err := record.Sign(record.Manifest{
		Header:        record.NewHeader[record.Manifest](s.alpha.id(t), s.alpha.card.ID(), signedAt, nonce("manifest of "+string(s.document))),
		Recipient:     s.beta.id(t),
		RecipientCard: s.beta.card.ID(),
		Number:        record.Number{Epoch: record.Epoch{1}, Lane: lane, Sequence: 1},
		Items:         int64(len(items)),
		Root:          record.TreeRoot(leaves),
		SealedLength:  100,
		BodyNonce:     record.BodyNonce{2},
		Beacon:        s.chain.block(beaconBlock),
	}, signer(s.alpha.signing))
	must(t, err)
	return m
}

func (s *story) signReceipt(t testing.TB, card record.Signed[record.Card], previous record.RecordID, entries ...record.Entry) record.Signed[record.Receipt] {
	r, err := record.Sign(record.Receipt{
		Header:   record.NewHeader[record.Receipt](s.beta.id(t), card.ID(), signedAt+1000, nonce("receipt "+string(entries[0].Status)+string(s.document))),
		Sender:   s.alpha.id(t),
		Manifest: s.manifest.ID(),
		Previous: previous,
		Entries:  entries,
	}, signer(s.beta.signing))
	must(t, err)
	return r
}

func (s *story) file(t testing.TB) []byte {
	data, err := s.evidence.Bytes()
	must(t, err)
	return data
}

func (s *story) verify(t testing.TB, data []byte) hashanchor.Report {
	t.Helper()
	return verify(t, s.doc(), data, hashanchor.Options{Chain: s.chain})
}

func verify(t testing.TB, doc hashanchor.Document, data []byte, o hashanchor.Options) hashanchor.Report {
	t.Helper()
	r, err := hashanchor.Verify(context.Background(), doc, data, o)
	must(t, err)
	if r.Valid != (r.ExitCode() == hashanchor.ExitValid) {
		t.Fatalf("valid is %v and the exit code %d", r.Valid, r.ExitCode())
	}
	return r
}

// broken is the first check that does not hold.
func broken(r hashanchor.Report) hashanchor.Check {
	for _, c := range r.Checks {
		if !c.OK {
			return c
		}
	}
	return hashanchor.Check{}
}

// memoryChain is a chain with one contract that keeps hashanchor.Chain's word.
type memoryChain struct {
	entries map[hashanchor.Anchor]hashanchor.Anchor // by chain, contract, account and root alone
	head    int64
	final   int64
	down    error
}

func newChain() *memoryChain {
	return &memoryChain{entries: map[hashanchor.Anchor]hashanchor.Anchor{}, head: 100, final: 90}
}

func (c *memoryChain) block(n int64) record.Beacon {
	return record.Beacon{ChainID: chainID, Block: n, Hash: sum("block" + string(rune('0'+n))), Time: anchoredAt - 50 + n}
}

// anchor puts a batch of these records on the chain and proves the first.
func (c *memoryChain) anchor(t testing.TB, account record.Account, block int64, records ...record.Envelope) hashanchor.Proof {
	var leaves []record.Hash
	for _, e := range records {
		leaves = append(leaves, e.Leaf())
	}
	for len(leaves) < 3 {
		leaves = append(leaves, sum("leaf of another record"))
	}
	b := hashanchor.NewBatch(hashanchor.Pad(leaves, nonce("padding")))
	key := hashanchor.Anchor{ChainID: chainID, Contract: contract, Account: account, Root: b.Root()}
	a := key
	a.Block, a.Time = block, c.block(block).Time
	if old, ok := c.entries[key]; ok {
		a = old // first write wins
	}
	c.entries[key] = a
	p := hashanchor.Proof{Record: records[0].ID(), Index: 0, Path: b.Path(0), Anchor: a}
	must(t, p.Check(records[0].Leaf()))
	return p
}

var errDown = errors.New("the endpoint does not answer")

func (c *memoryChain) Lookup(ctx context.Context, a hashanchor.Anchor) (hashanchor.Found, error) {
	if c.down != nil {
		return hashanchor.Found{}, c.down
	}
	if a.ChainID != chainID || a.Contract != contract {
		return hashanchor.Found{}, record.Errorf(record.Invalid, "this is chain %d with the contract %s", chainID, contract)
	}
	a.Block, a.Time = 0, 0
	there, ok := c.entries[a]
	switch {
	case !ok || there.Block > c.head:
		return hashanchor.Found{Standing: hashanchor.Missing, Head: c.head}, nil
	case there.Block > c.final:
		return c.found(hashanchor.Included, there), nil
	}
	return c.found(hashanchor.Final, there), nil
}

func (c *memoryChain) found(s hashanchor.Standing, a hashanchor.Anchor) hashanchor.Found {
	return hashanchor.Found{Standing: s, Block: a.Block, Time: a.Time, BlockHash: c.block(a.Block).Hash, Head: c.head}
}

func (c *memoryChain) Block(ctx context.Context, n int64) (record.Beacon, error) {
	if c.down != nil {
		return record.Beacon{}, c.down
	}
	if n > c.head {
		return record.Beacon{}, record.Errorf(record.NotFound, "no block %d yet", n)
	}
	return c.block(n), nil
}
