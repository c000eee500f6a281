package partner

import (
	"context"
	"slices"

	"dxd/crypto"
	"dxd/record"
)

// Point names a moment in a change of our keys, for tests that stop there.
type Point string

// The moments, in their order. The keyring's file is written before the card
// that lists its keys, so that no card ever names a key that could be lost.
const (
	BeforeKeyring Point = "before-keyring" // the key is drawn and written nowhere
	AfterKeyring  Point = "after-keyring"  // the file has it, our card does not
	AfterCard     Point = "after-card"
)

// The moments when cards of ours are taken that another copy of our state
// signed.
const (
	BeforeCatchUp Point = "before-catch-up"
	AfterCatchUp  Point = "after-catch-up"
)

func (b *Book) at(p Point) {
	if b.Seam != nil {
		b.Seam(p)
	}
}

// Rotate draws a new key. It comes into use at once, and stands first on the
// new card; a node's comes into use when partners have taken that card (Tend),
// or by SwitchNode. The older key goes when nothing needs it any more.
func (b *Book) Rotate(ctx context.Context, role crypto.Role) error {
	b.renewing.Lock()
	defer b.renewing.Unlock()
	if role == crypto.RoleNode && len(b.Keys.Keys(role)) > 1 {
		return record.WithHint(record.Errorf(record.Conflict, "a new node key is announced already"),
			"it comes into use when all partners have taken the new card, or with --now")
	}
	next, err := withoutOldSigning(b.Keys)
	if err == nil {
		next, err = next.With(role)
	}
	if err != nil {
		return err
	}
	return b.change(ctx, next)
}

// SwitchNode brings a node key that is announced into use, whether partners
// have taken the card that announces it or not.
func (b *Book) SwitchNode(ctx context.Context) error {
	b.renewing.Lock()
	defer b.renewing.Unlock()
	next, err := switched(b.Keys)
	if err != nil {
		return err
	}
	return b.change(ctx, next)
}

// switched is the keyring without the node key in use, and with the announced
// one in its place.
func switched(keys *crypto.Keyring) (*crypto.Keyring, error) {
	nodes := keys.Keys(crypto.RoleNode)
	if len(nodes) < 2 {
		return nil, record.Errorf(record.Conflict, "no new node key is announced")
	}
	return keys.Without(crypto.RoleNode, nodes[0])
}

// Drop takes a key that is not in use out of the keyring and off the card.
// Whether anything needs it is for the caller to know.
func (b *Book) Drop(ctx context.Context, role crypto.Role, name string) error {
	b.renewing.Lock()
	defer b.renewing.Unlock()
	if keys := b.Keys.Keys(role); keys[0] == name || !slices.Contains(keys, name) {
		return record.Errorf(record.Internal, "a %s key that is in use, or gone, is not dropped", role)
	}
	next, err := b.Keys.Without(role, name)
	if err == nil {
		next, err = withoutOldSigning(next)
	}
	if err != nil {
		return err
	}
	return b.change(ctx, next)
}

// change makes next our keys, and a card with them. It is called with renewing
// held.
func (b *Book) change(ctx context.Context, next *crypto.Keyring) error {
	if b.Save == nil {
		return record.Errorf(record.Internal, "nobody keeps a keyring that changes")
	}
	file, err := next.Relock()
	if err != nil {
		return err
	}
	b.at(BeforeKeyring)
	if err := b.Save(file); err != nil {
		return err
	}
	b.Keys.Become(next)
	// At this point the new keys are durable. A crash after this leaves a card
	// that does not list them, which settle mends: live and at the next start.
	b.at(AfterKeyring)
	ctx = context.WithoutCancel(ctx) // a caller who goes away is no crash
	if b.OnKeys != nil {
		if err := b.OnKeys(); err != nil {
			return err
		}
	}
	return b.settle(ctx)
}

