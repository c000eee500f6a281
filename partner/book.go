package partner

import (
	"context"
	"slices"
	"sync"
	"time"

	"dxd/blobstore"
	"dxd/crypto"
	"dxd/record"
)

// Config is what a Book needs.
type Config struct {
	Journal blobstore.Journal
	Keys    *crypto.Keyring
	Now     func() time.Time
	// IsPrivate tells whether an address leads into a private network.
	IsPrivate func(addr string) bool
	// OnState is called after a partner's state has changed, from the
	// goroutine that noticed. It may read the book, and must not change it; nil
	// calls nothing.
	OnState func(Partner)
	// OnShut is called, likewise, for each node that the gate let in and does
	// not any more: its partner is not active, or has a newer card without it.
	OnShut func(record.NodeID)
	// OnChange is called in the update in which a partner comes, goes, changes
	// its alias or has a newer card, but not where it is only somewhere else;
	// nil calls nothing.
	OnChange func(tx blobstore.Tx, org record.OrgID, s State) error
	// OnOwn is called in the update that makes a card ours; nil calls nothing.
	OnOwn func(tx blobstore.Tx, card record.Envelope) error
	// OnCard is called after a new card of ours has taken the place of the
	// older; nil calls nothing.
	OnCard func()
	// Save keeps the keyring's file: when it returns nil, a restart reads the
	// new one. Without it our keys can't change.
	Save func(file []byte) error
	// OnKeys is called when the keyring has other keys, before our card lists
	// them; nil calls nothing.
	OnKeys func() error
	// Seam is called at each moment of a change of our keys. Tests stop the
	// process there; production leaves it nil.
	Seam func(Point)
}

// Book holds all partners in memory, as the journal has them, so that the gate
// can answer without waiting for a disk. Its methods may be called by several
// goroutines.
type Book struct {
	Config

	renewing  sync.Mutex // lets one new card of ours be made at a time
	reloading sync.Mutex // lets one reload at a time read the journal and tell the book

	turns    sync.Map   // organisation → *sync.Mutex, which lets one file of a partner's be taken at a time
	learning sync.Mutex // lets one new card of a partner be taken at a time; guards paces
	paces    paces

	presenting sync.Mutex                       // lets one card file of ours be made at a time; guards what follows
	presence   []record.Signed[record.Presence] // our own, as signed last
	presented  presented                        // as it stands in the journal

	mu      sync.RWMutex // guards what follows
	self    record.Signed[record.Card]
	byOrg   map[record.OrgID]entry
	byNode  map[record.NodeID]record.OrgID
	byAlias map[string]record.OrgID
	cards   map[record.RecordID]record.Signed[record.Card] // our own and each partner's, as they are now
	older   map[record.RecordID]record.Signed[record.Card] // some that were read from the journal, verified
}

// entry is a partner with the journal's bytes that it was read from, which
// say whether it has to be read, and its signatures verified, again.
type entry struct {
	Partner
	raw string
}

// Open reads the book.
func Open(ctx context.Context, c Config) (*Book, error) {
	b := &Book{Config: c, paces: paces{}, older: map[record.RecordID]record.Signed[record.Card]{}}
	if err := alignStandings(ctx, c.Journal); err != nil {
		return b, err
	}
	err := c.Journal.View(ctx, func(tx blobstore.ReadTx) (err error) {
		b.presented, err = getPresented(tx)
		return err
	})
	if err != nil {
		return b, err
	}
	return b, b.reload(ctx)
}

