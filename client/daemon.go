package client

import (
	"context"
	"net/http"
	"net/url"

	"dxd/api/apitype"
)

// Version tells which program the daemon is.
func (c *Client) Version(ctx context.Context) (apitype.Version, error) {
	return get[apitype.Version](ctx, c, nil, "version")
}

// Health tells whether the daemon is ready; it needs no token.
func (c *Client) Health(ctx context.Context) (apitype.Health, error) {
	return get[apitype.Health](ctx, c, nil, "health")
}

// AnchorStatus tells how far records have come on the chain.
func (c *Client) AnchorStatus(ctx context.Context) (apitype.AnchorStatus, error) {
	return get[apitype.AnchorStatus](ctx, c, nil, "anchor")
}

// DeployAnchor deploys the contract and returns once it is on the chain, for
// which there is no bound but ctx. rpc is the endpoint, "" for the configured one.
func (c *Client) DeployAnchor(ctx context.Context, rpc string) (apitype.Deployed, error) {
	return post[apitype.Deployed](ctx, c, 0, apitype.DeployAnchor{RPC: rpc}, "anchor", "deploy")
}

// Doctor checks the daemon and its surroundings; with a partner's alias, how
// that partner can be reached, too. It takes as long as the partner and the
// chain take to answer, with no bound but ctx.
func (c *Client) Doctor(ctx context.Context, partner string) (apitype.Doctor, error) {
	query := url.Values{}
	if partner != "" {
		query.Set("partner", partner)
	}
	return decode[apitype.Doctor](c.do(ctx, call{method: http.MethodGet, path: []string{"doctor"}, query: query}))
}
