package exchange_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"

	"dxd/blobstore"
	"dxd/crypto"
	"dxd/exchange"
	"dxd/hashanchor"
	"dxd/record"
)

func TestTheProofOfACardReachesWhoeverHasTheCard(t *testing.T) {
	a, b, c := newNode(t, "anna"), newNode(t, "bert"), newNode(t, "carl")
	first := a.book.Self()
	a.proven(first.Envelope) // before there is a partner
	pair(t, a, b)
	a.delivered(a.send("bert", []byte("they meet")).ID)
	b.isPushed(first.ID())
	b.halt()
	var later []record.Envelope
	for range 2 {
		check(t, a.book.Renew(t.Context()))
		later = append(later, a.book.Self().Envelope)
		a.proven(later[len(later)-1])
	}
	b.start()
	for _, card := range later {
		b.isPushed(card.ID())
	}
	pair(t, a, c) // which gets the older cards with the history
	a.delivered(a.send("carl", []byte("they meet")).ID)
	for _, card := range append(later, first.Envelope) {
		c.isPushed(card.ID())
	}
}

func TestTheProofOfACardThatDoesNotHoldIsNotTaken(t *testing.T) {
	a, b, c := newNode(t, "anna"), newNode(t, "bert"), newNode(t, "carl")
	pair(t, a, b)
	pair(t, c, b)
	next, err := a.keys.SignCard(record.Card{Header: record.Header{Created: 1}, Name: "anna", Serial: 2, Previous: a.book.Self().ID(), Expires: 1 << 50})
	check(t, err)
	for _, test := range []struct {
		what    string
		from    *node
		card    record.Envelope
		account record.Account
	}{
		{"by a partner's account", a, a.book.Self().Envelope, c.keys.Account()},
		{"by our account", a, a.book.Self().Envelope, b.keys.Account()},
		{"of another partner's card", a, c.book.Self().Envelope, c.keys.Account()},
		{"of our own card", a, b.book.Self().Envelope, b.keys.Account()},
		{"of a card that is not here", a, next.Envelope, a.keys.Account()},
	} {
		raw, err := proofOf(t, test.card, test.account).Bytes()
		check(t, err)
		if got := test.from.tells(t, b).tell(map[string]any{"proof": json.RawMessage(raw)}); got.OK || got.Retry {
			t.Errorf("%s: %+v", test.what, got)
		}
		if b.pushed(test.card.ID()) {
			t.Errorf("%s: it is kept", test.what)
		}
	}
}

func TestACardIsAnchoredByAnAccountOnItself(t *testing.T) {
	a := newNode(t, "anna")
	a.keys.Become(rotated(t, a.keys))
	for _, card := range []record.Signed[record.Card]{a.book.Self(), a.nextCard()} {
		check(t, a.store.Update(t.Context(), func(tx blobstore.Tx) error {
			if err := exchange.AnchorCard(tx, card.Envelope); err != nil {
				return err
			}
			return exchange.AnchorCard(tx, card.Envelope)
		}))
		check(t, a.store.View(t.Context(), func(tx blobstore.ReadTx) error {
			accounts, err := a.AccountsOf(tx, card.ID())
			if len(accounts) != len(card.Body.Accounts) || accounts[0] != card.Body.Accounts[0] {
				t.Errorf("card %d is anchored by %v", card.Body.Serial, accounts)
			}
			return err
		}))
	}
	if n := len(a.leaves()); n != 2 {
		t.Errorf("%d leaves of two cards", n)
	}
}

func rotated(t *testing.T, keys *crypto.Keyring) *crypto.Keyring {
	t.Helper()
	next, err := keys.With(crypto.RoleAccount)
	check(t, err)
	return next
}

// nextCard has the node sign a card with the keyring's keys.
func (n *node) nextCard() record.Signed[record.Card] {
	n.t.Helper()
	check(n.t, n.book.Settle(n.t.Context()))
	return n.book.Self()
}

func TestCardFilesHaveTheProofThatIsHere(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	opened := func(file record.CardFile, err error) hashanchor.CardFile {
		t.Helper()
		check(t, err)
		data, err := file.Bytes()
		check(t, err)
		f, err := hashanchor.OpenCardFile(data)
		check(t, err)
		if f.Card.ID() != a.book.Self().ID() {
			t.Errorf("the card is %s", f.Card.ID())
		}
		return f
	}
	if f := opened(a.CardFile(t.Context())); f.Proof != nil || len(f.Presence) != 1 {
		t.Errorf("before there is a proof: %+v, %d presences", f.Proof, len(f.Presence))
	}
	a.delivered(a.send("bert", []byte("they meet")).ID)
	a.proven(a.book.Self().Envelope)
	b.isPushed(a.book.Self().ID())
	if f := opened(a.CardFile(t.Context())); f.Proof == nil || len(f.Presence) != 1 {
		t.Errorf("our own: %+v, %d presences", f.Proof, len(f.Presence))
	}
	if f := opened(b.PartnerCardFile(t.Context(), "anna")); f.Proof == nil || len(f.Presence) != 0 {
		t.Errorf("the partner's: %+v, %d presences", f.Proof, len(f.Presence))
	}
}

// cardless counts what is read of cards in updates.
type cardless struct {
	blobstore.Journal
	read *atomic.Int64
}

func (j cardless) Update(ctx context.Context, fn func(blobstore.Tx) error) error {
	return j.Journal.Update(ctx, func(tx blobstore.Tx) error { return fn(cardlessTx{tx, j.read}) })
}

type cardlessTx struct {
	blobstore.Tx
	read *atomic.Int64
}

func (tx cardlessTx) Get(key blobstore.Key) ([]byte, error) {
	if strings.HasPrefix(string(key), "p/c/") {
		tx.read.Add(1)
	}
	return tx.Tx.Get(key)
}

// A card is verified when it is read, and has up to 49 signatures: a partner that
// tells one proof without end must not have all updates wait for that.
func TestNoCardIsVerifiedInTheUpdateThatTakesAProof(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	b.halt()
	read := &atomic.Int64{}
	b.rows = func(j blobstore.Journal) blobstore.Journal { return cardless{j, read} }
	b.start()
	pair(t, a, b)
	id := a.delivered(a.send("bert", []byte("from anna")).ID).ID
	manifest, _ := b.records(id)
	s := a.tells(t, b)
	before := read.Load()
	for _, e := range []record.Envelope{a.book.Self().Envelope, manifest} {
		raw, err := proofOf(t, e, a.keys.Account()).Bytes()
		check(t, err)
		news := map[string]any{"proof": json.RawMessage(raw)}
		if e.Name() != "card" {
			news["transfer"] = id.String()
		}
		if got := s.tell(news); !got.OK || !b.pushed(e.ID()) {
			t.Errorf("the proof of a %s: %+v", e.Name(), got)
		}
	}
	if n := read.Load() - before; n != 0 {
		t.Errorf("%d cards were read", n)
	}
}
