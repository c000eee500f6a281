package partner_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"dxd/blobstore"
	"dxd/blobstore/badger"
	"dxd/crypto"
	"dxd/partner"
	"dxd/record"
)

// today is when the tests take place, by everybody's clock.
var today = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func in(d time.Duration) int64 { return today.Add(d).UnixMilli() }

// org is an organisation whose cards are written by hand: one gone bad does
// not use our code.
type org struct {
	t         testing.TB
	root      ed25519.PrivateKey
	signing   ed25519.PrivateKey
	node      ed25519.PrivateKey
	account   *secp256k1.PrivateKey
	recipient string
}

func newOrg(t testing.TB) *org {
	t.Helper()
	keys, err := crypto.Generate()
	check(t, err)
	account, err := secp256k1.GeneratePrivateKey()
	check(t, err)
	return &org{t, newKey(t), newKey(t), newKey(t), account, keys.Recipient()}
}

func newKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	return key
}

func public(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }

func (o *org) id() record.OrgID {
	id, err := record.MakeOrgID(public(o.root))
	check(o.t, err)
	return id
}

func (o *org) nodeID() record.NodeID {
	id, err := record.MakeNodeID(public(o.node))
	check(o.t, err)
	return id
}

// card is the organisation's first card, with one change.
func (o *org) card(change func(*record.Card)) record.Signed[record.Card] {
	o.t.Helper()
	return o.signCard(o.body(change), o.signers()...)
}

func (o *org) body(change func(*record.Card)) record.Card {
	c := record.Card{
		Header:      record.NewHeader[record.Card](o.id(), record.RecordID{}, in(0), nonce()),
		Name:        "Acme",
		Serial:      1,
		Expires:     in(time.Hour),
		SigningKeys: []record.PublicKey{record.PublicKey(public(o.signing))},
		Nodes:       []record.NodeID{o.nodeID()},
		Recipients:  []string{o.recipient},
		Accounts:    []record.Account{record.AccountOf(o.account.PubKey().SerializeUncompressed())},
	}
	if change != nil {
		change(&c)
	}
	return c
}

func nonce() (n record.Nonce) {
	rand.Read(n[:])
	return n
}

type signer = func(pae []byte) ([]byte, error)

// signers are all that a card needs: the root, and each key on it.
func (o *org) signers() []signer {
	return []signer{signWith(o.root), signWith(o.signing), signWith(o.node), o.signAccount}
}

func signWith(key ed25519.PrivateKey) signer {
	return func(pae []byte) ([]byte, error) { return ed25519.Sign(key, pae), nil }
}

func (o *org) signAccount(pae []byte) ([]byte, error) {
	hash := record.AccountHash(pae)
	compact := ecdsa.SignCompact(o.account, hash[:], false)
	return append(compact[1:], compact[0]), nil
}

func (o *org) signCard(body record.Card, signers ...signer) record.Signed[record.Card] {
	o.t.Helper()
	card, err := record.Sign(body, signers...)
	check(o.t, err)
	return card
}

// after is the next card.
func (o *org) after(old record.Signed[record.Card], change func(*record.Card)) record.Signed[record.Card] {
	o.t.Helper()
	return o.card(func(c *record.Card) {
		c.Serial, c.Previous = old.Body.Serial+1, old.ID()
		if change != nil {
			change(c)
		}
	})
}

// presence says where the organisation's node is.
func (o *org) presence(card record.Signed[record.Card], created int64, addresses ...string) record.Signed[record.Presence] {
	o.t.Helper()
	p, err := record.Sign(record.Presence{
		Header: record.NewHeader[record.Presence](o.id(), card.ID(), created, nonce()),
		Node:   o.nodeID(), Addresses: addresses, Expires: created + 1000,
	}, signWith(o.node))
	check(o.t, err)
	return p
}

// file is what the organisation hands over, as bytes.
func file(t testing.TB, card record.Signed[record.Card], presence ...record.Signed[record.Presence]) []byte {
	t.Helper()
	b, err := record.OpenedCardFile{Card: card, Presence: presence}.File().Bytes()
	check(t, err)
	return b
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// home is the organisation whose book is tested, on a real journal.
type home struct {
	*partner.Book
	t     testing.TB
	own   *org
	dir   string
	keys  *crypto.Keyring
	store *badger.Store
	now   time.Time
}

func newHome(t testing.TB) *home {
	t.Helper()
	keys, err := crypto.Generate()
	check(t, err)
	h := &home{t: t, own: newOrg(t), dir: t.TempDir(), keys: keys, now: today}
	h.openStore()
	check(t, h.store.Update(t.Context(), func(tx blobstore.Tx) error {
		return tx.Set("p/self", h.own.card(nil).Bytes()) // of keys that the tests can sign with
	}))
	h.Book = h.open(h.store)
	t.Cleanup(func() { check(t, h.store.Close()) })
	return h
}

func (h *home) openStore() {
	h.t.Helper()
	var err error
	h.store, err = badger.Open(h.dir, h.keys.Sealer(), badger.Options{})
	check(h.t, err)
}

// open opens another book over the same journal, as another process would.
func (h *home) open(journal blobstore.Journal) *partner.Book {
	h.t.Helper()
	b, err := partner.Open(h.t.Context(), partner.Config{
		Journal: journal, Keys: h.keys, Now: func() time.Time { return h.now },
		IsPrivate: func(addr string) bool { return strings.HasPrefix(addr, "/ip4/10.") },
	})
	check(h.t, err)
	return b
}

// reopen closes the journal and opens it, and the book, again.
func (h *home) reopen() {
	h.t.Helper()
	check(h.t, h.store.Close())
	h.openStore()
	h.Book = h.open(h.store)
}

// add accepts what a person was handed.
func (h *home) add(data []byte, alias string) (partner.Partner, error) {
	opened, err := record.OpenCardFile(data)
	if err != nil {
		return partner.Partner{}, err
	}
	return h.Add(h.t.Context(), opened, alias)
}

// has adds a partner that must be taken.
func (h *home) has(data []byte, alias string) partner.Partner {
	h.t.Helper()
	p, err := h.add(data, alias)
	check(h.t, err)
	return p
}

// learn takes what a partner sent of itself.
func (h *home) learn(from record.OrgID, data []byte) error {
	opened, err := record.OpenCardFile(data)
	if err != nil {
		return err
	}
	return h.Learn(h.t.Context(), from, opened)
}

// set changes a partner's state.
func (h *home) set(alias string, s partner.State) partner.Partner {
	h.t.Helper()
	p, err := h.SetState(h.t.Context(), alias, s, nil)
	check(h.t, err)
	return p
}
