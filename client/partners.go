package client

import (
	"context"
	"net/http"

	"dxd/api/apitype"
	"dxd/record"
)

// Self tells who this organisation and this node are.
func (c *Client) Self(ctx context.Context) (apitype.Self, error) {
	return get[apitype.Self](ctx, c, nil, "self")
}

// Card gives the card file to hand over to a partner.
func (c *Client) Card(ctx context.Context) ([]byte, error) {
	return c.file(ctx, record.MaxCardFile, "card")
}

// Partners lists all partners by alias.
func (c *Client) Partners(ctx context.Context) ([]apitype.Partner, error) {
	return get[[]apitype.Partner](ctx, c, nil, "partners")
}

// Partner finds one partner.
func (c *Client) Partner(ctx context.Context, alias string) (apitype.Partner, error) {
	return get[apitype.Partner](ctx, c, nil, "partners", alias)
}

// PartnerCard gives a partner's newest card as a file, with the proof of its
// anchor if that is here: for `dxd verify --card`.
func (c *Client) PartnerCard(ctx context.Context, alias string) ([]byte, error) {
	return c.file(ctx, record.MaxCardFile, "partners", alias, "card")
}

// AddPartner accepts the card in a card file under an alias, or a newer card
// of a known partner, for which the alias may be empty. A fingerprint that is
// not empty must be the card's.
func (c *Client) AddPartner(ctx context.Context, alias string, file []byte, fingerprint string) (apitype.Partner, error) {
	return post[apitype.Partner](ctx, c, c.patience, apitype.AddPartner{Alias: alias, File: string(file), Fingerprint: fingerprint}, "partners")
}

// SetQuota gives a partner bounds of its own, in the place of those that it had.
func (c *Client) SetQuota(ctx context.Context, alias string, l apitype.Limits) (apitype.Partner, error) {
	return send[apitype.Partner](ctx, c, http.MethodPut, c.patience, l, "partners", alias, "quota")
}

// SuspendPartner shuts a partner out at once; what is queued for it waits.
func (c *Client) SuspendPartner(ctx context.Context, alias string) (apitype.Partner, error) {
	return post[apitype.Partner](ctx, c, c.patience, nil, "partners", alias, "suspend")
}

// ResumePartner lets a suspended partner in again.
func (c *Client) ResumePartner(ctx context.Context, alias string) (apitype.Partner, error) {
	return post[apitype.Partner](ctx, c, c.patience, nil, "partners", alias, "resume")
}

// RemovePartner removes a partner. What is queued for it fails; its records stay.
func (c *Client) RemovePartner(ctx context.Context, alias string) (apitype.Partner, error) {
	return decode[apitype.Partner](c.do(ctx, call{method: http.MethodDelete, path: []string{"partners", alias}, within: c.patience}))
}
