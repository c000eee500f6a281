package api

import (
	"context"

	"dxd/api/apitype"
	"dxd/exchange"
	"dxd/record"
)

type eraseInput struct {
	ID         string `path:"id"`
	AskPartner bool   `query:"ask_partner" doc:"Ask the partner to erase it, too"`
}

func (a *API) erase(ctx context.Context, in *eraseInput) (apitype.Transfer, error) {
	erase := a.Exchange.Erase
	if in.AskPartner {
		erase = a.Exchange.EraseAndAsk
	}
	return (&idInput{in.ID}).settle(ctx, erase)
}

type refuseEraseInput struct {
	ID     string `path:"id"`
	Reason string `query:"reason" doc:"For the people on the other side"`
}

func (a *API) refuseErase(ctx context.Context, in *refuseEraseInput) (apitype.Transfer, error) {
	return (&idInput{in.ID}).settle(ctx, func(ctx context.Context, id record.TransferID, _ string) (exchange.View, error) {
		return a.Exchange.RefuseErase(ctx, id, in.Reason)
	})
}

// erasure gives the partner's answer as it was signed.
func (a *API) erasure(ctx context.Context, in *idInput) ([]byte, error) {
	id, err := record.ParseTransferID(in.ID)
	if err != nil {
		return nil, err
	}
	signed, err := a.Exchange.PartnersErasure(ctx, id)
	if err != nil {
		return nil, err
	}
	return signed.Bytes(), nil
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
