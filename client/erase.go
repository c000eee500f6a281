package client

import (
	"context"
	"net/http"
	"net/url"

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

// EraseAndAsk is Erase that asks the partner to erase it, too. What it answers
// stands in the transfer once it is there.
func (c *Client) EraseAndAsk(ctx context.Context, id record.TransferID) (apitype.Transfer, error) {
	return c.settle(ctx, url.Values{"ask_partner": {"true"}}, id, "erase")
}

// RefuseErase says no to a partner's request to erase. To say yes is to Erase.
func (c *Client) RefuseErase(ctx context.Context, id record.TransferID, reason string) (apitype.Transfer, error) {
	return c.settle(ctx, url.Values{"reason": {reason}}, id, "refuse-erase")
}

func (c *Client) settle(ctx context.Context, query url.Values, id record.TransferID, how string) (apitype.Transfer, error) {
	return decode[apitype.Transfer](c.do(ctx, call{
		method: http.MethodPost, path: []string{"transfers", id.String(), how}, query: query, within: c.patience,
	}))
}

// Erasure gives the partner's answer to a request to erase, as it was signed.
func (c *Client) Erasure(ctx context.Context, id record.TransferID) ([]byte, error) {
	return c.file(ctx, record.MaxEnvelope, "transfers", id.String(), "erasure")
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
