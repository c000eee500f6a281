// Package daemon puts the rooms of dxd together, so that a command and a test
// start the same thing: an organisation's opened state directory, and on top
// of it the running daemon.
//
// It never holds a rule of its own about documents, partners or the chain; it
// hands one room to another.
package daemon

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"time"

	"dxd/blobstore"
	"dxd/blobstore/badger"
	"dxd/crypto"
	"dxd/event"
	"dxd/exchange"
	"dxd/internal/config"
	"dxd/internal/statedir"
	"dxd/p2p"
	"dxd/partner"
	"dxd/record"
)

// Organisation is an opened state directory: its lock, keys, journal and
// partners. Commands that work without a daemon use it alone.
type Organisation struct {
	Dir    statedir.Dir
	Config config.Config
	Keys   *crypto.Keyring
	Store  *badger.Store
	Book   *partner.Book
	Events *event.Log

	now       func() time.Time
	lock      *statedir.Lock
	announced func(ctx context.Context) // before a node key comes into use that partners may not know
	storage   storage

	deploying sync.Mutex // one deployment at a time
	mu        sync.Mutex // guards Config.Anchor, which a deployment changes
}

// Init makes a state directory for a new organisation: keys, configuration,
// journal with the first card. keyring is what keys.Lock gave.
func Init(ctx context.Context, path, name string, keys *crypto.Keyring, keyring, config []byte) (statedir.Dir, error) {
	return statedir.Create(path, keyring, config, func(d statedir.Dir) (err error) {
		store, err := badger.Open(d.Path(), keys.Sealer(), badger.Options{})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, store.Close()) }()
		var epoch record.Epoch
		rand.Read(epoch[:])
		return store.Update(ctx, func(tx blobstore.Tx) error {
			card, err := partner.Init(tx, keys, name, time.Now())
			if err != nil {
				return err
			}
			if err := exchange.AnchorCard(tx, card.Envelope); err != nil {
				return err
			}
			return exchange.Init(tx, epoch)
		})
	})
}

// Watcher is told, after the fact, what changed in an organisation. Its
// functions may be nil.
type Watcher struct {
	State func(partner.Partner) // a partner's state
	Shut  func(record.NodeID)   // a node that is not let in any more
	Card  func()                // our card
	Keys  func() error          // our keys: before the card that lists them
	Seam  func(partner.Point)   // where a change of keys is
	// Announced is called before a node key comes into use that partners may
	// not have taken yet.
	Announced func(ctx context.Context)
	Now       func() time.Time // nil: time.Now
}

// Open locks and opens a state directory.
func Open(ctx context.Context, dir statedir.Dir, c config.Config, keys *crypto.Keyring, log *slog.Logger, w Watcher) (o *Organisation, err error) {
	o = &Organisation{Dir: dir, Config: c, Keys: keys, announced: w.Announced, storage: storage{begun: make(chan struct{}, 1), seam: w.Seam}, now: w.Now}
	if o.now == nil {
		o.now = time.Now
	}
	if o.lock, err = dir.Lock(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, o.Close())
			o = nil // which is closed: nobody shall do it again
		}
	}()
	if o.Store, err = badger.Open(dir.Path(), keys.Sealer(), badger.Options{Reserve: int64(c.Disk.Reserve), Log: log}); err != nil {
		return o, err
	}
	o.Events = &event.Log{Journal: o.Store, Now: o.now, Retain: c.Retain.Events}
	o.Book, err = partner.Open(ctx, partner.Config{
		Journal: o.Store, Keys: keys, Now: o.now, IsPrivate: p2p.IsPrivate, OnState: w.State, OnShut: w.Shut, OnChange: o.tellOfPartner, OnOwn: exchange.AnchorCard, OnCard: w.Card,
		OnKeys: w.Keys, Save: dir.WriteKeyring, Seam: w.Seam,
	})
	if err != nil {
		return o, err
	}
	if err := o.Book.Settle(ctx); err != nil {
		// Nothing is lost: records go on under the card that is there. A
		// full disk is the likely reason, and it is tried again.
		log.Error("couldn't sign a card with the keyring's keys", "error", err)
	}
	if err := o.anchorCard(ctx); err != nil {
		log.Error("couldn't queue our card to be anchored", "error", err) // tried again at the next start
	}
	return o, nil
}

// anchorCard queues our card if no older version of this program has.
func (o *Organisation) anchorCard(ctx context.Context) error {
	return o.Store.Update(ctx, func(tx blobstore.Tx) error { return exchange.AnchorCard(tx, o.Book.Self().Envelope) })
}

func (o *Organisation) tellOfPartner(tx blobstore.Tx, org record.OrgID, s partner.State) error {
	return event.Append(tx, event.Event{Type: event.PartnerChanged, Time: o.now().UnixMilli(), Partner: org, State: string(s)})
}

// Close closes and unlocks what Open opened.
func (o *Organisation) Close() error {
	var errs []error
	if o.Store != nil {
		errs = append(errs, o.Store.Close())
	}
	return errors.Join(append(errs, o.lock.Unlock())...)
}
