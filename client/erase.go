package client

import (
	"context"

	"dxd/api/apitype"
	"dxd/record"
)

// Erase destroys what a transfer or a notarisation carried, at this
// organisation: payload, key and opening. Records, receipts and proofs are
// kept, but no evidence can be made from them any more. One that is erased
// already stays as it is; one that is under way or on hold is a Conflict.
func (c *Client) Erase(ctx context.Context, id record.TransferID) (apitype.Transfer, error) {
	return post[apitype.Transfer](ctx, c, c.patience, nil, "transfers", id.String(), "erase")
}

// Hold keeps a transfer or a notarisation from being erased, by retention too,
// until Release.
func (c *Client) Hold(ctx context.Context, id record.TransferID) (apitype.Transfer, error) {
	return post[apitype.Transfer](ctx, c, c.patience, nil, "transfers", id.String(), "hold")
}

// Release ends a hold.
func (c *Client) Release(ctx context.Context, id record.TransferID) (apitype.Transfer, error) {
	return post[apitype.Transfer](ctx, c, c.patience, nil, "transfers", id.String(), "release")
}
