package daemon

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"dxd/api/apitype"
	"dxd/blobstore"
	"dxd/blobstore/badger"
	"dxd/exchange"
	"dxd/partner"
	"dxd/record"
)

// storage is the rotation of the storage key: of the one that seals the
// journal's values, and the one that wraps file keys. The keyring says whether
// one is under way; so it goes on wherever a process stopped.
type storage struct {
	begun chan struct{} // wakes who rotates
	seam  func(partner.Point)

	mu    sync.Mutex // guards what follows
	state apitype.StorageRotation
}

func (s *storage) tell(change func(*apitype.StorageRotation)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.state)
}

func (s *storage) at(p partner.Point) {
	if s.seam != nil {
		s.seam(p)
	}
}

// storagePause is how long it is until the next try after a failure.
const storagePause = time.Minute

// RotateStorage begins to rotate the storage key, and returns once the new one
// is durable. While a rotation is under way it begins no other.
func (o *Organisation) RotateStorage(ctx context.Context) (apitype.StorageRotation, error) {
	if err := o.Book.DrawStorageKey(ctx); err != nil && !o.Keys.StorageRotates() {
		return apitype.StorageRotation{}, err
	}
	select {
	case o.storage.begun <- struct{}{}:
	default:
	}
	return o.StorageRotation(ctx)
}

// StorageRotation tells how far a rotation of the storage key is.
func (o *Organisation) StorageRotation(context.Context) (s apitype.StorageRotation, err error) {
	rotates := o.Keys.StorageRotates()
	o.storage.tell(func(state *apitype.StorageRotation) { s = *state })
	s.UnderWay = rotates
	return s, nil
}

// keepStorage brings each rotation of the storage key to its end, until ctx
// ends; one that an earlier process began, too.
func (o *Organisation) keepStorage(ctx context.Context, log *slog.Logger) error {
	for {
		var again <-chan time.Time
		if o.Keys.StorageRotates() {
			if err := o.reseal(ctx, log); err != nil && ctx.Err() == nil {
				log.Error("couldn't rotate the storage key to its end yet", "error", err)
				o.storage.tell(func(s *apitype.StorageRotation) { s.Error = record.Printable(err.Error(), 1000) })
				again = time.After(storagePause)
			}
		}
		select {
		case <-o.storage.begun:
		case <-again:
		case <-ctx.Done():
			return nil
		}
	}
}

// reseal seals all that the journal holds under the storage key in use, and
// then destroys the older one. A crash at any point leaves a keyring that opens
// every value, and the next start begins anew with what is left.
func (o *Organisation) reseal(ctx context.Context, log *slog.Logger) error {
	o.storage.tell(func(s *apitype.StorageRotation) { *s = apitype.StorageRotation{} })
	log.Info("sealing the journal under a new storage key")
	stale := o.Keys.Sealer().Stale
	lost, err := o.Store.Reseal(ctx, badger.Resealing{
		Due: func(key blobstore.Key, sealed []byte) bool {
			// A file key may be wrapped under the older key in a value that is
			// sealed under the new one: it was wrapped a moment before.
			return exchange.HoldsFileKey(key) || stale(sealed, []byte(key))
		},
		Change: func(key blobstore.Key, value []byte) ([]byte, error) {
			if exchange.HoldsFileKey(key) {
				return exchange.Rewrap(o.Keys, key, value)
			}
			return value, nil
		},
		Tell: func(done, of int64) {
			o.storage.tell(func(s *apitype.StorageRotation) { s.Done, s.Of = done, of })
			o.storage.at(partner.DuringReseal)
		},
	})
	if err != nil {
		return err
	}
	o.storage.tell(func(s *apitype.StorageRotation) { s.Lost = lost })
	// At this point nothing that the journal holds needs the older key.
	o.storage.at(partner.AfterReseal)
	if err := o.Book.DropStorageKey(ctx); err != nil {
		return err
	}
	// At this point no file of ours has the older key, and what was deleted
	// from the journal and still lies on the disk is out of everybody's reach.
	log.Info("the older storage key is destroyed", "damaged", lost)
	return nil
}

// examineStorage says how far a rotation of the storage key is.
func (o *Organisation) examineStorage(ctx context.Context) []Check {
	s, err := o.StorageRotation(ctx)
	switch {
	case err != nil:
		return []Check{failed("storage key", err)}
	case !s.UnderWay:
		return nil
	case s.Error != "":
		return []Check{unwell("storage key", "a new one is in use, and the older one is still needed: %s; it is tried again", s.Error)}
	}
	return []Check{healthy("storage key", "a new one is in use; %d of %d values have been looked at, and the older one goes when none is under it", s.Done, s.Of)}
}
