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
