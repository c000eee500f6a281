package api

import "context"

func (a *API) renewCard(ctx context.Context, in *none) ([]byte, error) {
	if err := a.Book.Renew(ctx); err != nil {
		return nil, err
	}
	return a.card(ctx, in)
}