// Settle gives us a card with the keyring's keys, if ours has others: a crash
// came between the keyring's file and the card.
func (b *Book) Settle(ctx context.Context) error {
	b.renewing.Lock()
	defer b.renewing.Unlock()
	return b.settle(ctx)
}

// settle is called with renewing held.
func (b *Book) settle(ctx context.Context) error {
	if b.Keys.OnCard(b.Self().Body) {
		return nil
	}
	if err := b.renew(ctx); err != nil {
		return err
	}
	b.at(AfterCard)
	return nil
}

// Tend does what is due with our card and keys: it mends what a crash left,
// renews the card before its end, and drops keys that nothing needs any more.
func (b *Book) Tend(ctx context.Context) error {
	b.renewing.Lock()
	defer b.renewing.Unlock()
	// The journal may have told us before it has told the book.
	if err := b.reload(ctx); err != nil {
		return err
	}
	if err := b.settle(ctx); err != nil {
		return err
	}
	next, err := b.retire(ctx)
	switch {
	case err != nil:
		return err
	case next != b.Keys:
		return b.change(ctx, next)
	case !b.Now().Before(b.Due()):
		return b.renewLocked(ctx)
	}
	return nil
}

// retire is the keyring without what nothing needs any more; itself if all of
// it is needed. Signing keys that are not in use go along with the next card,
// whatever that is made for.
func (b *Book) retire(ctx context.Context) (next *crypto.Keyring, err error) {
	next = b.Keys
	for _, role := range []crypto.Role{crypto.RoleRecipient, crypto.RoleNode} {
		if len(b.Keys.Keys(role)) < 2 {
			continue
		}
		waits, err := b.WaitsFor(ctx, role)
		if err != nil {
			return nil, err
		}
		if len(waits) > 0 {
			continue
		}
		if next, err = withoutOld(next, role); err != nil {
			return nil, err
		}
	}
	if next != b.Keys {
		return withoutOldSigning(next)
	}
	return next, nil
}

// withoutOld drops the keys of a role that are on their way out.
func withoutOld(keys *crypto.Keyring, role crypto.Role) (next *crypto.Keyring, err error) {
	if role == crypto.RoleNode {
		return switched(keys)
	}
	next = keys
	for _, old := range keys.Keys(role)[1:] {
		if next, err = next.Without(role, old); err != nil {
			return nil, err
		}
	}
	return next, nil
}

// withoutOldSigning drops signing keys that are not in use. They sign nothing
// any more, and what they signed is verified with the card that it names. They
// only wait for the next card, so that a process that could not write the card
// of a rotation still has a key that is on the one that it has.
func withoutOldSigning(keys *crypto.Keyring) (*crypto.Keyring, error) {
	return withoutOld(keys, crypto.RoleSigning)
}

// WaitsFor lists the active partners that have not taken a card with the new
// key of this role, as far as they have told.
//
// A recipient key may go when none of these is left: the others seal for the
// new one. Whoever seals for the old one all the same, because it was suspended
// or its hello is on its way, is told to try again, and takes our card first.
func (b *Book) WaitsFor(ctx context.Context, role crypto.Role) (waits []Partner, err error) {
	keys := b.Keys.Keys(role)
	for _, p := range b.List() {
		if p.State != Active {
			continue
		}
		var has []string
		if !p.Knows.IsZero() {
			card, err := b.Card(ctx, p.Knows)
			if err != nil {
				return nil, err
			}
			has = crypto.KeysOn(card.Body, role)
		}
		if !serves(role, keys, has) {
			waits = append(waits, p)
		}
	}
	return waits, nil
}

// serves tells whether a partner that has these keys of ours can do without
// those that are on their way out. It knows a node if that is on the card at
// all; of the others it uses the first.
func serves(role crypto.Role, keys, has []string) bool {
	if role == crypto.RoleNode {
		return slices.Contains(has, keys[len(keys)-1])
	}
	return len(has) > 0 && has[0] == keys[0]
}
