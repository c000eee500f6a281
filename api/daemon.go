package api

import (
	"context"
	"math/big"

	"dxd/api/apitype"
	"dxd/record"
)

// none is the input of a route that takes nothing.
type none struct{}

func (a *API) health(context.Context, *none) (apitype.Health, error) {
	return apitype.Health{Status: "ready"}, nil
}

func (a *API) version(context.Context, *none) (apitype.Version, error) { return a.Version, nil }

func (a *API) openapiJSON(context.Context, *none) ([]byte, error) { return a.specJSON, nil }

func (a *API) openapiYAML(context.Context, *none) ([]byte, error) { return a.specYAML, nil }

func (a *API) self(context.Context, *none) (apitype.Self, error) {
	card := a.Book.Self().Body
	return apitype.Self{
		Org: card.Org, Name: card.Name, Peer: a.Node(), Fingerprint: card.Org.Fingerprint(),
		Account: a.Account(), Addresses: list(a.Addresses()),
	}, nil
}

func (a *API) card(ctx context.Context, _ *none) ([]byte, error) {
	file, err := a.Exchange.CardFile(ctx)
	if err != nil {
		return nil, err
	}
	return file.Bytes()
}

// list is [] in JSON where there is nothing, and never null.
func list[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

func (a *API) anchorStatus(ctx context.Context, _ *none) (apitype.AnchorStatus, error) {
	s, err := a.Anchoring(ctx)
	if err != nil {
		return apitype.AnchorStatus{}, err
	}
	out := apitype.AnchorStatus{
		ChainID: s.ChainID, Account: s.Account,
		Unanchored: s.Unanchored, Pending: s.Pending, Submitted: s.Submitted, Included: s.Included, Final: s.Final,
		Error: record.Printable(s.Error, 1000),
	}
	if out.Account.IsZero() { // no chain yet: the one that will anchor
		out.Account = a.Account()
	}
	if !s.Contract.IsZero() {
		out.Contract = &s.Contract
	}
	out.Balance = wei(s.Balance)
	for _, p := range s.Older {
		out.Older = append(out.Older, apitype.Purse{Account: p.Account, Balance: wei(p.Balance)})
	}
	out.Older = list(out.Older)
	return out, nil
}

// wei is a balance in decimal; "" if it is not known.
func wei(balance *big.Int) string {
	if balance == nil {
		return ""
	}
	return balance.String()
}

type deployInput struct {
	Body *apitype.DeployAnchor
}

func (a *API) deployAnchor(ctx context.Context, in *deployInput) (apitype.Deployed, error) {
	ctx, stop := untilDraining(ctx)
	defer stop()
	rpc := ""
	if in.Body != nil {
		rpc = in.Body.RPC
	}
	return a.Deploy(ctx, rpc)
}

type doctorInput struct {
	Partner string `query:"partner" doc:"Alias: checks how this partner can be reached, too"`
}

func (a *API) doctor(ctx context.Context, in *doctorInput) (apitype.Doctor, error) {
	ctx, stop := untilDraining(ctx)
	defer stop()
	checks, err := a.Doctor(ctx, in.Partner)
	return apitype.Doctor{Checks: list(checks)}, err
}
