package client

import (
	"context"
	"net/http"

	"dxd/api/apitype"
	"dxd/record"
)

// RenewCard has a new card signed, and gives the card file with it. Partners
// take it by themselves when they are connected.
func (c *Client) RenewCard(ctx context.Context) ([]byte, error) {
	return c.fileBy(ctx, http.MethodPost, record.MaxCardFile, "card", "renew")
}

// RotateKey has a new key drawn, and a card with it signed. The role is node,
// signing, recipient or account. now brings a node's key into use without
// waiting until all partners know it.
func (c *Client) RotateKey(ctx context.Context, role string, now bool) (apitype.Rotated, error) {
	return post[apitype.Rotated](ctx, c, c.patience, apitype.RotateKey{Role: role, Now: now}, "keys", "rotate")
}

// RotateStorageKey has all that is kept sealed under a new storage key, after
// which the one of before is destroyed. It returns once the new one is in use;
// StorageRotation tells how far it is, and a daemon that starts anew goes on.
func (c *Client) RotateStorageKey(ctx context.Context) (apitype.StorageRotation, error) {
	return post[apitype.StorageRotation](ctx, c, c.patience, nil, "keys", "storage", "rotate")
}

// StorageRotation tells how far a rotation of the storage key is.
func (c *Client) StorageRotation(ctx context.Context) (apitype.StorageRotation, error) {
	return get[apitype.StorageRotation](ctx, c, nil, "keys", "storage")
}
