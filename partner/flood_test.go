package partner_test

import (
	"context"
	"crypto/ed25519"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"

	"dxd/blobstore"
	"dxd/record"
)

// fullCard is the largest card that there can be: 16 keys of each sort, all but the
// recipients' with a signature. Its nodes follow it.
func fullCard(t *testing.T, o *org) (record.Signed[record.Card], []ed25519.PrivateKey) {
	t.Helper()
	signing, nodes, accounts := []ed25519.PrivateKey{o.signing}, []ed25519.PrivateKey{o.node}, []*secp256k1.PrivateKey{o.account}
	body := o.body(nil)
	for range 15 {
		other := newOrg(t)
		signing, nodes, accounts = append(signing, other.signing), append(nodes, other.node), append(accounts, other.account)
		card := other.body(nil)
		body.SigningKeys, body.Nodes = append(body.SigningKeys, card.SigningKeys...), append(body.Nodes, card.Nodes...)
		body.Recipients, body.Accounts = append(body.Recipients, card.Recipients...), append(body.Accounts, card.Accounts...)
	}
	signers := []signer{signWith(o.root)}
	for _, key := range append(signing, nodes...) {
		signers = append(signers, signWith(key))
	}
	for _, key := range accounts {
		signers = append(signers, (&org{account: key}).signAccount)
	}
	return o.signCard(body, signers...), nodes
}

// watched is a journal that knows the shortest of its updates, and how many were
// waited for at once.
type watched struct {
	blobstore.Journal
	least         time.Duration
	waiting, most atomic.Int64
}

func (j *watched) Update(ctx context.Context, fn func(blobstore.Tx) error) error {
	n := j.waiting.Add(1)
	defer j.waiting.Add(-1)
	for most := j.most.Load(); n > most && !j.most.CompareAndSwap(most, n); most = j.most.Load() {
	}
	return j.Journal.Update(ctx, func(tx blobstore.Tx) error {
		began := time.Now()
		err := fn(tx)
		j.least = min(j.least, time.Since(began))
		return err
	})
}

// moved is a card file whose nodes are somewhere else since then.
func moved(t *testing.T, o *org, card record.Signed[record.Card], nodes []ed25519.PrivateKey, created int64) record.OpenedCardFile {
	t.Helper()
	file := record.OpenedCardFile{Card: card}
	for n, key := range nodes {
		p, err := record.Sign(record.Presence{
			Header: record.NewHeader[record.Presence](o.id(), card.ID(), created, nonce()),
			Node:   card.Body.Nodes[n], Addresses: []string{publicAddr}, Expires: created + 1000,
		}, signWith(key))
		check(t, err)
		file.Presence = append(file.Presence, p)
	}
	return file
}

// TestAPartnerThatMovesWithoutEndHoldsUpNoUpdate has one with the largest card show
// where its nodes are, again and again: its card is verified where nobody waits.
func TestAPartnerThatMovesWithoutEndHoldsUpNoUpdate(t *testing.T) {
	h, globex := newHome(t), newOrg(t)
	card, nodes := fullCard(t, globex)
	j := &watched{Journal: h.store, least: math.MaxInt64}
	h.Book = h.open(j)
	h.has(file(t, card), "globex")
	verified := time.Duration(math.MaxInt64)
	j.least = math.MaxInt64
	for i := range int64(20) {
		began := time.Now()
		_, err := record.OpenCard(card.Envelope)
		check(t, err)
		verified = min(verified, time.Since(began))
		created := in(time.Duration(i+1) * time.Second)
		check(t, h.Learn(t.Context(), globex.id(), moved(t, globex, card, nodes, created)))
		if p, err := h.ByOrg(globex.id()); err != nil || len(p.Presence) != len(nodes) || p.Presence[0].Body.Created != created {
			t.Fatalf("what was learnt of where it is: %+v, %v", p.Presence, err)
		}
	}
	if j.least > verified/2 {
		t.Errorf("an update takes %v; to verify the card takes %v", j.least, verified)
	}
}

func TestHellosOfOnePartnerAreTakenOneAfterTheOther(t *testing.T) {
	h, globex := newHome(t), newOrg(t)
	card := globex.card(nil)
	j := &watched{Journal: h.store}
	h.Book = h.open(j)
	h.has(file(t, card), "globex")
	var all sync.WaitGroup
	for i := range int64(16) {
		file := moved(t, globex, card, []ed25519.PrivateKey{globex.node}, in(time.Duration(i+1)*time.Second))
		all.Go(func() {
			if err := h.Learn(t.Context(), globex.id(), file); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if p, err := h.ByOrg(globex.id()); err != nil || p.Presence[0].Body.Created != in(16*time.Second) {
		t.Errorf("the last is %+v, %v", p.Presence, err)
	}
	if n := j.most.Load(); n != 1 {
		t.Errorf("%d updates were waited for at once", n)
	}
}