// Run keeps the book as the journal is until ctx ends: another process of the
// same organisation may change it.
func (b *Book) Run(ctx context.Context) error {
	changed := b.Journal.Watch(ctx, KeyPrefix)
	for {
		select {
		case <-changed:
			if err := b.reload(ctx); err != nil && ctx.Err() == nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// reload reads what has changed since the last time.
func (b *Book) reload(ctx context.Context) error {
	changed, shut, err := b.read(ctx)
	if b.OnShut != nil {
		for _, node := range shut {
			b.OnShut(node)
		}
	}
	if b.OnState != nil {
		for _, p := range changed {
			b.OnState(p)
		}
	}
	return err
}

// read is one reload at a time: a slower one that read the journal before
// another must not bring back what that one has replaced.
func (b *Book) read(ctx context.Context) (changed []Partner, shut []record.NodeID, err error) {
	b.reloading.Lock()
	defer b.reloading.Unlock()
	var rows []rawRow
	var self record.Envelope
	err = b.Journal.View(ctx, func(tx blobstore.ReadTx) (err error) {
		if self, err = selfCard(tx); err != nil {
			return err
		}
		rows, err = scanRows(tx)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	card, err := record.OpenCard(self)
	if err != nil {
		return nil, nil, err
	}
	return b.replace(card, rows)
}

// replace takes the rows over, all or none, and returns the partners whose
// state changed, and the nodes that may not come in any more. It is called with
// reloading held.
func (b *Book) replace(self record.Signed[record.Card], rows []rawRow) (changed []Partner, shut []record.NodeID, err error) {
	known := b.opened()
	var entries []entry
	for _, r := range rows {
		e, ok := known[r.Org]
		if !ok || e.raw != r.raw {
			p, err := r.open(e.Partner)
			if err != nil {
				return nil, nil, err
			}
			if e.State != p.State && ok {
				changed = append(changed, p)
			}
			e = entry{p, r.raw}
		}
		entries = append(entries, e)
	}
	b.mu.Lock() // not before: the gate must not wait while signatures are verified
	defer b.mu.Unlock()
	var admitted []record.NodeID
	for node := range b.byNode {
		if b.admits(node) {
			admitted = append(admitted, node)
		}
	}
	b.Keys.Adopt(self)
	b.self = self
	b.cards = map[record.RecordID]record.Signed[record.Card]{self.ID(): self}
	b.byOrg = map[record.OrgID]entry{}
	b.byNode = map[record.NodeID]record.OrgID{}
	b.byAlias = map[string]record.OrgID{}
	for _, e := range entries {
		b.insert(e)
	}
	return changed, slices.DeleteFunc(admitted, b.admits), nil
}

// maxAdmitted is how many nodes of a card get in, the first ones: the newest key
// and two that were rotated lately. What the network gives a node is bounded for
// each; a card has room for 16, which could have taken all that there is.
const maxAdmitted = 3

// insert is called with mu held.
func (b *Book) insert(e entry) {
	b.byOrg[e.Org] = e
	b.cards[e.Card.ID()] = e.Card
	if e.State == Removed {
		return
	}
	b.byAlias[e.Alias] = e.Org
	nodes := e.Card.Body.Nodes
	for _, node := range nodes[:min(len(nodes), maxAdmitted)] {
		b.byNode[node] = e.Org
	}
}

// opened is what was read last. It is replaced as a whole, and never written to then.
func (b *Book) opened() map[record.OrgID]entry {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.byOrg
}

// admits is Admit with mu held.
func (b *Book) admits(node record.NodeID) bool {
	org, ok := b.byNode[node]
	return ok && b.byOrg[org].State == Active
}

// Self is this organisation's own card.
func (b *Book) Self() record.Signed[record.Card] {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.self
}

// ByOrg finds a partner, a removed one too; NotFound if there never was one.
func (b *Book) ByOrg(org record.OrgID) (Partner, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if e, ok := b.byOrg[org]; ok {
		return e.Partner, nil
	}
	return Partner{}, record.Errorf(record.NotFound, "no partner with the identifier %s", org)
}

// ByAlias finds a partner that has not been removed.
func (b *Book) ByAlias(alias string) (Partner, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if org, ok := b.byAlias[alias]; ok {
		return b.byOrg[org].Partner, nil
	}
	return Partner{}, record.WithHint(record.Errorf(record.NotFound, "no partner has the alias %q", record.Printable(alias, 80)),
		"`dxd partner list` shows all partners")
}

// ByNode finds the partner of an authenticated node, if it is active.
func (b *Book) ByNode(node record.NodeID) (Partner, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.admits(node) {
		return b.byOrg[b.byNode[node]].Partner, nil
	}
	return Partner{}, record.Errorf(record.Refused, "not a node of an active partner")
}

// List gives all partners that have not been removed, by alias.
func (b *Book) List() []Partner {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var all []Partner
	for _, org := range b.byAlias {
		all = append(all, b.byOrg[org].Partner)
	}
	slices.SortFunc(all, func(x, y Partner) int {
		if x.Alias < y.Alias {
			return -1
		}
		return 1
	})
	return all
}

// Admit tells whether a node belongs to an active partner. The gate asks it,
// so unknown, removed and suspended all get the same answer.
func (b *Book) Admit(node record.NodeID) bool {
	_, err := b.ByNode(node)
	return err == nil
}

// MayDial tells whether the address stands on the node's presence, and whether
// it may lead into a private network if it does.
func (b *Book) MayDial(node record.NodeID, addr string) bool {
	p, err := b.ByNode(node)
	if err != nil || !slices.Contains(p.Addresses(node), addr) {
		return false
	}
	return p.Private || !b.IsPrivate(addr)
}

// maxOlder is how many older cards are kept in memory, of some 100 KiB at most,
// so that records under one that was just replaced don't each read it again.
const maxOlder = 64

// Card finds any card, of a partner or our own, that was ever accepted here.
func (b *Book) Card(ctx context.Context, id record.RecordID) (record.Signed[record.Card], error) {
	b.mu.RLock()
	card, ok := b.cards[id]
	if !ok {
		card, ok = b.older[id]
	}
	b.mu.RUnlock()
	if ok {
		return card, nil
	}
	err := b.Journal.View(ctx, func(tx blobstore.ReadTx) (err error) {
		card, err = CardByID(tx, id)
		return err
	})
	if err != nil {
		return record.Signed[record.Card]{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.older) >= maxOlder {
		for any := range b.older {
			delete(b.older, any)
			break
		}
	}
	b.older[id] = card
	return card, nil
}
