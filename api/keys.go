package api

import (
	"context"

	"dxd/api/apitype"
)

func (a *API) renewCard(ctx context.Context, in *none) ([]byte, error) {
	if err := a.Book.Renew(ctx); err != nil {
		return nil, err
	}
	return a.card(ctx, in)
}

type rotateInput struct {
	Body apitype.RotateKey
}

func (a *API) rotateKey(ctx context.Context, in *rotateInput) (apitype.Rotated, error) {
	return a.Rotate(ctx, in.Body)
}

func (a *API) rotateStorage(ctx context.Context, _ *none) (apitype.StorageRotation, error) {
	return a.RotateStorage(ctx)
}

func (a *API) storageRotation(ctx context.Context, _ *none) (apitype.StorageRotation, error) {
	return a.StorageRotation(ctx)
}
