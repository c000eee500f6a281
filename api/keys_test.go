package api_test

import (
	"context"
	"testing"

	"dxd/api/apitype"
	"dxd/record"
)

func TestTheCardIsRenewedAndKeysAreRotated(t *testing.T) {
	h := newHouse(t)
	c, ctx := h.client(), t.Context()
	raw, err := c.RenewCard(ctx)
	check(t, err)
	file, err := record.OpenCardFile(raw)
	check(t, err)
	if file.Card.Body.Serial != 2 || len(file.Presence) != 1 {
		t.Errorf("card %d with %d presences", file.Card.Body.Serial, len(file.Presence))
	}
	made, err := c.RotateKey(ctx, "node", true)
	check(t, err)
	if made.Role != "node" || made.Key != "a new one" || len(made.WaitsFor) != 1 {
		t.Errorf("rotated %+v", made)
	}
	for what, call := range map[string]func(context.Context) (apitype.StorageRotation, error){"rotate": c.RotateStorageKey, "look": c.StorageRotation} {
		if s, err := call(ctx); err != nil || s != (apitype.StorageRotation{UnderWay: true, Done: 3, Of: 5}) {
			t.Errorf("storage key, %s: %+v, %v", what, s, err)
		}
	}
	if _, err := c.RotateKey(ctx, "root", false); record.KindOf(err) != record.Invalid {
		t.Errorf("the root is not rotated: %v", err)
	}
}
