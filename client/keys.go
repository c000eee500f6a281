package client

import (
	"context"
	"net/http"

	"dxd/record"
)

// RenewCard has a new card signed, and gives the card file with it. Partners
// take it by themselves when they are connected.
func (c *Client) RenewCard(ctx context.Context) ([]byte, error) {
	return c.fileBy(ctx, http.MethodPost, record.MaxCardFile, "card", "renew")
}
