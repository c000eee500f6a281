package partner

import "context"

// The moments in a rotation of the storage key that follow BeforeKeyring and
// AfterKeyring.
const (
	DuringReseal Point = "during-reseal" // some values are under the new key
	AfterReseal  Point = "after-reseal"  // all are, and the keyring has the older key still
)

// DrawStorageKey puts a new storage key into use, beside the one of before. It
// is on no card; it is here since one thing at a time changes the keyring.
func (b *Book) DrawStorageKey(ctx context.Context) error {
	b.renewing.Lock()
	defer b.renewing.Unlock()
	next, err := b.Keys.WithStorage()
	if err != nil {
		return err
	}
	return b.change(ctx, next)
}

// DropStorageKey destroys the older storage key. Whether anything is under it
// is for the caller to know.
func (b *Book) DropStorageKey(ctx context.Context) error {
	b.renewing.Lock()
	defer b.renewing.Unlock()
	next, err := b.Keys.WithoutOldStorage()
	if err != nil {
		return err
	}
	return b.change(ctx, next)
}
