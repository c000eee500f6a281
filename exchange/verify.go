package exchange

import (
	"context"

	"dxd/crypto"
	"dxd/record"
)

// verified is a payload that holds in every respect.
type verified struct {
	manifest record.Signed[record.Manifest]
	opening  record.Opening
	raw      []byte // the opening's bytes
}

// verify checks manifest and opening against each other, the parties, and
// what actually came.
func (x *Exchange) verify(ctx context.Context, a *arrival, c closing) (verified, error) {
	var v verified
	o := a.in.finish()
	if o.err != nil {
		return v, o.err
	}
	var err error
	if v.manifest, err = x.openManifest(ctx, a.from.Org, c.Manifest); err != nil {
		return v, err
	}
	list, _, err := openOpenings(a.key, c)
	if err != nil {
		return v, err
	}
	if len(list) != 1 {
		return v, record.Errorf(record.Invalid, "%d openings for a %s", len(list), a.offer.kind())
	}
	v.raw = list[0]
	if v.opening, err = record.ParseOpening(v.raw); err != nil {
		return v, err
	}
	return v, v.check(a, o)
}

// check compares what is signed with what came.
func (v verified) check(a *arrival, o opened) error {
	if err := checkManifest(v.manifest.Body, a.offer, [][]byte{v.raw}); err != nil {
		return err
	}
	switch {
	case v.opening.Transfer != a.offer.ID || v.opening.Index != 0 || v.opening.Kind != a.offer.kind():
		return record.Errorf(record.Invalid, "the opening is of another transfer")
	case v.opening.Length != o.length || v.opening.Digest != o.digest:
		return record.Errorf(record.Invalid, "the document is not the one that was signed")
	}
	return nil
}

// checkManifest compares a manifest with the offer, whose body came whole, and
// with the openings.
func checkManifest(m record.Manifest, o offer, openings [][]byte) error {
	switch {
	case m.Lane != o.Lane || m.Items != int64(len(openings)):
		return record.Errorf(record.Invalid, "the manifest is not of this lane, or of another number of items")
	case m.SealedLength != o.SealedLength || m.BodyNonce != o.BodyNonce:
		return record.Errorf(record.Invalid, "the manifest is of another body")
	case m.Root != record.TreeRoot(leavesOf(openings)):
		return record.Errorf(record.Invalid, "the openings are not those of this manifest")
	}
	return nil
}

// openOpenings opens and unpacks the openings.
func openOpenings(key crypto.FileKey, c closing) (list [][]byte, packed []byte, err error) {
	if packed, err = crypto.OpenOpenings(key, c.Openings); err != nil {
		return nil, nil, record.Errorf(record.Invalid, "the openings don't open: %w", err)
	}
	list, err = unpackOpenings(packed)
	return list, packed, err
}

// openManifest verifies a manifest from the partner to us.
func (x *Exchange) openManifest(ctx context.Context, from record.OrgID, e record.Envelope) (record.Signed[record.Manifest], error) {
	var none record.Signed[record.Manifest]
	_, cardID, err := record.SignerOf(e)
	if err != nil {
		return none, err
	}
	card, err := x.Book.Card(ctx, cardID)
	if record.KindOf(err) == record.NotFound {
		x.wake(from, callWork) // its hello brings it
		return none, refuseForNow(reasonCard)
	}
	if err != nil {
		return none, err
	}
	m, err := record.OpenManifest(e, card)
	if err != nil {
		return none, err
	}
	if m.Body.Org != from || m.Body.Recipient != x.Keys.Org() {
		return none, record.Errorf(record.Invalid, "the manifest is not from this partner to us")
	}
	own, err := x.Book.Card(ctx, m.Body.RecipientCard)
	if err != nil && record.KindOf(err) != record.NotFound {
		return none, err
	}
	if err != nil || own.Body.Org != x.Keys.Org() {
		return none, record.Errorf(record.Invalid, "the manifest names a card that is not ours")
	}
	return m, nil
}
