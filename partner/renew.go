package partner

import (
	"context"
	"time"

	"dxd/blobstore"
	"dxd/crypto"
	"dxd/record"
)

// RenewBefore is how long before its end our card is due to be renewed. It is
// what partners have to take the new one, and what is under way to be anchored.
const RenewBefore = 30 * 24 * time.Hour

// Due tells when our card is to be renewed.
func (b *Book) Due() time.Time {
	return time.UnixMilli(b.Self().Body.Expires).Add(-RenewBefore)
}

// Renew replaces our card by one with the next serial and a new end. Partners
// take it from the next hello; the older one is kept, since records name it.
func (b *Book) Renew(ctx context.Context) error {
	b.renewing.Lock()
	defer b.renewing.Unlock()
	return b.renewLocked(ctx)
}

// renewLocked is Renew with renewing held. Keys that only waited for a new
// card go with it.
func (b *Book) renewLocked(ctx context.Context) error {
	next, err := withoutOldSigning(b.Keys)
	if err != nil {
		return err
	}
	if next != b.Keys {
		return b.change(ctx, next)
	}
	return b.renew(ctx)
}

// renew is called with renewing held.
func (b *Book) renew(ctx context.Context) error {
	err := b.Journal.Update(ctx, func(tx blobstore.Tx) error {
		old, err := ownCard(tx)
		if err != nil {
			return err
		}
		next, err := signAfter(b.Keys, old, old.Body.Serial+1, b.Now())
		if err != nil {
			return err
		}
		return b.putOwn(tx, next)
	})
	if err != nil {
		return err
	}
	// At this point the new card is ours; a crash after this changes nothing.
	if err := b.reload(ctx); err != nil {
		return err
	}
	if b.OnCard != nil {
		b.OnCard()
	}
	return nil
}

// signAfter signs the card that follows an older one.
func signAfter(keys *crypto.Keyring, old record.Signed[record.Card], serial int64, now time.Time) (record.Signed[record.Card], error) {
	return keys.SignCard(record.Card{
		Header:   record.Header{Created: now.UnixMilli()},
		Name:     old.Body.Name,
		Serial:   serial,
		Previous: old.ID(),
		Expires:  now.Add(cardValidity).UnixMilli(),
	})
}

// putOwn makes the card ours and tells of it.
func (b *Book) putOwn(tx blobstore.Tx, card record.Signed[record.Card]) error {
	if err := putSelf(tx, card); err != nil || b.OnOwn == nil {
		return err
	}
	return b.OnOwn(tx, card.Envelope)
}

// putSelf makes the card ours, and keeps it for the records that will name it.
func putSelf(tx blobstore.Tx, card record.Signed[record.Card]) error {
	if err := tx.Set(cardKey(tx, card.ID()), card.Bytes()); err != nil {
		return err
	}
	return tx.Set(keySelf, card.Bytes())
}
