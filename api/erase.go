package api

import (
	"context"

	"dxd/api/apitype"
	"dxd/exchange"
	"dxd/record"
)

func (a *API) erase(ctx context.Context, in *idInput) (apitype.Transfer, error) {
	return in.settle(ctx, a.Exchange.Erase)
}

func (a *API) hold(ctx context.Context, in *idInput) (apitype.Transfer, error) {
	return in.settle(ctx, a.Exchange.Hold)
}

func (a *API) release(ctx context.Context, in *idInput) (apitype.Transfer, error) {
	return in.settle(ctx, a.Exchange.Release)
}

// settle does with a transfer what is kept under its caller's name.
func (in *idInput) settle(ctx context.Context, do func(context.Context, record.TransferID, string) (exchange.View, error)) (apitype.Transfer, error) {
	id, err := record.ParseTransferID(in.ID)
	if err != nil {
		return apitype.Transfer{}, err
	}
	v, err := do(ctx, id, callerOf(ctx).name)
	if err != nil {
		return apitype.Transfer{}, err
	}
	return transferJSON(v), nil
}
