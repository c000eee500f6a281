package client

import (
	"context"

	"dxd/api/apitype"
	"dxd/record"
)

// Check reads the payload of a transfer that is kept, and compares it with what
// was signed. It takes as long as reading it takes.
func (c *Client) Check(ctx context.Context, id record.TransferID) (apitype.Inspection, error) {
	return post[apitype.Inspection](ctx, c, 0, nil, "transfers", id.String(), "check")
}
